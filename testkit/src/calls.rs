//! Method calls as a partner makes them. Signed here, independently of the service's own code.

use scoring_api::wall_clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

const ACCOUNT: &str = "horns&hoofs";
const LOGIN: &str = "h&f";
const SALT: &str = "Otus";
const ADMIN_SALT: &str = "42";

/// A person whose score is known. Each person is different, so a score is only cached if the test cached it.
#[derive(Debug, Clone)]
pub struct Person {
    number: u64,
    parts: u8,
}

// ===== impl Person =====

impl Person {
    /// A person of whom everything is known: a score of 5.
    pub fn full() -> Self {
        Self { number: fastrand::u64(..), parts: 7 }
    }

    /// A person of whom something is known.
    pub fn any() -> Self {
        Self { number: fastrand::u64(..), parts: fastrand::u8(1..8) }
    }

    /// A person with a phone that is hardly used twice, so that the score is not cached yet. There are few birthdays.
    pub fn stranger() -> Self {
        let person = Self::any();
        Self { parts: person.parts | 1, ..person }
    }

    /// The arguments of `online_score`.
    pub fn arguments(&self) -> Value {
        let mut arguments = json!({});
        if self.parts & 1 != 0 {
            arguments["phone"] = format!("7{:010}", self.number % 10_000_000_000).into();
            arguments["email"] = format!("{}@example.com", self.number).into();
        }
        if self.parts & 2 != 0 {
            arguments["first_name"] = format!("first {}", self.number).into();
            arguments["last_name"] = format!("last {}", self.number).into();
        }
        if self.parts & 4 != 0 {
            arguments["gender"] = (1 + self.number % 2).into();
            arguments["birthday"] = format!("{:02}.01.2000", 1 + self.number % 28).into();
        }
        arguments
    }

    /// Their score, by the contract's formula.
    pub fn score(&self) -> f64 {
        [(1, 3.0), (2, 0.5), (4, 1.5)]
            .iter()
            .filter(|(part, _)| self.parts & part != 0)
            .map(|(_, score)| score)
            .sum()
    }
}

/// A signed call.
pub fn call(method: &str, arguments: Value) -> Value {
    let mut request = json!({ "account": ACCOUNT, "login": LOGIN, "method": method });
    request["arguments"] = arguments;
    sign(request)
}

/// Adds the token that fits.
pub fn sign(mut request: Value) -> Value {
    let text = |field: &str| request[field].as_str().unwrap_or_default().to_owned();
    let token = match text("login").as_str() {
        "admin" => admin_token(),
        login => partner_token(&text("account"), login),
    };
    request["token"] = token.into();
    request
}

/// A partner's token.
fn partner_token(account: &str, login: &str) -> String {
    sha512(&format!("{account}{login}{SALT}"))
}

/// The admin's token of this hour.
fn admin_token() -> String {
    sha512(&format!("{}{ADMIN_SALT}", wall_clock::now().with_timezone(&chrono::Local).format("%Y%m%d%H")))
}

fn sha512(text: &str) -> String {
    Sha512::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
