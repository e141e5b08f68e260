//! The script of a run: the world's plan, and the faults with their times. Drawn from a seed, and written as sentences.

mod draw;
mod excuse;

use std::{fmt, mem::discriminant, time::Duration};

use chrono::TimeDelta;

use crate::world::{DeadAddress, LogIn, LookUp, Tamper, Then};

pub use self::{
    draw::{draw, draw_long},
    excuse::Excuses,
};

/// Everything that a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The world.
    pub plan: WorldPlan,
    /// The faults, by the times of their beginnings.
    pub happenings: Vec<Happening>,
}

/// The world before anything has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorldPlan {
    /// The servers of the store, if it is no file.
    pub kind: StoreKind,
    /// The protocol of the store's server, if it is one.
    pub speaks: Protocol,
    /// The protocol of the cache's own server.
    pub cache_speaks: Protocol,
    /// Whether the store is a file; then a cache without a server of its own is in the process.
    pub is_embedded: bool,
    /// Whether the file does not exist at first.
    pub starts_without_file: bool,
    /// Whether the cache is on a server of its own.
    pub has_own_cache: bool,
    /// Whether the servers demand a user and a password.
    pub has_password: bool,
    /// The number of the store's database.
    pub database: usize,
    /// The number of the cache's database.
    pub cache_database: usize,
    /// The time of a byte from one end of the network to the other.
    pub latency: Duration,
    /// Whether the near cache is on.
    pub has_near_cache: bool,
    /// The number of callers that wait for every answer.
    pub callers: usize,
    /// The number of callers that give most calls up after some milliseconds.
    pub impatient_callers: usize,
}

/// The servers of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One.
    One,
    /// A primary and a replica, which sentinels watch.
    Sentinel,
    /// A cluster of three primaries, each with a replica.
    Cluster,
}

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// RESP.
    Redis,
    /// The meta protocol; only for a cache.
    Memcached,
    /// IPROTO.
    Tarantool,
}

/// One fault, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    /// The time of its beginning, from the start of the run.
    pub at: Duration,
    /// Its duration; zero for faults that are over at once.
    pub lasts: Duration,
    /// The fault.
    pub fault: Fault,
}

/// The actors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorName {
    /// The dispatcher.
    Dispatcher,
    /// The scoring actor.
    Scoring,
    /// The interests actor.
    Interests,
    /// The cache actor.
    CacheStore,
    /// The persistent actor.
    PersistentStore,
}

/// A fault. Numbers are those of servers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "its sentence says what each is")]
pub enum Fault {
    Down { server: usize, loses_data: bool },
    Unreachable(usize),
    Frozen(usize),
    HalfOpen(usize),
    Cut(usize),
    Withheld { server: usize, after: usize, then: Then },
    Tampered { server: usize, tamper: Tamper },
    Slow { server: usize, by: Duration },
    Trickles { server: usize, gap: Duration },
    Dribbles { server: usize, gap: Duration },
    Loading(usize),
    Script { server: usize, silent: Duration },
    WritesRefused { server: usize, error: &'static str },
    StepRefused { server: usize, step: LogIn, error: &'static str },
    OtherPassword(usize),
    Full(usize),
    Moved(usize),
    DeadAddress { server: usize, dead: DeadAddress },
    Name { server: usize, look_up: LookUp },
    DiskFails,
    DiskSlow(u32),
    DiskFull,
    FileAway,
    FileReplaced,
    FileDamaged(u64),
    Evicted,
    Spoiled,
    OtherKind(i64),
    SlotMoves(i64),
    Confused(usize),
    ClusterDown,
    AllDown,
    SentinelDown(usize),
    SentinelsDown,
    WallClock(TimeDelta),
    Panic(ActorName),
    Stuck(ActorName),
}

// ===== impl StoreKind =====

impl StoreKind {
    /// The number of servers. In a group the second half are the replicas of the first.
    pub fn nodes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Sentinel => 2,
            Self::Cluster => 6,
        }
    }
}

// ===== impl WorldPlan =====

impl WorldPlan {
    /// Whether this is a server of the store, and not one of the cache's own.
    pub fn is_of_store(&self, server: usize) -> bool {
        server < self.kind.nodes()
    }

