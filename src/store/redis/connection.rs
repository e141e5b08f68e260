//! One connection to Redis, and the commands over it.
//!
//! Replies come in the order of the commands, and the client relies on nothing else. After one reply too many, each
//! later one would be taken for the answer to another question. So each round of reads ends with an *end marker*: a
//! `PING` with a text that no other round has, and that cannot be a value, because it is random for each connection.
//! A round counts only if its own end marker comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, pending},
};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, Value,
    aio::MultiplexedConnection, cmd, from_redis_value,
};
use tokio::{select, sync::watch, task::AbortHandle};

use super::{
    errors::{cannot_save, sort},
    sentinel::Named,
    watched::Watched,
};
use crate::{
    store::{
        BackendError, Connection, Found, ReplyFuture, Size,
        bulk::Change,
        wire::{ReadActivity, Socket},
    },
    units::millis,
};

/// The number of keys up to which counting them all costs less than another round trip.
const FEW: usize = 64;

/// How often values are read that others keep changing meanwhile.
const READINGS: usize = 3;

/// Commands that may wait for the driver. Admission limits their number.
const QUEUE: usize = 1024;

/// One multiplexed connection: commands of all callers share it, and the replies come in their order.
pub(super) struct RedisConnection {
    pub(super) commands: Commands,
    driver: AbortHandle,
    closed: watch::Receiver<()>,
    /// The sentinels' choice, if this is a connection to it.
    pub(super) named: Option<Named>,
    /// Whether the server is a node of a cluster, and asked only for its own keys.
    pub(super) is_shard: bool,
}

#[derive(Clone)]
pub(super) struct Commands {
    client: MultiplexedConnection,
    activity: Arc<ReadActivity>,
    /// The part of its end markers that no other connection and no value has.
    nonce: Arc<str>,
    /// The number of rounds of reads so far.
    rounds: Arc<AtomicU64>,
    /// Whether it has refused keys of two slots: it is a node of a cluster behind the URL of one server.
    refuses_batches: Arc<AtomicBool>,
}

/// The answers of one round of reads, in the order of its questions.
struct Answers(std::vec::IntoIter<Value>);

// ===== impl RedisConnection =====

impl RedisConnection {
    /// Starts the protocol on `socket`. Nothing is sent yet.
    pub(super) async fn over(socket: impl Socket + 'static) -> Result<Self, BackendError> {
        let activity = ReadActivity::new();
        // The client itself sends nothing on a new connection and has no time limits: both are done here.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let (client, driver) =
            MultiplexedConnection::new_with_config(&info, Watched::new(socket, activity.clone()), config)
                .await
                .map_err(|error| sort(&error))?;
        let (open, closed) = watch::channel(());
        let driver = tokio::spawn(async move {
            driver.await;
            drop(open);
        })
        .abort_handle();
        let commands = Commands {
            client,
            activity,
            nonce: format!("{:016x}:", fastrand::u64(..)).into(),
            rounds: Arc::default(),
            refuses_batches: Arc::default(),
        };
        Ok(Self { commands, driver, closed, named: None, is_shard: false })
    }
}

impl Commands {
    pub(super) async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, BackendError> {
        command.query_async(&mut self.client.clone()).await.map_err(|error| sort(&error))
    }

    /// Runs `command`, whose only valid answer is `expected`.
    pub(super) async fn run_for(&self, command: Cmd, expected: &Value) -> Result<(), BackendError> {
        let reply: Value = self.run(command).await?;
        if reply == *expected { Ok(()) } else { Err(BackendError::Protocol) }
    }

    /// The reply as it came, including errors inside it.
    pub(super) async fn reply(&self, command: Cmd) -> Result<Value, BackendError> {
        self.client.clone().send_packed_command(&command).await.map_err(|error| sort(&error))
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, BackendError> {
        self.read(vec![cmd("GET").arg(key).take()]).await?.next()
    }

    async fn get_together(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let mut answers = self.read(vec![cmd("MGET").arg(keys).take()]).await?;
        let values: Vec<Option<Vec<u8>>> = answers.next().inspect_err(|error| {
            if matches!(error, BackendError::CrossSlot) {
                self.refuses_batches.store(true, Relaxed);
            }
        })?;
        of_all(keys, values)
    }

    /// The values that are found are of one moment, that of `MGET`.
    ///
    /// For a list or a hash `MGET` returns "nothing", which would turn a broken value into a guess. So `EXISTS` counts the keys; only
    /// if there are more than values, `GET` tells the other types from values that have just been written, and then all are read
    /// again.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let mut readings = 0;
        loop {
            readings += 1;
            let (values, existing) = self.get_and_count(keys).await?;
            if existing <= values.iter().flatten().count() {
                return Ok(values);
            }
            let missing = || missing(keys, &values);
            let looks = missing().map(|key| cmd("GET").arg(key).take()).collect();
            let mut answers = self.read(looks).await?;
            missing().try_for_each(|_| answers.next::<Option<Vec<u8>>>().map(drop))?;
            if readings == READINGS {
                return Ok(values);
            }
        }
    }

