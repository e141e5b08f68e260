//! One connection to Redis, and the commands over it.
//!
//! Replies come in the order of the commands, and that order is all that the client goes by. One reply too many, and each
//! one behind it would be taken for the answer to another question. So each round of reads ends with a *seal*: a `PING`
//! with a text that no other round has, and that cannot be a value, as it is random for each connection. A round counts only
//! if its own seal comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, RedisConnectionInfo, Value,
    aio::MultiplexedConnection, from_redis_value,
};
use tokio::{sync::watch, task::AbortHandle};

use super::{
    errors::{cannot_save, sort},
    read_activity::{ReadActivity, Watched},
    socket::Socket,
};
use crate::store::{BackendError, Connection, Reply, Size};

/// Commands that may wait for the driver to take them. Admission bounds how many there can be.
const QUEUE: usize = 1024;

/// One multiplexed connection: commands of all callers share it, and the replies come in their order.
pub(super) struct RedisConnection {
    pub(super) commands: Commands,
    driver: AbortHandle,
    closed: watch::Receiver<()>,
}

#[derive(Clone)]
pub(super) struct Commands {
    client: MultiplexedConnection,
    activity: Arc<ReadActivity>,
    /// The part of its seals that no other connection has, and no value.
    nonce: Arc<str>,
    /// How many rounds of reads were sent.
    rounds: Arc<AtomicU64>,
}

/// The answers of one round of reads, in the order of its questions.
struct Answers(std::vec::IntoIter<Value>);

// ===== impl RedisConnection =====

impl RedisConnection {
    /// Speaks Redis over `socket`. Nothing is sent yet.
    pub(super) async fn over(socket: impl Socket + 'static) -> Result<Self, BackendError> {
        let activity = ReadActivity::new();
        // The client itself says nothing on a new connection and bounds nothing in time: both are done here.
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
        };
        Ok(Self { commands, driver, closed })
    }
}

impl Commands {
    pub(super) async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, BackendError> {
        command.query_async(&mut self.client.clone()).await.map_err(|error| sort(&error))
    }

    /// Runs `command`, of which only `expected` is an answer.
    pub(super) async fn run_for(&self, command: Cmd, expected: &Value) -> Result<(), BackendError> {
        let reply: Value = self.run(command).await?;
        if reply == *expected { Ok(()) } else { Err(BackendError::Protocol) }
    }

    /// The reply as it came, errors within it included.
    pub(super) async fn reply(&self, command: Cmd) -> Result<Value, BackendError> {
        self.client.clone().send_packed_command(&command).await.map_err(|error| sort(&error))
    }

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>, BackendError> {
        self.read(vec![redis::cmd("GET").arg(key).take()]).await?.next()
    }

    /// `MGET` calls a list or a hash "nothing", which would turn a broken value into a guess. `EXISTS`, asked in the same
    /// round trip, counts them; only if the counts differ is a second look taken, with `GET`, which tells.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let questions = ["MGET", "EXISTS"].map(|name| redis::cmd(name).arg(keys).take());
        let mut answers = self.read(questions.into()).await?;
        let mut values: Vec<Option<Vec<u8>>> = answers.next()?;
        let existing: usize = answers.next()?;
        if values.len() != keys.len() {
            return Err(BackendError::Protocol);
        }
        if existing > values.iter().flatten().count() {
            let missing = || keys.iter().zip(&values).filter(|(_, value)| value.is_none());
            let looks = missing().map(|(key, _)| redis::cmd("GET").arg(key).take()).collect();
            let mut answers = self.read(looks).await?;
            for value in values.iter_mut().filter(|value| value.is_none()) {
                *value = answers.next()?;
            }
        }
        Ok(values)
    }

    /// Asks each key for the length of its string. A server that refuses the command leaves all of them unknown.
    async fn sizes(&self, keys: &[String]) -> Result<Vec<Option<Size>>, BackendError> {
        let questions = keys.iter().map(|key| redis::cmd("STRLEN").arg(key).take()).collect();
        let mut answers = self.read(questions).await?;
        let size = |_| match answers.next::<u64>() {
            Ok(bytes) => Ok(Some(Size::Bytes(bytes))),
            Err(BackendError::WrongType) => Ok(Some(Size::OtherKind)),
            Err(BackendError::Protocol) => Err(BackendError::Protocol),
            Err(_) => Ok(None),
        };
        keys.iter().map(size).collect()
    }

    /// Sends `questions` and a seal in one round trip.
    ///
    /// A server that cannot save refuses a `PING` and serves reads all the same, so that refusal has to do for a seal.
    async fn read(&self, questions: Vec<Cmd>) -> Result<Answers, BackendError> {
        let count = questions.len() + 1;
        let mut round = itoa::Buffer::new();
        let own_seal = [&*self.nonce, round.format(self.rounds.fetch_add(1, Relaxed))].concat();
        let mut pipeline = Pipeline::with_capacity(count);
        questions.into_iter().for_each(|question| _ = pipeline.add_command(question));
        pipeline.add_command(redis::cmd("PING").arg(&own_seal).take());
        let mut replies = self
            .client
            .clone()
            .send_packed_commands(&pipeline, 0, count)
            .await
            .map_err(|error| sort(&error))?;
        match replies.pop() {
            Some(Value::BulkString(seal)) if seal == own_seal.as_bytes() => {}
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

impl Answers {
    fn next<T: FromRedisValue>(&mut self) -> Result<T, BackendError> {
        let reply = self.0.next().ok_or(BackendError::Protocol)?;
        let value = reply.extract_error().map_err(|error| sort(&error))?;
        from_redis_value(value).map_err(|error| sort(&error.into()))
    }
}

impl Connection for RedisConnection {
    fn get(&self, key: String) -> Reply<Option<Vec<u8>>> {
        let commands = self.commands.clone();
        async move { commands.get(key).await }.boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Vec<u8>>>> {
        let commands = self.commands.clone();
        async move { commands.get_many(&keys).await }.boxed()
    }

    fn sizes(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Size>>> {
        let commands = self.commands.clone();
        async move { commands.sizes(&keys).await }.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> Reply<()> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let commands = self.commands.clone();
        let set = redis::cmd("SET").arg(key).arg(value).arg("PX").arg(ttl).take();
        async move { commands.run_for(set, &Value::Okay).await }.boxed()
    }

    fn silent_for(&self) -> Duration {
        self.commands.activity.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        let mut closed = self.closed.clone();
        async move {
            // The sender is only ever dropped: an error is the signal.
            while closed.changed().await.is_ok() {}
            BackendError::Disconnected(std::io::ErrorKind::ConnectionAborted)
        }
        .boxed()
    }

    fn close(&self) {
        self.driver.abort();
    }
}

/// Commands in flight hold a sender to the driver, so it must be ended by hand.
impl Drop for RedisConnection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
