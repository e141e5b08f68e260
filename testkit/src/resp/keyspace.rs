//! The server's keys, and Redis' answers to the supported commands.

use std::collections::HashMap;

use super::{Command, wire};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// The keys of one server. Nothing expires: a test that wants that uses a real Redis.
#[derive(Debug, Default)]
pub(super) struct Keyspace(HashMap<String, Value>);

#[derive(Debug)]
enum Value {
    Text(Vec<u8>),
    /// Anything that is no string.
    Other,
}

// ===== impl Keyspace =====

impl Keyspace {
    pub(super) fn put(&mut self, key: &str, value: &[u8]) {
        self.0.insert(key.to_owned(), Value::Text(value.to_owned()));
    }

    pub(super) fn put_wrong_type(&mut self, key: &str) {
        self.0.insert(key.to_owned(), Value::Other);
    }

    pub(super) fn text(&self, key: &str) -> Option<&[u8]> {
        match self.0.get(key)? {
            Value::Text(text) => Some(text),
            Value::Other => None,
        }
    }

    /// Answers a data command; `raw` holds its arguments as they came.
    pub(super) fn answer(&mut self, command: &Command, raw: &[Vec<u8>], protocol: u8) -> Vec<u8> {
        let keys = &command.args;
        match (command.name.as_str(), keys.as_slice()) {
            ("GET", [key]) if matches!(self.0.get(key), Some(Value::Other)) => wire::error(WRONG_TYPE),
            ("GET", [key]) => wire::bulk(self.text(key), protocol),
            ("MGET", [_, ..]) => {
                wire::array(&keys.iter().map(|key| wire::bulk(self.text(key), protocol)).collect::<Vec<_>>())
            }
            // How long the key is to live is on record as an argument, and that is all.
            ("SET", [key, _, ..]) => {
                self.put(key, &raw[1]);
                wire::simple("OK")
            }
            ("SETEX", [key, _, _]) => {
                self.put(key, &raw[2]);
                wire::simple("OK")
            }
            ("MSET", [_, ..]) if raw.len().is_multiple_of(2) => {
                keys.iter()
                    .step_by(2)
                    .zip(raw.iter().skip(1).step_by(2))
                    .for_each(|(key, value)| self.put(key, value));
                wire::simple("OK")
            }
            ("EXISTS", [_, ..]) => wire::integer(keys.iter().filter(|key| self.0.contains_key(*key)).count()),
            ("STRLEN", [key]) if matches!(self.0.get(key), Some(Value::Other)) => wire::error(WRONG_TYPE),
            ("STRLEN", [key]) => wire::integer(self.text(key).map_or(0, <[u8]>::len)),
            ("DEL", [_, ..]) => {
                wire::integer(keys.iter().filter(|key| self.0.remove(*key).is_some()).count())
            }
            (name, _) => {
                wire::error(&format!("ERR unknown command '{name}', or a wrong number of arguments"))
            }
        }
    }
}