    /// The values, and the number of keys that exist. Few keys are counted in the same round trip; of many, only those that were not
    /// found, in another one.
    async fn get_and_count(&self, keys: &[String]) -> Result<(Vec<Option<Vec<u8>>>, usize), BackendError> {
        if keys.len() <= FEW {
            let questions = ["MGET", "EXISTS"].map(|name| cmd(name).arg(keys).take());
            let mut answers = self.read(questions.into()).await?;
            let values: Vec<Option<Vec<u8>>> = answers.next()?;
            let existing = answers.next()?;
            return Ok((of_all(keys, values)?, existing));
        }
        let values = self.get_together(keys).await?;
        let found = values.iter().flatten().count();
        if found == keys.len() {
            return Ok((values, found));
        }
        let mut counting = cmd("EXISTS");
        missing(keys, &values).for_each(|key| _ = counting.arg(key));
        let others: usize = self.read(vec![counting]).await?.next()?;
        Ok((values, found + others))
    }

    /// As [`Connection::get_each`]. `MGET` is rejected if the keys have several slots, even if this server owns them all.
    pub(super) async fn get_each(&self, keys: &[String], asking: bool) -> Result<Vec<Found>, BackendError> {
        let mut questions = Vec::with_capacity(keys.len() * if asking { 2 } else { 1 });
        for key in keys {
            if asking {
                questions.push(cmd("ASKING"));
            }
            questions.push(cmd("GET").arg(key).take());
        }
        let mut answers = self.read(questions).await?;
        let found = |_| {
            if asking {
                is_ok(answers.next())?;
            }
            match answers.next() {
                Ok(value) => Ok(Found::Value(value)),
                Err(BackendError::Redirected(redirect)) => Ok(Found::Elsewhere(redirect)),
                Err(error) => Err(error),
            }
        };
        keys.iter().map(found).collect()
    }

    /// Makes each change, and returns each answer. Only for a cluster in bulk.
    pub(super) async fn change_each(
        &self,
        changes: &[Change<'_>],
        asking: bool,
    ) -> Result<Vec<Result<(), BackendError>>, BackendError> {
        let mut commands = Vec::new();
        for (key, value) in changes {
            if asking {
                commands.push(cmd("ASKING"));
            }
            commands.push(match value {
                Some(value) => cmd("SET").arg(*key).arg(*value).take(),
                None => cmd("DEL").arg(*key).take(),
            });
        }
        let mut answers = self.read(commands).await?;
        let answer = |(_, value): &Change<'_>| {
            if asking {
                is_ok(answers.next())?;
            }
            match value {
                Some(_) => is_ok(answers.next()),
                None => answers.next::<u64>().map(drop),
            }
        };
        Ok(changes.iter().map(answer).collect())
    }

    /// Asks for the length of each key's string. If the server rejects the command, all lengths are unknown.
    async fn sizes(&self, keys: &[String]) -> Result<Vec<Option<Size>>, BackendError> {
        let questions = keys.iter().map(|key| cmd("STRLEN").arg(key).take()).collect();
        let mut answers = self.read(questions).await?;
        let size = |_| match answers.next::<u64>() {
            Ok(bytes) => Ok(Some(Size::Bytes(bytes))),
            Err(BackendError::WrongType) => Ok(Some(Size::OtherKind)),
            Err(BackendError::Protocol) => Err(BackendError::Protocol),
            Err(_) => Ok(None),
        };
        keys.iter().map(size).collect()
    }

    /// The replies to the `count` commands of `pipeline` as they came.
    async fn exchange(&self, pipeline: &Pipeline, count: usize) -> Result<Vec<Value>, BackendError> {
        let replies = self.client.clone().send_packed_commands(pipeline, 0, count).await;
        replies.map_err(|error| sort(&error))
    }