    /// The protocol of a server.
    pub fn protocol(&self, server: usize) -> Protocol {
        match (self.is_of_store(server), self.kind) {
            (false, _) => self.cache_speaks,
            (true, StoreKind::One) => self.speaks,
            (true, StoreKind::Sentinel | StoreKind::Cluster) => Protocol::Redis,
        }
    }

    /// Whether the server demands a user and a password.
    pub fn demands_log_in(&self, server: usize) -> bool {
        match self.protocol(server) {
            Protocol::Redis => self.has_password,
            Protocol::Memcached => false,
            Protocol::Tarantool => true,
        }
    }

    /// The number of the server that has the cache; of a group, the first.
    pub fn cache_server(&self) -> usize {
        if self.has_own_cache { self.kind.nodes() } else { 0 }
    }
}

// ===== impl Script =====

impl Script {
    /// The time of the last fault's end.
    pub fn last_end(&self) -> Duration {
        self.happenings.iter().map(Happening::end).max().unwrap_or_default()
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = &self.plan;
        let cache = match (plan.has_own_cache, plan.is_embedded) {
            (true, _) => format!("on a server of its own, in database {}", plan.cache_database),
            (false, true) => "in the process".to_owned(),
            (false, false) => format!("with the store, in database {}", plan.cache_database),
        };
        let cache = match plan.cache_speaks {
            Protocol::Redis => cache,
            Protocol::Memcached => "on a memcached of its own".to_owned(),
            Protocol::Tarantool => "on a Tarantool of its own".to_owned(),
        };
        let store = match (plan.is_embedded, plan.starts_without_file, plan.kind) {
            (false, _, StoreKind::One) if plan.speaks == Protocol::Tarantool => "on a Tarantool",
            (false, _, StoreKind::One) => "on a server",
            (false, _, StoreKind::Sentinel) => "on two servers that sentinels watch",
            (false, _, StoreKind::Cluster) => "on a cluster",
            (true, false, _) => "a file",
            (true, true, _) => "a file that does not exist yet",
        };
        writeln!(f, "The cache is {cache}; the store is {store}, in database {}.", plan.database)?;
        let password = if plan.has_password { "demand" } else { "demand no" };
        let near = if plan.has_near_cache { "on" } else { "off" };
        writeln!(
            f,
            "Servers {password} password; a byte takes {:?}; the near cache is {near}.",
            plan.latency
        )?;
        writeln!(f, "{} callers are patient, {} are not.", plan.callers, plan.impatient_callers)?;
        self.happenings.iter().try_for_each(|happening| writeln!(f, "{happening}"))
    }
}

// ===== impl Happening =====

impl Happening {
    /// When it ends.
    pub fn end(&self) -> Duration {
        self.at + self.lasts
    }

    /// Whether this fault's end would end `later` as well, which begins after it.
    fn undoes(&self, later: &Self) -> bool {
        let are_of_the_file = [&self.fault, &later.fault].into_iter().all(Fault::changes_the_file);
        (discriminant(&self.fault) == discriminant(&later.fault) || are_of_the_file)
            && self.fault.server() == later.fault.server()
            && later.at <= self.end()
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "At {:.3} s", self.at.as_secs_f64())?;
        if !self.lasts.is_zero() {
            write!(f, ", for {:.3} s", self.lasts.as_secs_f64())?;
        }
        write!(f, ": {}.", self.fault)
    }
}

// ===== impl Fault =====

