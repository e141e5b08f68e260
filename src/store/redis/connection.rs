//! One connection to Redis, and how it is made.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join, try_join_all},
};
use redis::{
    AsyncConnectionConfig, Cmd, FromRedisValue, RedisConnectionInfo, Value, aio::MultiplexedConnection,
};
use secrecy::ExposeSecret;
use tokio::{sync::watch, task::AbortHandle, time::timeout};

use super::{
    errors::sort,
    pulse::{Pulse, Watched},
    socket,
};
use crate::store::{BackendError, Connection, Connector, Reply, url::RedisTarget};

/// Commands that may wait for the driver to take them. Admission bounds how many there can be.
const QUEUE: usize = 1024;

/// Connects to one Redis server.
#[derive(Debug, Clone)]
pub struct RedisConnector {
    target: Arc<RedisTarget>,
    timeout: Duration,
}

/// One multiplexed connection: commands of all callers share it, and the replies come in their order.
pub(super) struct RedisConnection {
    pub(super) commands: Commands,
    driver: AbortHandle,
    closed: watch::Receiver<()>,
}

#[derive(Clone)]
pub(super) struct Commands {
    client: MultiplexedConnection,
    pulse: Arc<Pulse>,
}

// ===== impl RedisConnector =====

impl RedisConnector {
    /// A connector to `target` that gives up when resolving, connecting and logging in take longer than `timeout`.
    pub fn new(target: RedisTarget, timeout: Duration) -> Self {
        Self { target: Arc::new(target), timeout }
    }
}

impl Connector for RedisConnector {
    fn connect(&self) -> Reply<Arc<dyn Connection>> {
        let (target, limit) = (self.target.clone(), self.timeout);
        async move {
            let connection: Arc<dyn Connection> = Arc::new(RedisConnection::establish(&target, limit).await?);
            Ok(connection)
        }
        .boxed()
    }

    fn answers_in_order(&self) -> bool {
        true
    }
}

// ===== impl RedisConnection =====

impl RedisConnection {
    /// Resolves, connects and logs in, all within `limit`.
    pub(super) async fn establish(target: &RedisTarget, limit: Duration) -> Result<Self, BackendError> {
        timeout(limit, async {
            let connection = Self::open(target).await?;
            connection.commands.log_in(target).await?;
            Ok(connection)
        })
        .await
        .unwrap_or(Err(BackendError::TimedOut))
    }

    async fn open(target: &RedisTarget) -> Result<Self, BackendError> {
        let socket =
            socket::open(&target.address).await.map_err(|error| BackendError::Disconnected(error.kind()))?;
        let pulse = Pulse::new();
        // The client itself says nothing on a new connection and bounds nothing in time: both are done here.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let (client, driver) =
            MultiplexedConnection::new_with_config(&info, Watched::new(socket, pulse.clone()), config)
                .await
                .map_err(|error| sort(&error))?;
        let (open, closed) = watch::channel(());
        let driver = tokio::spawn(async move {
            driver.await;
            drop(open);
        })
        .abort_handle();
        Ok(Self { commands: Commands { client, pulse }, driver, closed })
    }
}

impl Commands {
    pub(super) async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, BackendError> {
        let reply = command.query_async(&mut self.client.clone()).await;
        self.pulse.reply_completed();
        reply.map_err(|error| sort(&error))
    }

    /// Logs in and chooses the database, in one round trip, and shows that the server answers.
    ///
    /// Whether it serves is for the link's probes to find out: a server that is loading keeps its connections, and one
    /// that cannot write to its disk refuses even a `PING`.
    async fn log_in(&self, target: &RedisTarget) -> Result<(), BackendError> {
        let mut steps = Vec::new();
        if let Some(password) = &target.password {
            let mut auth = redis::cmd("AUTH");
            if let Some(username) = &target.username {
                auth.arg(username);
            }
            auth.arg(password.expose_secret());
            steps.push(auth);
        }
        if target.database != 0 {
            steps.push(redis::cmd("SELECT").arg(target.database).take());
        }
        steps.push(redis::cmd("PING"));
        let answers = steps.into_iter().map(|step| async {
            match self.run::<Value>(step).await {
                Ok(_) | Err(BackendError::NotServing { .. } | BackendError::WritesRefused { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        });
        try_join_all(answers).await.map(drop)
    }

    /// `MGET` calls a list or a hash "nothing", which would turn a broken value into a guess. `EXISTS`, asked in the same
    /// round trip, counts them; only if the counts differ is a second look taken, with `GET`, which tells.
    pub(super) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let (mut values, existing) = try_join(
            self.run::<Vec<Option<Vec<u8>>>>(redis::cmd("MGET").arg(keys).take()),
            self.run::<usize>(redis::cmd("EXISTS").arg(keys).take()),
        )
        .await?;
        if values.len() != keys.len() {
            return Err(BackendError::Protocol);
        }
        if existing > values.iter().flatten().count() {
            let missing = keys.iter().zip(&mut values).filter(|(_, value)| value.is_none());
            let looks = missing.map(|(key, value)| async move {
                *value = self.run(redis::cmd("GET").arg(key).take()).await?;
                Ok(())
            });
            try_join_all(looks).await?;
        }
        Ok(values)
    }
}

impl Connection for RedisConnection {
    fn get(&self, key: String) -> Reply<Option<Vec<u8>>> {
        let commands = self.commands.clone();
        async move { commands.run(redis::cmd("GET").arg(key).take()).await }.boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Vec<u8>>>> {
        let commands = self.commands.clone();
        async move { commands.get_many(&keys).await }.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> Reply<()> {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let commands = self.commands.clone();
        async move { commands.run(redis::cmd("SET").arg(key).arg(value).arg("PX").arg(ttl).take()).await }
            .boxed()
    }

    fn silent_for(&self) -> Duration {
        self.commands.pulse.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        let mut closed = self.closed.clone();
        // The sender is only ever dropped: an error is the signal.
        async move { while closed.changed().await.is_ok() {} }.boxed()
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