    /// Sends `questions` and an end marker in one round trip.
    ///
    /// A server that cannot save rejects a `PING` but serves reads, so that rejection counts as an end marker.
    async fn read(&self, questions: Vec<Cmd>) -> Result<Answers, BackendError> {
        let count = questions.len() + 1;
        let mut round = itoa::Buffer::new();
        let own_end_marker = [&*self.nonce, round.format(self.rounds.fetch_add(1, Relaxed))].concat();
        let mut pipeline = Pipeline::with_capacity(count);
        questions.into_iter().for_each(|question| _ = pipeline.add_command(question));
        pipeline.add_command(cmd("PING").arg(&own_end_marker).take());
        let mut replies = self.exchange(&pipeline, count).await?;
        match replies.pop() {
            Some(Value::BulkString(end_marker)) if end_marker == own_end_marker.as_bytes() => {}
            Some(Value::ServerError(error)) => {
                let refused = sort(&error.into());
                if !cannot_save(&refused) {
                    return Err(refused);
                }
            }
            _ => return Err(BackendError::Protocol),
        }
        Ok(Answers(replies.into_iter()))
    }
}

/// Values of as many keys as were asked for, or the server has not answered the question.
fn of_all<T>(keys: &[String], values: Vec<T>) -> Result<Vec<T>, BackendError> {
    if values.len() == keys.len() { Ok(values) } else { Err(BackendError::Protocol) }
}

/// The keys without a value.
fn missing<'a>(keys: &'a [String], values: &'a [Option<Vec<u8>>]) -> impl Iterator<Item = &'a String> {
    keys.iter().zip(values).filter(|(_, value)| value.is_none()).map(|(key, _)| key)
}

fn set(key: &str, value: &[u8], ttl: Duration) -> Cmd {
    cmd("SET").arg(key).arg(value).arg("PX").arg(millis(ttl)).take()
}

/// An answer that must be `OK`.
fn is_ok(answer: Result<Value, BackendError>) -> Result<(), BackendError> {
    if answer? == Value::Okay { Ok(()) } else { Err(BackendError::Protocol) }
}

impl Answers {
    fn next<T: FromRedisValue>(&mut self) -> Result<T, BackendError> {
        let reply = self.0.next().ok_or(BackendError::Protocol)?;
        let value = reply.extract_error().map_err(|error| sort(&error))?;
        from_redis_value(value).map_err(|error| sort(&error.into()))
    }
}

impl Connection for RedisConnection {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        let commands = self.commands.clone();
        async move { commands.get(key).await }.boxed()
    }

    /// Except from a node of a cluster, which refuses `MGET` for keys of two slots.
    fn gathers(&self) -> bool {
        !self.is_shard && !self.commands.refuses_batches.load(Relaxed)
    }

    fn get_together(&self, keys: Vec<String>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let commands = self.commands.clone();
        async move { commands.get_together(&keys).await }.boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let commands = self.commands.clone();
        async move { commands.get_many(&keys).await }.boxed()
    }

    fn get_each(&self, keys: Arc<[String]>, asking: bool) -> ReplyFuture<Vec<Found>> {
        let commands = self.commands.clone();
        async move { commands.get_each(&keys, asking).await }.boxed()
    }

    fn is_shard(&self) -> bool {
        self.is_shard
    }

    fn sizes(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Size>>> {
        let commands = self.commands.clone();
        async move { commands.sizes(&keys).await }.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        let commands = self.commands.clone();
        let set = set(&key, &value, ttl);
        async move { commands.run_for(set, &Value::Okay).await }.boxed()
    }

    fn set_together(
        &self,
        entries: Vec<(String, Vec<u8>, Duration)>,
    ) -> ReplyFuture<Vec<Result<(), BackendError>>> {
        let commands = self.commands.clone();
        async move {
            let count = entries.len();
            let mut pipeline = Pipeline::with_capacity(count);
            entries.iter().for_each(|(key, value, ttl)| _ = pipeline.add_command(set(key, value, *ttl)));
            let mut answers = Answers(commands.exchange(&pipeline, count).await?.into_iter());
            Ok((0..count).map(|_| is_ok(answers.next())).collect())
        }
        .boxed()
    }

    fn silent_for(&self) -> Duration {
        self.commands.activity.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        let mut closed = self.closed.clone();
        let named = self.named.clone();
        async move {
            let is_demoted = async {
                match named {
                    Some(mut named) => named.is_replaced().await,
                    None => pending().await,
                }
            };
            // The sender is only ever dropped: the error is the signal.
            let is_closed = async { while closed.changed().await.is_ok() {} };
            select! {
                biased;
                () = is_closed => BackendError::Disconnected(std::io::ErrorKind::ConnectionAborted),
                () = is_demoted => BackendError::Demoted,
            }
        }
        .boxed()
    }

    fn close(&self) {
        self.driver.abort();
    }
}

/// Commands in flight hold a sender to the driver, so the driver must be ended explicitly.
impl Drop for RedisConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
