//! A group of Redis servers, one of them the primary, and the sentinels that watch it.

use std::{fs, net::SocketAddr, time::Duration};

use redis::{Client, FromRedisValue, RedisResult, cmd};
use tempfile::TempDir;

use super::{
    RedisServer, eventually,
    port::ReservedPort,
    process::{Program, ServerProcess},
    redis::program,
};

/// The name of the primary in the sentinels' configuration.
pub const NAME: &str = "scores";

const START_WITHIN: Duration = Duration::from_secs(20);

/// A failover takes two to three seconds, and longer on a busy machine.
const FAILOVER_WITHIN: Duration = Duration::from_secs(40);

/// Three servers and three sentinels. Dropping it ends all of them.
pub struct SentinelGroup {
    /// The servers. At the start the first is the primary, and the others are its replicas.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

struct Sentinel {
    port: ReservedPort,
    process: ServerProcess,
    _dir: TempDir,
}

// ===== impl SentinelGroup =====

impl SentinelGroup {
    /// Starts them, and waits until all know each other.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed, or they do not agree within 20 s.
    pub async fn start() -> Self {
        let server = |options| Box::pin(RedisServer::with(options));
        let primary = server(&["--repl-diskless-sync-delay", "0"]).await;
        let port = primary.addr().port();
        let number = port.to_string();
        let options = ["--replicaof", "127.0.0.1", &number, "--repl-diskless-sync-delay", "0"];
        let (one, two) = tokio::join!(server(&options), server(&options));
        let sentinels = (0..3).map(|_| Sentinel::start(port)).collect();
        let group = Self { servers: vec![primary, one, two], sentinels };
        for sentinel in &group.sentinels {
            eventually(START_WITHIN, "a sentinel knows all others", async || {
                let state: RedisResult<Vec<String>> = sentinel.ask(&["MASTER", NAME]).await;
                state.is_ok_and(|state| {
                    let has = |pair: [&str; 2]| state.chunks_exact(2).any(|other| other == pair);
                    has(["num-slaves", "2"]) && has(["num-other-sentinels", "2"]) && has(["flags", "master"])
                })
            })
            .await;
        }
        group
    }

    /// The URL of the group's primary.
    pub fn url(&self) -> String {
        let sentinels: Vec<_> =
            self.sentinels.iter().map(|sentinel| sentinel.port.addr().to_string()).collect();
        format!("redis+sentinel://{}/{NAME}", sentinels.join(","))
    }

    /// Stores a value, and waits until the replicas have it.
    pub async fn store(&self, key: &str, value: &str) {
        let primary = self.server_at(self.primary().await);
        primary.command::<()>(&["SET", key, value]).await;
        eventually(START_WITHIN, "the replicas have the value", async || {
            for server in self.servers.iter().filter(|server| server.addr() != primary.addr()) {
                if server.command::<Option<String>>(&["GET", key]).await.as_deref() != Some(value) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The server at this address.
    pub fn server_at(&self, address: SocketAddr) -> &RedisServer {
        self.servers.iter().find(|server| server.addr() == address).unwrap()
    }

    /// The address that most sentinels name.
    pub async fn primary(&self) -> SocketAddr {
        let mut named = Vec::new();
        for sentinel in &self.sentinels {
            named.extend(sentinel.names().await);
        }
        *named.iter().max_by_key(|address| named.iter().filter(|other| other == address).count()).unwrap()
    }

    /// Waits until most sentinels name another primary than `old`.
    pub async fn fails_over(&self, old: SocketAddr) {
        eventually(FAILOVER_WITHIN, "most sentinels name another primary", async || {
            let mut others = 0;
            for sentinel in &self.sentinels {
                others += usize::from(sentinel.names().await.is_some_and(|address| address != old));
            }
            others >= 2
        })
        .await;
    }

    /// Orders a failover.
    pub async fn order_failover(&self) {
        // A sentinel refuses while it still knows too little of the replicas.
        eventually(START_WITHIN, "a sentinel begins a failover", async || {
            self.sentinels[0].ask::<String>(&["FAILOVER", NAME]).await.is_ok()
        })
        .await;
    }

    /// Kills all sentinels.
    pub fn kill_sentinels(&self) {
        self.sentinels.iter().for_each(|sentinel| sentinel.process.kill9());
    }
}

// ===== impl Sentinel =====

impl Sentinel {
    fn start(primary: u16) -> Self {
        let (port, dir) = (ReservedPort::new(), tempfile::tempdir().unwrap());
        let number = port.addr().port();
        let settings = [
            format!("port {number}"),
            "bind 127.0.0.1".to_owned(),
            "logfile log".to_owned(),
            format!("sentinel monitor {NAME} 127.0.0.1 {primary} 2"),
            format!("sentinel down-after-milliseconds {NAME} 1000"),
            format!("sentinel failover-timeout {NAME} 3000"),
        ];
        fs::write(dir.path().join("sentinel.conf"), settings.join("\n")).unwrap();
        let process = ServerProcess::start(&Program::of_redis(
            &program(),
            &["sentinel.conf", "--sentinel"],
            dir.path(),
        ));
        Self { port, process, _dir: dir }
    }

    async fn names(&self) -> Option<SocketAddr> {
        let address: Vec<String> = self.ask(&["GET-MASTER-ADDR-BY-NAME", NAME]).await.ok()?;
        address.join(":").parse().ok()
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = Client::open(format!("redis://{}", self.port.addr()))?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        cmd("SENTINEL").arg(words).query_async(&mut connection).await
    }
}
