//! A Redis Cluster: three primaries, each with a replica.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

use redis::RedisResult;

use super::{Certificate, RedisServer, eventually, port::ReservedPort, redis::BUS};

const START_WITHIN: Duration = Duration::from_secs(30);

/// A failover takes two to three seconds, and longer on a busy machine.
const FAILOVER_WITHIN: Duration = Duration::from_secs(40);

/// The slots of each primary at the start.
const RANGES: [RangeInclusive<u16>; 3] = [0..=5460, 5461..=10_922, 10_923..=16_383];

const ALWAYS: [&str; 8] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "1000",
    "--cluster-replica-validity-factor",
    "0",
    "--repl-diskless-sync-delay",
    "0",
];

/// Six servers. Dropping it ends all of them.
pub struct ClusterGroup {
    /// The servers. At the start the first three are primaries, and each one's replica is three further.
    pub servers: Vec<RedisServer>,
}

// ===== impl ClusterGroup =====

impl ClusterGroup {
    /// Starts them, and waits until all slots are served and the replicas follow.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed, or they do not agree within 30 s.
    pub async fn start() -> Self {
        Self::with(6, &[]).await
    }

    /// Starts 3 or 6 nodes, all with these options.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn with(count: usize, options: &[&str]) -> Self {
        Self::with_each(count, |_| options.iter().map(|&option| option.to_owned()).collect()).await
    }

    /// Starts 3 or 6 nodes, each with the options that `options` returns for its port.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn with_each(count: usize, options: impl Fn(SocketAddr) -> Vec<String>) -> Self {
        let ports: Vec<_> = (0..count).map(|_| ReservedPort::with_another(BUS)).collect();
        let started = ports.into_iter().map(async |(port, bus)| {
            let own = options(port.addr());
            let all: Vec<_> = ALWAYS.into_iter().chain(own.iter().map(String::as_str)).collect();
            Box::pin(RedisServer::node_at(port, bus, &all)).await
        });
        let group = Self { servers: futures_util::future::join_all(started).await };
        group.meet().await;
        group
    }

    /// Starts 3 nodes that speak only TLS, with clients and with each other.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn over_tls(certificate: &Certificate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate.write(folder.path());
        let file = |name: &str| folder.path().join(name).display().to_string();
        let (cert, key) = (file("cert.pem"), file("key.pem"));
        Self::with_each(3, |addr| {
            let port = addr.port().to_string();
            let options =
                ["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cluster", "yes"];
            let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
            options.into_iter().chain(files).map(str::to_owned).collect()
        })
        .await
    }

    async fn meet(&self) {
        for (server, (range, epoch)) in self.servers.iter().zip(RANGES.into_iter().zip(1..)) {
            let slots: Vec<_> = range.map(|slot| slot.to_string()).collect();
            let add = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            server.command::<()>(&add.collect::<Vec<_>>()).await;
            // Each would be 0, and then no claim to a slot would be the greatest.
            server.command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]).await;
        }
        let first = self.servers[0].addr();
        for server in &self.servers[1..] {
            server.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &first.port().to_string()]).await;
        }
        self.eventually("all nodes know each other", async || {
            for server in &self.servers {
                let nodes: String = server.command(&["CLUSTER", "NODES"]).await;
                if nodes.lines().count() < self.servers.len() || nodes.contains("handshake") {
                    return false;
                }
            }
            true
        })
        .await;
        for (primary, replica) in self.servers.iter().zip(self.servers.iter().skip(3)) {
            let id: String = primary.command(&["CLUSTER", "MYID"]).await;
            replica.command::<()>(&["CLUSTER", "REPLICATE", &id]).await;
        }
        self.serves_without(&[]).await;
        self.is_replicated().await;
    }

    /// `redis+cluster://` with the addresses of the first two servers.
    pub fn url(&self) -> String {
        format!("redis+cluster://{},{}", self.servers[0].addr(), self.servers[1].addr())
    }

    /// Stores a value at the primary of its slot.
    pub async fn store(&self, key: &str, value: &str) {
        self.primary_of(key).await.command::<()>(&["SET", key, value]).await;
    }

    /// The server that accepts commands for `key` now.
    pub async fn primary_of(&self, key: &str) -> &RedisServer {
        for server in self.running() {
            // A replica answers with MOVED as well, because no client here says READONLY.
            let answer: RedisResult<redis::Value> = server.ask(&["EXISTS", key]).await;
            if answer.is_ok() {
                return server;
            }
        }
        panic!("no node serves {key}");
    }

    /// The address of the replica that follows `primary` at the start.
    fn replica_at(&self, primary: &RedisServer) -> Option<SocketAddr> {
        let index = self.servers.iter().position(|server| server.addr() == primary.addr())?;
        self.servers.get(index + 3).map(RedisServer::addr)
    }

    /// Waits until all running nodes agree that all slots are served, but not by these.
    pub async fn serves_without(&self, gone: &[SocketAddr]) {
        self.eventually("all slots are served", async || {
            for server in self.running() {
                let Ok(owners) = owners(server).await else { return false };
                let slots: u32 = owners.values().sum();
                let info: RedisResult<String> = server.ask(&["CLUSTER", "INFO"]).await;
                let is_ok = info.is_ok_and(|info| {
                    info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
                });
                if slots != 16_384 || !is_ok || owners.keys().any(|owner| gone.contains(owner)) {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Makes a replica the primary, without any fault, and waits until all nodes agree.
    pub async fn fails_over_to(&self, replica: &RedisServer) {
        let old = self.servers.iter().find(|server| self.replica_at(server) == Some(replica.addr())).unwrap();
        self.eventually("the replica is the primary", async || {
            // It gives up if it has not caught up within five seconds, and refuses if it is the primary.
            let _: RedisResult<String> = replica.ask(&["CLUSTER", "FAILOVER"]).await;
            let role: RedisResult<Vec<redis::Value>> = replica.ask(&["ROLE"]).await;
            role.is_ok_and(|role| role.first() == Some(&redis::Value::BulkString(b"master".to_vec())))
        })
        .await;
        self.serves_without(&[old.addr()]).await;
    }

    /// Waits until each replica has its primary's data.
    pub async fn is_replicated(&self) {
        self.eventually("the replicas follow", async || {
            for server in self.running() {
                let state: RedisResult<String> = server.ask(&["INFO", "replication"]).await;
                let Ok(state) = state else { return false };
                let field = |name: &str| state.lines().find_map(|line| line.strip_prefix(name));
                let offset = field("master_repl_offset:").unwrap_or_default();
                let is_right = match field("role:") {
                    Some("slave") => field("master_link_status:") == Some("up"),
                    _ => {
                        field("slave0:").is_none_or(|replica| replica.contains(&format!("offset={offset},")))
                    }
                };
                if !is_right {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Begins to move `slot` from its primary to `to`, with the keys of it for which `moves` is true.
    pub async fn half_move(&self, slot: u16, to: &RedisServer, moves: impl Fn(&str) -> bool) {
        let number = slot.to_string();
        let from = self.owner_of(slot).await;
        let [from_id, to_id] = [id(from).await, id(to).await];
        to.command::<()>(&["CLUSTER", "SETSLOT", &number, "IMPORTING", &from_id]).await;
        from.command::<()>(&["CLUSTER", "SETSLOT", &number, "MIGRATING", &to_id]).await;
        let keys: Vec<String> = from.command(&["CLUSTER", "GETKEYSINSLOT", &number, "1000"]).await;
        let port = to.addr().port().to_string();
        for key in keys.iter().filter(|key| moves(key)) {
            from.command::<()>(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]).await;
        }
    }

    /// Moves `slot` to `to`, with all its keys, unless it is there.
    pub async fn move_slot(&self, slot: u16, to: &RedisServer) {
        let from = self.owner_of(slot).await;
        if from.addr() == to.addr() {
            return;
        }
        self.half_move(slot, to, |_| true).await;
        let (number, id) = (slot.to_string(), id(to).await);
        for server in [to, from] {
            server.command::<()>(&["CLUSTER", "SETSLOT", &number, "NODE", &id]).await;
        }
    }

    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> u16 {
        self.running().next().unwrap().command(&["CLUSTER", "KEYSLOT", key]).await
    }

    /// The primary that says that it owns the slot. Others may have old news of it.
    async fn owner_of(&self, slot: u16) -> &RedisServer {
        for server in self.running() {
            let ranges: Vec<Vec<redis::Value>> = server.command(&["CLUSTER", "SLOTS"]).await;
            let is_there = |range: &&Vec<redis::Value>| {
                (bound(range, 0)..=bound(range, 1)).contains(&slot.into())
                    && address(&range[2]) == Some(server.addr())
            };
            if ranges.iter().any(|range| is_there(&range)) {
                return server;
            }
        }
        panic!("slot {slot} has no owner");
    }

    fn running(&self) -> impl Iterator<Item = &RedisServer> {
        self.servers.iter().filter(|server| server.is_running())
    }

    async fn eventually(&self, what: &str, condition: impl AsyncFnMut() -> bool) {
        eventually(FAILOVER_WITHIN.max(START_WITHIN), what, condition).await;
    }
}

async fn id(server: &RedisServer) -> String {
    server.command(&["CLUSTER", "MYID"]).await
}

/// The number of slots of each primary, as one node sees it.
async fn owners(server: &RedisServer) -> RedisResult<BTreeMap<SocketAddr, u32>> {
    let ranges: Vec<Vec<redis::Value>> = server.ask(&["CLUSTER", "SLOTS"]).await?;
    let mut owners = BTreeMap::new();
    for range in &ranges {
        if let Some(owner) = address(&range[2]) {
            *owners.entry(owner).or_default() += bound(range, 1) + 1 - bound(range, 0);
        }
    }
    Ok(owners)
}

/// The first or the last slot of a range of `CLUSTER SLOTS`.
fn bound(range: &[redis::Value], index: usize) -> u32 {
    redis::from_redis_value_ref(&range[index]).unwrap()
}

fn address(node: &redis::Value) -> Option<SocketAddr> {
    let parts: Vec<redis::Value> = redis::from_redis_value_ref(node).ok()?;
    let port: u16 = redis::from_redis_value_ref(parts.get(1)?).ok()?;
    // All nodes have this address, however they are called.
    Some((Ipv4Addr::LOCALHOST, port).into())
}
