//! The world around the service: servers, the network, and a ledger of everything that was ever stored.

mod disk;
mod faults;
mod group;
mod ledger;
mod network;
mod redis;
mod server;
mod tagged;
mod wire;

use std::cell::{Cell, RefCell};

use chrono::{DateTime, TimeDelta, Utc};
use scoring_api::domain::{Card, Json, OnlineScore, Rules, Score};
use tokio::time::Instant;

use self::server::Member;
use crate::script::{Protocol, StoreKind, WorldPlan};

pub use self::{
    disk::SimulatedDisk,
    group::{FAILOVER, Group, OLD_NEWS, SENTINELS},
    ledger::{Ledger, Stored},
    network::{DeadAddress, LookUp, SimulatedNetwork},
    server::{DATABASES, LogIn, Server, Value},
    wire::{Tamper, Then},
};

/// The ids of the clients whose interests are stored.
pub const CLIENTS: std::ops::RangeInclusive<i64> = 1..=12;

/// The user of a server with a password, and the password.
const USER: &str = "scoring";
const PASSWORD: &str = "right";

thread_local! {
    static WALL_CLOCK: Cell<(DateTime<Utc>, Option<Instant>)> = const { Cell::new((DateTime::UNIX_EPOCH, None)) };
}

/// The simulated wall clock, which may step.
pub fn wall_clock() -> DateTime<Utc> {
    let (at, since) = WALL_CLOCK.get();
    at + since.map_or(TimeDelta::zero(), |since| TimeDelta::from_std(since.elapsed()).unwrap_or_default())
}

/// The wall clock when a run starts.
pub fn start_of_time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_717_240_000, 0).unwrap_or_default()
}

/// Sets the wall clock.
pub fn set_wall_clock(to: DateTime<Utc>) {
    WALL_CLOCK.set((to, Some(Instant::now())));
}

/// A person, and their score.
#[derive(Debug, Clone)]
pub struct Person {
    /// The arguments of a call, as JSON.
    pub arguments: String,
    /// The right score.
    pub score: Score,
    /// The key of the score in the cache.
    pub key: String,
}

/// See the [module](self).
#[derive(Debug)]
pub struct World {
    /// The servers: first those of the store.
    pub servers: Vec<Server>,
    /// The sentinels, if there are any.
    pub sentinels: Vec<Server>,
    /// The truth about the store's servers, if they are a group.
    group: RefCell<Option<Group>>,
    /// The network.
    pub network: SimulatedNetwork,
    /// The disk of the embedded store, if the store is embedded.
    pub disk: Option<SimulatedDisk>,
    /// The values that were stored, with their times.
    pub ledger: Ledger,
    /// The file cannot be written at the moment.
    is_broken: Cell<bool>,
    /// All persons that are rated.
    pub persons: Vec<Person>,
    plan: WorldPlan,
}

// ===== impl World =====

impl World {
    /// The world of `plan`, with something stored in every database.
    pub fn new(plan: &WorldPlan) -> Self {
        let network = SimulatedNetwork::default();
        let count = plan.kind.nodes() + usize::from(plan.has_own_cache);
        let server =
            |index| Server::new(host_name(index), plan.protocol(index), log_in_of(plan, index), plan.latency);
        let servers: Vec<_> = (0..count).map(server).collect();
        for (index, server) in servers.iter().enumerate() {
            network.add(host_name(index), server.clone());
        }
        let group = Group::new(plan);
        let mut sentinels = Vec::new();
        if let Some(group) = &group {
            for (index, server) in servers.iter().take(plan.kind.nodes()).enumerate() {
                let member = Member { me: Some(index), view: group.view() };
                server.change(|state| state.member = Some(member));
            }
            if plan.kind == StoreKind::Sentinel {
                sentinels = (0..SENTINELS)
                    .map(|index| Server::new(sentinel_name(index), Protocol::Redis, None, plan.latency))
                    .collect();
            }
        }
        for (index, sentinel) in sentinels.iter().enumerate() {
            let view = group.as_ref().map(Group::view);
            sentinel.change(|state| state.member = view.map(|view| Member { me: None, view }));
            network.add(sentinel_name(index), sentinel.clone());
        }
        let disk = plan.is_embedded.then(|| {
            SimulatedDisk::new().unwrap_or_else(|error| unreachable!("no folder for the file: {error}"))
        });
        let world = Self {
            servers,
            sentinels,
            group: group.into(),
            network,
            disk,
            ledger: Ledger::default(),
            is_broken: Cell::new(false),
            persons: persons(),
            plan: plan.clone(),
        };
        let first = |client| match client % 3 {
            0 => Stored::Nothing,
            _ => Stored::interests(&format!("first of {client}")),
        };
        if !plan.starts_without_file {
            world.store_all(CLIENTS.map(|client| (client, first(client))).collect());
        }
        world.fill_other_databases();
        world
    }

