//! A simulated server that speaks the protocol of Redis: a server alone, a node of a cluster, or a sentinel.

use std::time::Duration;

use protocols::resp;
use tokio::time::Instant;

use super::server::{DATABASES, Entry, LogIn, Session, State, Value};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

impl State {
    /// The answer of Redis.
    pub(super) fn execute_redis(&mut self, session: &mut Session, words: &[&str]) -> Vec<u8> {
        let step = match words[0] {
            "AUTH" => Some(LogIn::Auth),
            "SELECT" => Some(LogIn::Select),
            "PING" if words.len() == 1 => Some(LogIn::Ping),
            _ => None,
        };
        if let Some((refused, error)) = self.refuses_step
            && step == Some(refused)
        {
            return resp::error(error);
        }
        if !session.has_logged_in && step != Some(LogIn::Auth) {
            return resp::error("NOAUTH Authentication required.");
        }
        if self.script.is_some() && step != Some(LogIn::Auth) {
            return resp::error("BUSY Redis is busy running a script.");
        }
        if self.is_loading && !matches!(step, Some(LogIn::Auth | LogIn::Select)) {
            return resp::error("LOADING Redis is loading the dataset in memory");
        }
        let is_asking = std::mem::replace(&mut session.is_asking, words == ["ASKING"]);
        if let Some(member) = &self.member {
            if let Some(answer) = member.view.answer(member.me, words) {
                return answer;
            }
            if let (["GET" | "SET" | "STRLEN", key, ..], Some(me)) = (words, member.me) {
                let is_there = self.find(session.database, key).is_some();
                if let Some(redirect) = member.view.redirects(me, key, is_there, is_asking) {
                    return redirect;
                }
            }
        }
        match (words, self.refuses_writes) {
            (["SET", ..], Some(error)) => return resp::error(error),
            (["PING", ..], Some(error)) if error.starts_with("MISCONF") => return resp::error(error),
            _ => {}
        }
        match words {
            ["AUTH", login @ ..] => self.log_in(session, login),
            ["SELECT", database] => match database.parse() {
                Ok(database) if database < DATABASES => {
                    session.database = database;
                    resp::simple("OK")
                }
                _ => resp::error("ERR DB index is out of range"),
            },
            ["ASKING"] => resp::simple("OK"),
            ["PING"] => resp::simple("PONG"),
            ["PING", text] => resp::bulk(Some(text.as_bytes())),
            ["GET", key] => self.get(session.database, key),
            ["MGET", keys @ ..] => {
                let value = |key: &&str| match self.find(session.database, key) {
                    Some(Value::Text(text)) => resp::bulk(Some(text)),
                    Some(Value::OtherKind) | None => resp::bulk(None),
                };
                resp::array(&keys.iter().map(value).collect::<Vec<_>>())
            }
            ["EXISTS", keys @ ..] => {
                resp::integer(keys.iter().filter(|key| self.find(session.database, key).is_some()).count())
            }
            ["STRLEN", key] => match self.find(session.database, key) {
                Some(Value::Text(text)) => resp::integer(text.len()),
                Some(Value::OtherKind) => resp::error(WRONG_TYPE),
                None => resp::integer(0),
            },
            ["SET", key, value, "PX", millis] => {
                let lasts = Duration::from_millis(millis.parse().unwrap_or(0));
                let value = Value::Text(value.as_bytes().to_vec());
                let entry = Entry { value, expires: Some(Instant::now() + lasts) };
                self.databases[session.database].insert((*key).to_owned(), entry);
                resp::simple("OK")
            }
            _ => resp::error("ERR unknown command"),
        }
    }

    fn log_in(&self, session: &mut Session, login: &[&str]) -> Vec<u8> {
        let Some((user, password)) = &self.log_in else {
            return resp::error("ERR AUTH called without any password configured for the default user");
        };
        let is_right = match login {
            [given] => *user == "default" && given == password,
            [name, given] => name == user && given == password,
            _ => false,
        };
        if !is_right {
            return resp::error("WRONGPASS invalid username-password pair or user is disabled.");
        }
        session.has_logged_in = true;
        resp::simple("OK")
    }

    fn get(&self, database: usize, key: &str) -> Vec<u8> {
        match self.find(database, key) {
            Some(Value::Text(text)) => resp::bulk(Some(text)),
            Some(Value::OtherKind) => resp::error(WRONG_TYPE),
            None => resp::bulk(None),
        }
    }
}
