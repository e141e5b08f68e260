//! The calls, the person, the card and the partners of the benchmarks.

use std::{sync::Arc, time::Duration};

use scoring_api::{
    domain::{
        AuthPolicy, Authenticator, Card, Json, Method, MethodRequest, OnlineScore, Partner, PartnerToken,
        Partners, Redacted, Rules, TokenDigest,
    },
    store::Memory,
    wall_clock,
};
use serde_json::json;
use testkit::call;

/// The clients of a look-up.
pub const IDS: i64 = 100;

pub fn body(method: &str) -> String {
    let arguments = match method {
        "online_score" => json!({
            "phone": "79175002040", "email": "stupnikov@example.com", "first_name": "Stanislav",
            "last_name": "Stupnikov", "birthday": "01.01.1990", "gender": 1,
        }),
        _ => json!({ "client_ids": (0..IDS).collect::<Vec<_>>(), "date": "19.07.2017" }),
    };
    call(method, arguments).to_string()
}

pub fn request(body: &str) -> MethodRequest {
    MethodRequest::from_json(Json::parse(body.as_bytes()).unwrap()).unwrap()
}

pub fn rules() -> Rules {
    Rules { today: wall_clock::now().date_naive(), max_client_ids: 10_000, explain: false }
}

/// Each characteristic has six bins, and the benchmark's person matches one of the last.
pub fn card_of_20() -> Card {
    let one = |number: u32| {
        format!(
            r#"
[[characteristic]]
name = "{number}"
reason = "R-{number}"
baseline = 50
bin = [
    {{ when = {{ phone_prefix = ["7{number}1", "7{number}2"] }}, points = 10 }},
    {{ when = {{ age = {{ below = 18 }} }}, points = 20 }},
    {{ when = {{ age = {{ from = 18, below = 25 }}, gender = [2] }}, points = 20.5 }},
    {{ when = {{ email_domain = ["example.org", "example.net"] }}, points = 30 }},
    {{ when = {{ age = {{ from = 25 }}, first_name = true }}, points = {number} }},
    {{ points = 40 }},
]
"#
        )
    };
    let parts: String = (30..50).map(one).collect();
    Card::read(&format!("version = \"20\"\nbase = 100\n{parts}")).unwrap()
}

pub fn person() -> OnlineScore {
    OnlineScore::parse(request(&body("online_score")).arguments, &rules()).unwrap()
}

pub fn authenticator() -> Authenticator {
    let policy = AuthPolicy::public();
    Authenticator::new(policy).unwrap()
}

/// A thousand partners without a shared salt, and a call of one of them that ends as `case` says.
pub fn registered(case: &str) -> (Authenticator, MethodRequest) {
    let mut request = request(&body("online_score"));
    let digest = TokenDigest::of(request.token.expose()).0;
    let until = (case == "expired").then(|| wall_clock::now() - Duration::from_secs(1));
    let (account, login) = (request.account.clone(), request.login.clone());
    let mut partner = Partner::new(&account, &login, &[PartnerToken { digest, until }]);
    partner.enabled = case != "disabled";
    if case == "method" {
        partner.methods = [Method::ClientsInterests].into_iter().collect();
    }
    let mut partners = others();
    match case {
        "unknown" => {}
        _ => partners.insert(partner).unwrap(),
    }
    if case == "token" {
        request.token = Redacted::new("0".repeat(128));
    }
    (authenticator().with_partners(Arc::new(partners), false), request)
}

/// Checks callers by the salt, and 1,000 partners by their own tokens.
pub fn beside_partners() -> Authenticator {
    authenticator().with_partners(Arc::new(others()), true)
}

fn others() -> Partners {
    let mut partners = Partners::default();
    for number in 0..1_000 {
        partners.insert(Partner::new(&format!("account{number}"), "login", &[])).unwrap();
    }
    partners
}

pub fn stored() -> impl Iterator<Item = (String, String)> {
    (0..IDS).map(|id| (format!("i:{id}"), r#"["books", "hi-tech"]"#.to_owned()))
}

pub fn memory() -> Memory {
    let memory = Memory::new(1_000);
    stored().for_each(|(key, value)| memory.insert(key, value.into_bytes()));
    memory
}