    /// The URL of the store, and that of the cache.
    pub fn urls(&self) -> [String; 2] {
        let log_in = if self.plan.has_password { format!("{USER}:{PASSWORD}@") } else { String::new() };
        let one = |index, database| match self.plan.protocol(index) {
            Protocol::Redis => format!("redis://{log_in}{}/{database}", host_name(index)),
            Protocol::Memcached => format!("memcached://{}", host_name(index)),
            Protocol::Tarantool => format!("tarantool://{USER}:{PASSWORD}@{}", host_name(index)),
        };
        let of_store = |database| match self.plan.kind {
            StoreKind::One => one(0, database),
            StoreKind::Sentinel => {
                let sentinels: Vec<_> = (0..SENTINELS).map(sentinel_name).collect();
                format!("redis+sentinel://{log_in}{}/{}/{database}", sentinels.join(","), group::NAME)
            }
            StoreKind::Cluster => format!("redis+cluster://{log_in}{},{}", host_name(0), host_name(4)),
        };
        let cache = match self.plan.has_own_cache {
            true => one(self.plan.cache_server(), self.plan.cache_database),
            false => of_store(self.plan.cache_database),
        };
        [of_store(self.plan.database), cache]
    }

    /// Stores the interests of a client, unless nothing can be stored at the moment.
    pub fn store(&self, client: i64, stored: Stored) {
        self.store_all(vec![(client, stored)]);
    }

    fn store_all(&self, entries: Vec<(i64, Stored)>) {
        match &self.disk {
            None => {
                for (client, stored) in &entries {
                    let key = format!("i:{client}");
                    self.server_of(&key).put(self.plan.database, key, stored.value());
                }
            }
            Some(_) if self.is_broken.get() => return,
            Some(disk) => disk.put_all(&entries.iter().map(entry).collect::<Vec<_>>()),
        }
        for (client, stored) in entries {
            self.ledger.record(client, stored);
        }
    }

    /// The server of the store that has `key`.
    fn server_of(&self, key: &str) -> &Server {
        &self.servers[self.group.borrow().as_ref().map_or(0, |group| group.home(key))]
    }

    /// Changes the truth about the group, and tells all members that are not away.
    fn change_group(&self, change: impl FnOnce(&mut Group)) {
        if let Some(group) = self.group.borrow_mut().as_mut() {
            change(group);
            let members = self.servers.iter().take(self.plan.kind.nodes()).chain(&self.sentinels);
            group::tell(members.filter(|server| !server.is_away()), &group.view());
        }
    }

