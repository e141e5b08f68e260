// Asks for /status.json each second and brings the page up to date. Its rows are those of view.rs, its numbers those of
// notation.rs: the page has them before this runs. Data becomes text, and never markup.
const NOTHING = "–";
const POINTS = 300;
const HEIGHT = 40;

// ----- Numbers

const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
const rate = (number) => {
  if (number <= 0) return "0";
  if (number < 0.05) return "<0.1";
  return number < 9.95 ? number.toFixed(1) : count(Math.round(number));
};
const ms = (number) => {
  if (number < 9.95) return `${number.toFixed(1)} ms`;
  return number < 999.5 ? `${number.toFixed(0)} ms` : `${(number / 1000).toFixed(1)} s`;
};
const span = (seconds) => {
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${minutes} min`;
  return days ? `${days} d ${hours % 24} h` : `${hours} h ${minutes % 60} min`;
};
const bytes = (number) => {
  const [kib, mib] = [1 << 10, 1 << 20].map((unit) => Math.floor(number / unit));
  if (mib) return `${count(mib)} MiB`;
  return kib ? `${kib} KiB` : `${number} B`;
};
const between = (early, late) => Math.max(0, Math.trunc((Date.parse(late) - Date.parse(early)) / 1000));
const clock = (time, now) => time.slice(time.slice(0, 10) === now.slice(0, 10) ? 11 : 5, 19).replace("T", " ");
const given = (value, write) => (value === null ? NOTHING : write(value));
const then = (before, value) => (value === null ? "" : before + value);
const some = (texts, empty) => texts.filter(([number]) => number > 0).map(([, text]) => text).join(", ") || empty;

// ----- Elements

function el(tag, attributes, ...children) {
  const made = document.createElementNS(`http://www.w3.org/${/svg|line/.test(tag) ? "2000/svg" : "1999/xhtml"}`, tag);
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  made.append(...children);
  return made;
}

// Makes `old` equal to `fresh` and leaves equal parts alone, so that a selection stays.
function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const children = [...fresh.childNodes];
  while (old.childNodes.length > children.length) old.lastChild.remove();
  children.forEach((child, place) => (place < old.childNodes.length ? patch(old.childNodes[place], child) : old.append(child)));
}

// A group is [title, rows], and a row [level, ...texts].
function table(columns, groups, empty) {
  const head = columns.split("|");
  if (!groups.some(([, rows]) => rows.length)) return el("p", {}, empty);
  const bodies = groups.map(([title, rows]) => el("tbody", {},
    ...(title ? [el("tr", { class: "group" }, el("th", { colspan: head.length, scope: "rowgroup" }, title))] : []),
    ...rows.map(([level, ...cells]) =>
      el("tr", { class: level }, ...cells.map((cell, place) => el("td", { "data-label": head[place] }, cell))))));
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))), ...bodies);
}

function lines(points) {
  const runs = [[]];
  points.forEach((number, place) => {
    if (number === null) runs.push([]);
    else runs.at(-1).push([POINTS - points.length + place, number]);
  });
  // A single point would not be drawn.
  for (const run of runs) if (run.length === 1) run.push([run[0][0] + 1, run[0][1]]);
  return runs.filter((run) => run.length);
}