impl Fault {
    fn changes_the_file(&self) -> bool {
        matches!(self, Self::DiskFull | Self::FileAway | Self::FileReplaced | Self::FileDamaged(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A group has other names for its nodes, which stand in the log.
        let name = |server: &usize| match server {
            0 => "server 1 (the store)".to_owned(),
            1 => "server 2 (the cache, or another one of the store)".to_owned(),
            other => format!("server {}", other + 1),
        };
        match self {
            Self::Down { server, loses_data: true } => {
                write!(f, "{} is killed, and loses its data", name(server))
            }
            Self::Down { server, loses_data: false } => write!(f, "{} is killed", name(server)),
            Self::Unreachable(server) => write!(f, "the network loses all packets of {}", name(server)),
            Self::Frozen(server) => write!(f, "{} is stopped", name(server)),
            Self::HalfOpen(server) => write!(f, "the open connections of {} go dead", name(server)),
            Self::Cut(server) => write!(f, "the open connections of {} are cut", name(server)),
            Self::Withheld { server, after, then } => {
                let then = match then {
                    Then::Silence => "nothing more comes",
                    Then::End => "they are cut",
                };
                write!(
                    f,
                    "after {after} more bytes of replies on each connection of {}, {then}",
                    name(server)
                )
            }
            Self::Tampered { server, tamper } => {
                let what = match tamper {
                    Tamper::WrongLength => "announces a wrong length",
                    Tamper::Repeat => "comes twice",
                    Tamper::Drop => "does not come",
                    Tamper::Again(count) => {
                        return write!(
                            f,
                            "the last {count} replies come again, once, on each connection of {}",
                            name(server)
                        );
                    }
                };
                write!(f, "one reply on each connection of {} {what}", name(server))
            }
            Self::Slow { server, by } => {
                write!(f, "each byte to and from {} takes {by:?} longer", name(server))
            }
            Self::Trickles { server, gap } => {
                write!(f, "replies of {} come byte by byte, one each {gap:?}", name(server))
            }
            Self::Dribbles { server, gap } => {
                write!(f, "the open connections of {} bring a byte each {gap:?}, for ever", name(server))
            }
            Self::Loading(server) => write!(f, "{} is loading its data", name(server)),
            Self::Script { server, silent } => {
                write!(
                    f,
                    "a script runs on {}, which says so after {silent:?}; its connections are cut",
                    name(server)
                )
            }
            Self::WritesRefused { server, error } => {
                write!(f, "{} answers writes with {error:?}", name(server))
            }
            Self::StepRefused { server, step, error } => {
                let step = match step {
                    LogIn::Auth => "AUTH",
                    LogIn::Select => "SELECT",
                    LogIn::Ping => "PING",
                };
                write!(f, "{} answers {step} with {error:?}; its connections are cut", name(server))
            }
            Self::OtherPassword(server) => write!(f, "{} demands another password", name(server)),
            Self::Full(server) => {
                write!(f, "{} takes no more clients; its connections are cut", name(server))
            }
            Self::Moved(server) => write!(f, "{} moves to another address", name(server)),
            Self::DeadAddress { server, dead } => {
                let dead = match dead {
                    DeadAddress::Drops => "drops packets",
                    DeadAddress::Refuses => "refuses",
                    DeadAddress::NoRoute => "has no route",
                };
                write!(
                    f,
                    "the name of {} leads to an address that {dead} first; its connections are cut",
                    name(server)
                )
            }
            Self::Name { server, look_up } => {
                let how = match look_up {
                    LookUp::Answers => "is known again",
                    LookUp::Unknown => "is unknown",
                    LookUp::Hangs => "is not answered",
                };
                write!(f, "the name of {} {how}; its connections are cut", name(server))
            }
            Self::DiskFails => f.write_str("the disk answers every read with an I/O error"),
            Self::DiskSlow(millis) => write!(f, "the disk takes {millis} ms for each operation"),
            Self::DiskFull => f.write_str("the disk has no room for a write"),
            Self::FileAway => f.write_str("the file is moved away"),
            Self::FileReplaced => f.write_str("the file is replaced"),
            Self::FileDamaged(at) => write!(f, "64 bytes of the file, from byte {at}, are overwritten"),
            Self::Evicted => f.write_str("all cached scores are evicted"),
            Self::Spoiled => f.write_str("cached scores are replaced by texts"),
            Self::OtherKind(client) => write!(f, "client {client} has a value of another kind"),
            Self::SlotMoves(client) => write!(f, "the slot of client {client} moves to another primary"),
            Self::Confused(node) => write!(f, "node {} names wrong primaries", node + 1),
            Self::ClusterDown => f.write_str("all nodes say that the cluster is down"),
            Self::AllDown => f.write_str("all servers of the store are killed"),
            Self::SentinelDown(sentinel) => write!(f, "sentinel {} is killed", sentinel + 1),
            Self::SentinelsDown => f.write_str("all sentinels are killed"),
            Self::WallClock(by) => write!(f, "the wall clock steps by {} s", by.num_seconds()),
            Self::Panic(actor) => write!(f, "{actor:?} panics"),
            Self::Stuck(actor) => write!(f, "{actor:?} gets stuck"),
        }
    }
}