    /// A primary has been away for long enough: its replica takes over, if it is not away as well, and most voters are there.
    pub fn fail_over(&self, old: usize) {
        let nodes = self.plan.kind.nodes();
        let is_voter =
            |index: &usize| self.group.borrow().as_ref().is_some_and(|group| group.is_primary(*index));
        let primaries: Vec<_> = (0..nodes).filter(is_voter).map(|index| &self.servers[index]).collect();
        let voters = if self.sentinels.is_empty() { primaries } else { self.sentinels.iter().collect() };
        if 2 * voters.iter().filter(|voter| !voter.is_away()).count() <= voters.len() {
            return;
        }
        self.change_group(|group| {
            let new = group.partner(old);
            if group.is_primary(old) && self.servers[old].is_away() && !self.servers[new].is_away() {
                self.servers[new].copy_of(&self.servers[old]);
                group.promote(old, new);
                // Until the service has heard of it, it may ask the old one, should that come back at once.
                self.ledger.replaced();
            }
        });
    }

    /// All members that are there learn the truth.
    pub fn spread_news(&self) {
        self.change_group(|_| {});
    }

    /// Other applications have values under the same keys, in the databases that are not ours.
    fn fill_other_databases(&self) {
        for (index, server) in self.servers.iter().enumerate() {
            for database in 0..DATABASES {
                // The nodes of a cluster have one database, which is all the service's.
                if self.plan.kind == StoreKind::Cluster && self.plan.is_of_store(index) {
                    continue;
                }
                if !self.plan.is_of_store(index) || database != self.plan.database {
                    for client in CLIENTS {
                        let foreign = Value::Text(br#"["foreign"]"#.to_vec());
                        server.put(database, format!("i:{client}"), Some(foreign));
                    }
                }
                let has_cache = match self.plan.has_own_cache {
                    true => index == self.plan.cache_server(),
                    false => self.plan.is_of_store(index),
                };
                if !has_cache || database != self.plan.cache_database {
                    for person in &self.persons {
                        server.put(database, person.key.clone(), Some(Value::Text(b"4.75".to_vec())));
                    }
                }
            }
        }
    }
}

/// An entry of the embedded store's file. Entries are never removed, so a client without interests has an empty list.
fn entry((client, stored): &(i64, Stored)) -> (String, Vec<u8>) {
    let value = match stored {
        Stored::Nothing => "[]",
        Stored::Interests(text) => text,
        Stored::OtherKind => "not a list",
    };
    (format!("i:{client}"), value.as_bytes().to_vec())
}

/// The user and the password that a server demands.
fn log_in_of(plan: &WorldPlan, server: usize) -> Option<(&'static str, String)> {
    plan.demands_log_in(server).then(|| (USER, PASSWORD.to_owned()))
}

fn host_name(index: usize) -> String {
    format!("server-{}.test", index + 1)
}

fn sentinel_name(index: usize) -> String {
    format!("sentinel-{}.test", index + 1)
}

/// Persons with every kind of score.
fn persons() -> Vec<Person> {
    let today = start_of_time().date_naive();
    let (card, rules) = (Card::built_in(), Rules { today, max_client_ids: 1, explain: false });
    let all = [
        r#"{"phone": "79175002040", "email": "a@b"}"#,
        r#"{"phone": "79175002041", "email": "a@b", "first_name": "a", "last_name": "b"}"#,
        r#"{"first_name": "a", "last_name": "b"}"#,
        r#"{"gender": 1, "birthday": "01.01.1980", "first_name": "a", "last_name": "c"}"#,
        r#"{"gender": 1, "birthday": "01.01.1980", "phone": "79175002042", "email": "c@d"}"#,
        r#"{"gender": 2, "birthday": "02.01.1980", "phone": "79175002043", "email": "c@d", "first_name": "a", "last_name": "b"}"#,
    ];
    let read = |arguments: &str| {
        let Ok(Json::Object(object)) = Json::parse(arguments.as_bytes()) else { unreachable!("{arguments}") };
        let person = OnlineScore::parse(object, &rules).unwrap_or_else(|faults| unreachable!("{faults}"));
        let (score, key) = (card.score(&person, today), card.cache_key(&person, today));
        Person { arguments: arguments.to_owned(), score, key }
    };
    all.map(read).into()
}
