//! Redis in bulk: one transaction to write, pages to read, on a separate connection.
//!
//! After `MULTI` the server queues the commands and executes them at `EXEC`, all at once. So if the client dies, a
//! command fails or the network breaks before that, the old data remains. Only a lost answer to `EXEC` leaves a
//! doubt, which is reported as such. The price is that the server holds the queue in memory.

use std::{collections::HashSet, ops::ControlFlow, time::Duration};

use redis::{Cmd, FromRedisValue, Value, cmd};
use tokio::runtime::Runtime;

use super::{connect::RedisConnector, connection::RedisConnection, errors::sort};
use crate::{
    resolver::Resolver,
    store::{
        BackendError, Bulk, Changes, PutError, Stored, Watch,
        bulk::pieces::{PAGE, blocking_runtime, by_pages, chunks, in_time},
        url::RedisTarget,
    },
};

/// A connection to one server, for one thread that blocks on it.
pub(in crate::store) struct RedisBulk {
    // Before the runtime, which its driver needs.
    connection: RedisConnection,
    runtime: Runtime,
}

// ===== impl RedisBulk =====

impl RedisBulk {
    /// Connects and logs in, within `limit`.
    pub(in crate::store) fn connect(
        target: &RedisTarget,
        limit: Duration,
        resolver: &Resolver,
    ) -> Result<Self, BackendError> {
        let runtime = blocking_runtime()?;
        let connector = RedisConnector::new(target.clone(), limit, resolver.clone());
        let connection = runtime.block_on(connector.establish())?;
        Ok(Self { connection, runtime })
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, BackendError> {
        in_time(self.connection.commands.run(command)).await
    }

    async fn write(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        let commands = &self.connection.commands;
        in_time(commands.run_for(cmd("MULTI"), &Value::Okay)).await?;
        let queued = Value::SimpleString("QUEUED".to_owned());
        let (all, mut expected) = (changes.all(), Vec::new());
        let (put, delete) = all.split_at(changes.put.len());
        for chunk in chunks(put, usize::MAX).chain(chunks(delete, usize::MAX)) {
            let is_put = chunk.iter().any(|(_, value)| value.is_some());
            let mut write = cmd(if is_put { "MSET" } else { "DEL" });
            for (key, value) in chunk {
                write.arg(*key);
                value.iter().for_each(|value| _ = write.arg(*value));
            }
            in_time(commands.run_for(write, &queued)).await.map_err(|error| {
                // It was not queued, so it may have been executed.
                let may_be_written = matches!(error, BackendError::Protocol);
                if may_be_written { PutError::Unknown(error) } else { error.into() }
            })?;
            expected.push(is_put);
            watch.written(chunk.len());
        }
        // Without an EXEC the queue ends with the connection.
        if !watch.may_commit() {
            return Err(PutError::CalledOff);
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "any other reply leaves it unknown")]
        match in_time(commands.reply(cmd("EXEC"))).await.map_err(PutError::Unknown)? {
            Value::Array(replies) if are_right(&replies, &expected) => Ok(()),
            // An error reply is an answer: the transaction was rejected as a whole.
            Value::ServerError(refused) => Err(sort(&refused.into()).into()),
            other => {
                let error = other.extract_error().err();
                Err(PutError::Unknown(error.map_or(BackendError::Protocol, |error| sort(&error))))
            }
        }
    }

    async fn get_page(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        match in_time(self.connection.commands.get_many(keys)).await {
            Ok(values) => Ok(values.into_iter().map(Stored::from).collect()),
            // One of the values has another kind. Only reading each key alone shows which one.
            Err(BackendError::WrongType) => {
                let mut page = Vec::with_capacity(keys.len());
                for key in keys {
                    page.push(match self.ask::<Option<Vec<u8>>>(cmd("GET").arg(key).take()).await {
                        Ok(value) => Stored::from(value),
                        Err(BackendError::WrongType) => Stored::WrongKind,
                        Err(error) => return Err(error),
                    });
                }
                Ok(page)
            }
            Err(error) => Err(error),
        }
    }
}

impl Bulk for RedisBulk {
    fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        self.runtime.block_on(self.write(changes, watch))
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        self.runtime.block_on(by_pages(keys, async |page| self.get_page(page).await))
    }

    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let ask = |scan| self.runtime.block_on(self.ask(scan));
        scan(prefix, ask, |keys| self.get_many(keys), visit).map(drop)
    }
}

/// Whether `EXEC` has answered each `MSET` with OK, and each `DEL` with a number.
fn are_right(replies: &[Value], expected: &[bool]) -> bool {
    let is_right = |(reply, is_put): (&Value, &bool)| {
        if *is_put { *reply == Value::Okay } else { matches!(reply, Value::Int(_)) }
    };
    replies.len() == expected.len() && replies.iter().zip(expected).all(is_right)
}

/// Calls `visit` with each key of one server that starts with `prefix`, until it breaks off.
///
/// Remembers each key that it has seen, because `SCAN` may return a key twice; of the values, it holds one page.
pub(super) fn scan(
    prefix: &str,
    ask: impl Fn(Cmd) -> Result<(u64, Vec<Vec<u8>>), BackendError>,
    get_many: impl Fn(&[String]) -> Result<Vec<Stored>, BackendError>,
    visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, BackendError> {
    let pattern = format!("{}*", literally(prefix));
    let mut seen = HashSet::new();
    let mut cursor = 0u64;
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE);
        let (next, keys) = ask(scan)?;
        // A key that is not text does not belong to this service.
        let keys: Vec<String> = keys
            .into_iter()
            .filter_map(|key| String::from_utf8(key).ok())
            .filter(|key| seen.insert(key.clone()))
            .collect();
        for (key, stored) in keys.iter().zip(get_many(&keys)?) {
            // It was deleted after the scan.
            if stored != Stored::Nothing && visit(key, stored).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if next == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        cursor = next;
    }
}

/// The `SCAN` pattern that matches only `text`.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '-' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("i:", "i:")]
    #[case::glob("a*b?[c]^-\\", "a\\*b\\?\\[c\\]\\^\\-\\\\")]
    fn a_prefix_is_taken_literally(#[case] prefix: &str, #[case] pattern: &str) {
        assert_eq!(literally(prefix), pattern);
    }
}