function chart(title, value, level, points, limit) {
  const highest = Math.max(0, ...points);
  const top = Math.max(highest, limit, 0.1);
  const y = (number) => (HEIGHT - 1 - (number / top) * (HEIGHT - 2)).toFixed(1);
  const promise = limit ? [el("line", { x1: 0, x2: POINTS, y1: y(limit), y2: y(limit) })] : [];
  const curves = lines(points).map((run) => el("polyline", { points: run.map(([x, number]) => `${x},${y(number)} `).join("") }));
  return el("figure", { class: level }, el("figcaption", {}, title), el("b", {}, value),
    el("svg", { viewBox: `0 0 ${POINTS} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...promise, ...curves),
    el("small", {}, `5 min: ${limit && !highest ? "no calls" : `up to ${(limit ? ms : rate)(highest)}`}${limit ? `; promised: ${ms(limit)}` : ""}`));
}

const section = (id, title, ...parts) => el("section", { id }, el("h2", {}, title), ...parts);

// ----- The report

function calls({ methods, reasons, history }) {
  const codes = methods.flatMap((method) => Object.entries(method.codes));
  const sum = (pairs) => pairs.reduce((sum, [, number]) => sum + number, 0);
  const all = sum(codes);
  const failed = sum(codes.filter(([code]) => code !== "200"));
  const isBad = failed * 2 > all || codes.some(([code, number]) => code[0] === "5" && number > 0);
  const level = (method) => (method.promise_ms !== null && method.p99_ms > method.promise_ms ? "warn" : "ok");
  const latency = (name, points) => methods.filter(({ method }) => method === name)
    .map((method) => chart(`${name}, p99`, given(method.p99_ms, ms), level(method), points, method.promise_ms));
  const rows = methods.map((method) => [
    level(method), method.method, rate(method.per_second), given(method.p50_ms, ms), given(method.p99_ms, ms),
    given(method.promise_ms, ms), Object.entries(method.codes).map(([code, number]) => `${code}: ${rate(number)}`).join(", ") || NOTHING,
  ]);
  const why = reasons.map((reason) => [reason.per_second > 0 ? "warn" : "ok", reason.reason, reason.words, rate(reason.per_second),
    count(reason.last_minute), count(reason.total)]);
  return section("calls", "Calls",
    el("div", { class: "charts" },
      chart("Answers a second", rate(all), "ok", history.calls, null),
      chart("Not 200, a second", rate(failed), isBad ? "warn" : "ok", history.failed, null),
      ...latency("online_score", history.score_p99_ms), ...latency("clients_interests", history.interests_p99_ms)),
    table("Method|A second|p50|p99|Promise|Answers a second, by status", [["", rows]], "No method has been called yet."),
    table("Reason of answers that are not 200|In words|A second|Last minute|Since the start", [["", why]],
      "Every answer since the start was 200."));
}

function stores(all, now) {
  const phases = ["serving", "connecting", "refusing"];
  const links = (numbers) => some(phases.map((phase) => [numbers[phase], `${numbers[phase]} ${phase}`]), "0");
  const results = ["near_hit", "hit", "miss", "degraded"];
  const lookups = (rates) => some(results.map((name) => [rates[name], `${name.replace("_", " ")} ${rate(rates[name])}`]), "0");
  const error = (last) => given(last, ({ cause, at }) => `${cause}, ${span(between(at, now))} ago`);
  const state = ({ status, since }) => `${status} for ${span(between(since, now))}`;
  const level = ({ status }, role, isWorse) =>
    ({ up: isWorse ? "warn" : "ok", starting: "warn", down: role === "cache" ? "warn" : "bad" })[status];
  const writes = ({ cause, ...was }) => ({ unknown: NOTHING, refused: state(was) + then(": ", cause) })[was.status] ?? was.status;
  const rows = all.flatMap(({ role, shards, ...store }) => [
    [level(store, role, store.writes.status === "refused" || store.note !== null), `${role} (${store.kind})`, store.address,
      state(store) + then("; ", store.note), links(store.links),
      store.breaker + (store.next_try_ms === null ? "" : `, next try in ${store.next_try_ms} ms`),
      writes(store.writes), error(store.last_error), given(store.lookups, lookups)],
    ...shards.map((shard) => [level(shard, role), `${role} server`, shard.shard, state(shard), links(shard.links), NOTHING, NOTHING,
      error(shard.last_error), NOTHING]),
  ]);
  return section("stores", "Stores",
    table("Store|Where|State|Links|Breaker|Writes|Last error|Look-ups a second", [["", rows]], "There is no store."));
}

function actors(workers, now) {
  const levels = { running: "ok", restarting: "warn", failing: "bad", stuck: "bad" };
  const restart = ({ reason, at, place, message }) => `${clock(at, now)}, ${reason}${then(" at ", place)}${then(": ", message)}`;
  const groups = workers.map(({ worker, actors }) => [`Worker ${worker}`, actors.map((actor) => [
    levels[actor.status], actor.actor, actor.status, count(actor.mailbox), ms(actor.waited_ms), rate(actor.handled_per_second),
    count(actor.restarts), given(actor.last_restart, restart)])]);
  return section("actors", "Actors",
    table("Actor|State|Mailbox|Wait|Handled a second|Restarts|Last restart", groups, "No actor runs."));
}

function resources(all) {
  const row = (name, now, limit, write) => [limit > 0 && now * 5 >= limit * 4 ? "warn" : "ok", name, write(now), write(limit)];
  const waiting = all.connections_waiting;
  return section("resources", "Resources", table("Resource|Now|Limit", [["", [
    row("Connections", all.connections, all.connections_limit, count),
    [waiting > 0 ? "warn" : "ok", "Connections that wait", count(waiting), NOTHING],
    row("Calls in flight", all.in_flight, all.in_flight_limit, count),
    row("Memory of bodies", all.body_memory_bytes, all.body_memory_limit_bytes, bytes),
  ]]]));
}

function settings({ card, partners, last_reload: last, service: { now } }) {
  const reload = ({ at, outcome, changed }) => `${clock(at, now)}, ${outcome}${changed.length ? `: ${changed.join(" ")}` : ""}`;
  return section("settings", "Settings", table("Setting|In effect", [["", [
    ["ok", "Card", `${card.version} (${card.digest.slice(0, 12)})`],
    ["ok", "Shadow card", card.shadow ?? NOTHING],
    ["ok", "Registered partners", count(partners.count) + (partners.digest ? ` (${partners.digest})` : "")],
    [last?.outcome === "failed" ? "warn" : "ok", "Last reload", given(last, reload)],
  ]]]));
}

function changes(all, now) {
  const levels = { info: "ok", warn: "warn", error: "bad" };
  const rows = all.map(({ at, level, text }) => [levels[level], clock(at, now), text]);
  return section("changes", "Last changes", table("Time|Change", [["", rows]], "Nothing has changed since the start."));
}

function page(report) {
  const { service, verdict } = report;
  const { now } = service;
  const version = service.version + (service.revision ? ` (${service.revision})` : "");
  const about = `${version}, ${service.phase}, started ${span(between(service.started, now))} ago. ` +
    `It is ${clock(now, now)}, and all times are UTC.`;
  const word = { ok: "OK", warn: "Degraded", bad: "Failing" }[verdict.level];
  const link = verdict.link === null ? [] : [el("a", { href: verdict.link.replace(/^\/+/, "") }, "Runbook")];
  document.title = `${word} · ${service.name}`;
  return el("main", {}, el("header", {}, el("h1", {}, service.name), el("p", {}, about)),
    el("div", { id: "verdict", class: verdict.level }, el("strong", {}, word), el("span", {}, verdict.sentence), ...link),
    calls(report.calls), stores(report.stores, now), actors(report.actors, now), resources(report.resources), settings(report),
    changes(report.changes, now));
}

// ----- Once a second

const SILENT_AFTER = 3000;
let unanswered = null;

async function ask() {
  const began = performance.now();
  unanswered ??= began;
  try {
    const reply = await fetch("status.json", { cache: "no-store", signal: AbortSignal.timeout(SILENT_AFTER) });
    if (reply.ok) {
      patch(document.querySelector("main"), page(await reply.json()));
      unanswered = null;
    }
  } catch {
    // The clock below tells it.
  }
  setTimeout(ask, Math.max(100, began + 1000 - performance.now()));
}

function listen() {
  const silent = unanswered === null ? 0 : performance.now() - unanswered;
  const isSilent = silent >= SILENT_AFTER;
  const silence = document.getElementById("silence");
  document.body.classList.toggle("silent", isSilent);
  silence.hidden = !isSilent;
  if (isSilent) {
    silence.textContent = `No answer for ${span(Math.floor(silent / 1000))}. Everything below is older.`;
    document.title = "No answer · scoring-api";
  }
}

ask();
setInterval(listen, 250);
