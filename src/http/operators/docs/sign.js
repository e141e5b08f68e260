// Signs calls by the fields above them. Neither salt nor token is stored, and the salt is never sent.
"use strict";

const Signing = (() => {
  const field = (name) => document.getElementById(name);
  const value = (name) => field(name).value;

  // Browsers have it on https:// and on this machine's own names only.
  const canHash = !!(window.crypto && window.crypto.subtle);
  let lastWasSigned = false;

  const isUsed = () => value("salt") !== "" || value("token") !== "";

  async function tokenOf(account, login, salt) {
    const bytes = new TextEncoder().encode(account + login + salt);
    const digest = await window.crypto.subtle.digest("SHA-512", bytes);
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function show() {
    const owner = `${value("account") || "no account"} / ${value("login") || "no login"}`;
    let text = "Calls are sent as they are written. With a salt or a token in these fields, each call is signed for this account and login.";
    if (isUsed()) {
      text = `Calls are signed for ${owner}, in place of the account, login and token that they are written with.`;
    } else if (!canHash) {
      text =
        "This browser signs only on https:// or on this machine: open http://127.0.0.1 instead, for example through an SSH tunnel. " +
        "Or paste a token, which `scoring-api token --account A --login L` prints.";
    }
    field("signature").textContent = text;
  }

  // Swagger UI sends the request that this returns. A body that is not a JSON object is sent as it is written.
  async function sign(request) {
    lastWasSigned = false;
    if (request.method !== "POST" || !isUsed()) {
      return request;
    }
    let call;
    try {
      call = JSON.parse(request.body);
    } catch {
      return request;
    }
    if (call === null || typeof call !== "object" || Array.isArray(call)) {
      return request;
    }
    const [account, login] = [value("account"), value("login")];
    const token = value("token").trim() || (await tokenOf(account, login, value("salt")));
    lastWasSigned = true;
    return { ...request, body: JSON.stringify({ ...call, account, login, token }, null, 2) };
  }

  // The service gives no reason for a 403, so the page names those that are likely.
  function answered(response) {
    let text = "";
    if (response.status === 403) {
      text = lastWasSigned
        ? "403: the token does not match this account and login. A registered partner has a token and no salt; the admin's token is made " +
          "by `scoring-api token --admin`, for the current hour. The service's log has the reason in `refused`."
        : "403: the token does not match. The examples are signed with the public salt Otus, which a service with salts of its own refuses. " +
          "Fill in account, login, and salt or token above, and execute again.";
    }
    field("refusal").textContent = text;
    return response;
  }

  // One of the two signs, so typing one empties the other.
  field("salt").addEventListener("input", () => (field("token").value = ""));
  field("token").addEventListener("input", () => (field("salt").value = ""));
  field("salt").disabled = !canHash;
  for (const name of ["account", "login", "salt", "token"]) {
    field(name).addEventListener("input", show);
  }
  show();
  return { sign, answered };
})();
