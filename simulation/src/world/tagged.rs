//! A simulated server that speaks the protocol of memcached or of Tarantool. Both have one database only.

use std::time::Duration;

use protocols::{
    iproto::{self, Kind, Request, Value as Packed},
    meta::{self, Command},
};
use tokio::time::Instant;

use super::server::{Entry, LogIn, State, Value};

/// The error of a server that starts.
const STARTS: u64 = 116;
const NO_RIGHT: u64 = 42;
const WRONG_PASSWORD: u64 = 47;
const NO_SUCH_FUNCTION: u64 = 33;
const NO_MEMORY: u64 = 2;

impl State {
    /// The answer of memcached.
    pub(super) fn execute_meta(&mut self, command: &Command) -> Vec<u8> {
        match command {
            Command::Get { key, token } => match self.find(0, key) {
                Some(Value::Text(text)) => meta::value(token, Some(text)),
                Some(Value::OtherKind) | None => meta::value(token, None),
            },
            Command::Set { .. } if matches!(self.refuses_step, Some((LogIn::Ping, _))) => {
                meta::error("ERROR")
            }
            Command::Set { .. } if self.refuses_writes.is_some() => {
                meta::error("SERVER_ERROR out of memory storing object")
            }
            Command::Set { key, value, seconds, token } => {
                self.store(key, value, Duration::from_secs(*seconds));
                meta::stored(token)
            }
        }
    }

    /// The answer of Tarantool. `is_known` is whether the connection has logged in.
    pub(super) fn execute_iproto(&mut self, is_known: &mut bool, request: &Request) -> Vec<u8> {
        let sync = request.sync;
        match &request.kind {
            Kind::Auth { .. } if matches!(self.refuses_step, Some((LogIn::Auth, _))) => {
                iproto::error(sync, NO_RIGHT)
            }
            Kind::Auth { user, scramble } => {
                let expected = self.log_in.as_ref();
                *is_known = expected
                    .is_some_and(|(name, password)| user == name && *scramble == iproto::scramble(password));
                if *is_known { iproto::welcome(sync) } else { iproto::error(sync, WRONG_PASSWORD) }
            }
            Kind::Call { .. } if !*is_known => iproto::error(sync, NO_RIGHT),
            Kind::Call { .. } if self.is_loading => iproto::error(sync, STARTS),
            Kind::Call { .. } if matches!(self.refuses_step, Some((LogIn::Ping, _))) => {
                iproto::error(sync, NO_SUCH_FUNCTION)
            }
            Kind::Call { function, arguments } => match self.call(function, arguments) {
                Ok(value) => iproto::returned(sync, vec![value]),
                Err(number) => iproto::error(sync, number),
            },
        }
    }

    fn call(&mut self, function: &str, arguments: &[Packed]) -> Result<Packed, u64> {
        match (function, arguments) {
            ("scoring.get_many", [keys]) => {
                Ok(Packed::Array(keys.texts().iter().map(|key| self.packed(key)).collect()))
            }
            ("scoring.sizes", [keys]) => {
                let size = |key: &String| match self.find(0, key) {
                    Some(Value::Text(text)) => Packed::Number(text.len() as u64),
                    Some(Value::OtherKind) => Packed::Nil,
                    None => Packed::Number(0),
                };
                Ok(Packed::Array(keys.texts().iter().map(size).collect()))
            }
            ("scoring.cache_get", [key]) => Ok(self.packed(&key.text())),
            ("scoring.cache_put", [key, Packed::Text(value), Packed::Number(millis)]) => {
                if self.refuses_writes.is_some() {
                    return Err(NO_MEMORY);
                }
                self.store(&key.text(), value, Duration::from_millis(*millis));
                Ok(Packed::Number(1))
            }
            _ => Err(NO_SUCH_FUNCTION),
        }
    }

    fn packed(&self, key: &str) -> Packed {
        match self.find(0, key) {
            Some(Value::Text(text)) => Packed::Text(text.clone()),
            Some(Value::OtherKind) => Packed::Number(7),
            None => Packed::Nil,
        }
    }

    fn store(&mut self, key: &str, value: &[u8], lasts: Duration) {
        let entry = Entry { value: Value::Text(value.to_vec()), expires: Some(Instant::now() + lasts) };
        self.databases[0].insert(key.to_owned(), entry);
    }
}
