//! The requests of a store that is a cluster: each primary has links, a breaker and a client of its own, and each key is
//! read and written at the primary that owns its slot.
//!
//! One primary that fails rejects only the requests that need it. Slots move: a node that does not have a key any more
//! names the one that has it, and the request goes there.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{
    Stream, StreamExt,
    stream::{FuturesUnordered, unfold},
};
use tokio::{
    select,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout_at},
};

use super::{
    BackendError, CacheClient, Cluster, ClusterView, Found, Link, PersistentReader, Redirect, SlotMap,
    StoreError, slot_of, url::HostAndPort,
};

/// Maximum servers that a request is sent to, one after the other, because each names the next one.
const HOPS: usize = 5;

/// A node's word that a slot has moved counts for this long; the topology is asked meanwhile.
const BELIEVED_FOR: Duration = Duration::from_millis(500);

/// A node that owns no slot is kept for this long after a request needed it, because slots are being moved to it.
const GUEST_FOR: Duration = Duration::from_secs(10);

/// Maximum nodes of that kind.
const GUESTS: usize = 16;

/// The wait before a request that failed because a slot has no owner is sent again.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A part of the cluster that needs links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shard<'a> {
    /// Any primary, while the cluster's are not known.
    Unknown,
    /// A primary that owns slots.
    Primary(&'a HostAndPort),
    /// A node that owns no slots yet. Its failures matter only to the requests that are sent to it.
    Guest(&'a HostAndPort),
}

/// The clients of a cluster's primaries, for one role and one worker. Clones are the same.
#[derive(Debug)]
pub struct Shards<C>(Rc<Inner<C>>);

struct Inner<C> {
    cluster: Arc<dyn Cluster>,
    routes: RefCell<Routes<C>>,
    /// Notified when the routes change.
    changed: Notify,
    /// Notified when a request needs a node without links.
    wanted: Notify,
}

struct Routes<C> {
    map: Option<Arc<SlotMap>>,
    /// The clients of the map's primaries, in their order.
    owners: Vec<Rc<Client<C>>>,
    /// Slots that have moved since the map was made, as nodes say, and until when that is believed.
    moved: BTreeMap<u16, (HostAndPort, Instant)>,
    clients: BTreeMap<HostAndPort, Rc<Client<C>>>,
    /// Nodes without slots, and when they were last needed.
    guests: BTreeMap<HostAndPort, Instant>,
    /// Used while no primary is known.
    any: Option<Rc<Client<C>>>,
}

/// The client of one node.
struct Client<C> {
    place: HostAndPort,
    client: C,
    is_guest: bool,
    retired: Cell<bool>,
    retires: Notify,
    /// Held so that they end with the client.
    links: RefCell<Vec<Link>>,
}

/// The node that a request is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Route {
    /// The owner of the slot.
    Owner,
    /// A node to which the slot is being moved.
    Asking(HostAndPort),
}

// ===== impl Shards =====

impl<C> Clone for Shards<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Inner<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self.routes.borrow();
        f.debug_struct("Shards").field("nodes", &routes.clients.keys().collect::<Vec<_>>()).finish()
    }
}

impl<C> Shards<C> {
    /// No clients yet; call [`follow`](Self::follow).
    pub fn new(cluster: Arc<dyn Cluster>) -> Self {
        let routes = Routes {
            map: None,
            owners: Vec::new(),
            moved: BTreeMap::new(),
            clients: BTreeMap::new(),
            guests: BTreeMap::new(),
            any: None,
        };
        Self(Rc::new(Inner { cluster, routes: routes.into(), changed: Notify::new(), wanted: Notify::new() }))
    }

    /// An item for each time at which [`follow`](Self::follow) must be called, the first at once.
    pub fn changes(&self) -> impl Stream<Item = ()> + use<C> {
        let view = self.0.cluster.view().ok();
        let inner = Rc::downgrade(&self.0);
        unfold((view, inner, true), |(mut view, inner, is_first)| async move {
            if !is_first {
                let inner = inner.upgrade()?;
                select! {
                    () = changed(view.as_mut()) => {}
                    () = inner.wanted.notified() => {}
                    // Guests leave.
                    () = sleep(GUEST_FOR) => {}
                }
            }
            Some(((), (view, inner, false)))
        })
    }

    /// Starts and ends clients, so that each primary has one. `start` returns the client of a shard, and its links.
    pub fn follow(&self, mut start: impl FnMut(Shard<'_>) -> (C, Vec<Link>)) {
        let now = Instant::now();
        let view = self.0.cluster.last_view().unwrap_or_default();
        let mut routes = self.0.routes.borrow_mut();
        if routes.map != view.map {
            routes.map = view.map;
            routes.moved.clear();
        }
        let mut new = |shard: Shard<'_>| {
            let (client, links) = start(shard);
            let place = match shard {
                Shard::Primary(place) | Shard::Guest(place) => place.clone(),
                Shard::Unknown => HostAndPort { host: String::new(), port: 0 },
            };
            Rc::new(Client {
                place,
                client,
                is_guest: matches!(shard, Shard::Guest(_)),
                retired: Cell::new(false),
                retires: Notify::new(),
                links: links.into(),
            })
        };
        let Some(map) = routes.map.clone().filter(|map| !map.primaries().is_empty()) else {
            if routes.any.is_none() {
                routes.any = Some(new(Shard::Unknown));
            }
            return;
        };
        let primaries: BTreeSet<&HostAndPort> = map.primaries().iter().collect();
        routes.guests.retain(|place, used| !primaries.contains(place) && now < *used + GUEST_FOR);
        let guests: BTreeSet<_> = routes.guests.keys().cloned().collect();
        routes.clients.retain(|place, client| {
            let stays = if client.is_guest { guests.contains(place) } else { primaries.contains(place) };
            if !stays {
                client.retire();
            }
            stays
        });
        for place in primaries {
            if !routes.clients.contains_key(place) {
                let client = new(Shard::Primary(place));
                routes.clients.insert(place.clone(), client);
            }
        }
        for place in &guests {
            if !routes.clients.contains_key(place) {
                let client = new(Shard::Guest(place));
                routes.clients.insert(place.clone(), client);
            }
        }
        let owners = map.primaries().iter().filter_map(|place| routes.clients.get(place).cloned());
        routes.owners = owners.collect();
        // Last, so that the role always has a link.
        if let Some(any) = routes.any.take() {
            any.retire();
        }
        drop(routes);
        self.0.changed.notify_waiters();
    }

    /// The client for a slot; `None` if there is none at the moment.
    fn client(&self, slot: u16, route: &Route) -> Option<Rc<Client<C>>> {
        let routes = self.0.routes.borrow();
        let moved = || routes.moved.get(&slot).filter(|(_, until)| Instant::now() < *until);
        match route {
            Route::Asking(place) => routes.clients.get(place).cloned(),
            Route::Owner => match moved() {
                Some((place, _)) => routes.clients.get(place).cloned(),
                None => routes.owners.get(routes.map.as_ref()?.owner_index(slot)?).cloned(),
            },
        }
    }

    /// Learns from a redirect by the node at `from`. Returns the next route.
    fn learn(&self, redirect: Redirect, from: &HostAndPort) -> Route {
        let Redirect { asking, slot, mut to } = redirect;
        if to.host.is_empty() {
            to.host.clone_from(&from.host);
        }
        let mut routes = self.0.routes.borrow_mut();
        if !asking {
            // An unknown node comes with the next map.
            routes.moved.insert(slot, (to, Instant::now() + BELIEVED_FOR));
            drop(routes);
            self.0.cluster.poke();
            return Route::Owner;
        }
        let is_guest = routes.clients.get(&to).is_none_or(|client| client.is_guest);
        if is_guest && (routes.guests.contains_key(&to) || routes.guests.len() < GUESTS) {
            let is_new = routes.guests.insert(to.clone(), Instant::now()).is_none();
            if is_new {
                self.0.wanted.notify_one();
            }
        }
        Route::Asking(to)
    }

    /// Waits until the routes change, a moment has passed, or `deadline`. False if that has come.
    async fn wait(&self, deadline: Instant) -> bool {
        let until = deadline.min(Instant::now() + BETWEEN_TRIES);
        let changed = self.0.changed.notified();
        // Either is a reason to look again.
        let _ = timeout_at(until, changed).await;
        Instant::now() < deadline
    }
}

async fn changed(view: Option<&mut watch::Receiver<ClusterView>>) {
    let is_over = match view {
        Some(view) => view.changed().await.is_err(),
        None => true,
    };
    if is_over {
        std::future::pending::<()>().await;
    }
}

// ===== impl Client =====

impl<C> Client<C> {
    fn retire(&self) {
        self.retired.set(true);
        self.links.borrow_mut().clear();
        self.retires.notify_waiters();
    }

    /// Resolves when the node is not used any more, so that requests to it go elsewhere.
    async fn retired(&self) {
        loop {
            let retires = self.retires.notified();
            if self.retired.get() {
                return;
            }
            retires.await;
        }
    }
}

// ===== persistent reads =====

/// The keys of a read that go to one node.
struct Group {
    client: Rc<Client<PersistentReader>>,
    is_asking: bool,
    positions: Vec<usize>,
    keys: Arc<[String]>,
}

impl Shards<PersistentReader> {
    /// Reads all `keys`, in their order, by `deadline` at the latest: each shard's keys in one round trip, all shards side by side.
    ///
    /// # Errors
    ///
    /// As [`PersistentReader::get_many`]. If one of the shards that are needed cannot be asked, the whole read fails at once.
    pub async fn get_many(
        &self,
        keys: Arc<[String]>,
        deadline: Instant,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let slots: Vec<_> = keys.iter().map(|key| slot_of(key)).collect();
        let mut values = vec![None; keys.len()];
        let mut open: Vec<_> = (0..keys.len()).map(|position| (position, Route::Owner)).collect();
        let mut hops = 0;
        while !open.is_empty() {
            let Some(groups) = self.groups(&keys, &slots, &open)? else {
                self.0.cluster.poke();
                if self.wait(deadline).await { continue } else { return Err(StoreError::TimedOut) }
            };
            if hops == HOPS {
                return Err(StoreError::Unavailable);
            }
            open.clear();
            let mut asked: FuturesUnordered<_> =
                groups.iter().map(async |group| (group, group.read(deadline).await)).collect();
            let mut was_redirected = false;
            while let Some((group, found)) = asked.next().await {
                let Some(found) = found else {
                    open.extend(group.positions.iter().map(|position| (*position, Route::Owner)));
                    continue;
                };
                let found = found.inspect_err(|_| self.0.cluster.poke());
                let found = found.map_err(|error| group.error(error, keys.len()))?;
                for (position, found) in group.positions.iter().zip(found) {
                    match (found, values.get_mut(*position)) {
                        (Found::Value(value), Some(place)) => *place = value,
                        (Found::Value(_), None) => return Err(StoreError::Unavailable),
                        (Found::Elsewhere(redirect), _) => {
                            was_redirected = true;
                            open.push((*position, self.learn(*redirect, &group.client.place)));
                        }
                    }
                }
            }
            hops += usize::from(was_redirected);
        }
        Ok(values)
    }

    /// The open keys by node; `None` if there is no client for one of them at the moment.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if one of the nodes would reject its part, or no node has answered at all.
    fn groups(
        &self,
        keys: &[String],
        slots: &[u16],
        open: &[(usize, Route)],
    ) -> Result<Option<Vec<Group>>, StoreError> {
        if let Some(any) = &self.0.routes.borrow().any
            && any.client.refuses()
        {
            return Err(StoreError::Unavailable);
        }
        // Few nodes, so a search costs less than a map.
        let mut groups: Vec<(Rc<Client<_>>, bool, Vec<usize>)> = Vec::new();
        for (position, route) in open {
            let Some(client) = slots.get(*position).and_then(|slot| self.client(*slot, route)) else {
                return Ok(None);
            };
            let is_asking = *route != Route::Owner;
            let same = |group: &&mut (Rc<_>, bool, _)| Rc::ptr_eq(&group.0, &client) && group.1 == is_asking;
            match groups.iter_mut().find(same) {
                Some(group) => group.2.push(*position),
                None if client.client.refuses() => {
                    self.0.cluster.poke();
                    return Err(StoreError::Unavailable);
                }
                None => groups.push((client, is_asking, vec![*position])),
            }
        }
        let groups = groups.into_iter().map(|(client, is_asking, positions)| {
            let keys = positions.iter().filter_map(|position| keys.get(*position).cloned()).collect();
            Group { client, is_asking, positions, keys }
        });
        Ok(Some(groups.collect()))
    }
}

impl Group {
    /// The answers; `None` if the node is not used any more.
    async fn read(&self, deadline: Instant) -> Option<Result<Vec<Found>, StoreError>> {
        select! {
            biased;
            found = self.client.client.get_each(self.keys.clone(), self.is_asking, deadline) => Some(found),
            () = self.client.retired() => None,
        }
    }

    /// The error of the whole read of `count` keys, of which this part failed.
    fn error(&self, error: StoreError, count: usize) -> StoreError {
        let (positions, cause) = match error {
            StoreError::AtFault { positions, cause } => {
                let position = |position: usize| self.positions.get(position).copied();
                (positions.into_iter().filter_map(position).collect(), cause)
            }
            StoreError::BadValue | StoreError::TooLarge | StoreError::CrossSlot | StoreError::Damaged(_)
                if count > 1 =>
            {
                (self.positions.clone(), Box::new(error))
            }
            error @ (StoreError::Unavailable
            | StoreError::TimedOut
            | StoreError::BadValue
            | StoreError::CrossSlot
            | StoreError::TooLarge
            | StoreError::Damaged(_)) => return error,
        };
        StoreError::AtFault { positions, cause }
    }
}

// ===== cache =====

impl Shards<CacheClient> {
    /// Whether a read of `key` would be rejected at once.
    pub fn refuses_read(&self, key: &str) -> bool {
        self.client(slot_of(key), &Route::Owner).is_none_or(|client| {
            let refuses = client.client.refuses_reads();
            if refuses {
                self.0.cluster.poke();
            }
            refuses
        })
    }

    /// Whether a write of `key` would be rejected at once. If so, it is counted as rejected.
    pub fn refuses_write(&self, key: &str) -> bool {
        self.client(slot_of(key), &Route::Owner).is_none_or(|client| client.client.refuses_write())
    }

    /// Reads `key`, by `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// As [`CacheClient::get`].
    pub async fn get(&self, key: String, deadline: Instant) -> Result<Option<Vec<u8>>, BackendError> {
        let slot = slot_of(&key);
        let mut route = Route::Owner;
        for _ in 0..HOPS {
            let Some(client) = self.client(slot, &route) else { break };
            let asked = match &route {
                Route::Owner => client.client.get(key.clone(), deadline).await,
                Route::Asking(_) => client.client.get_asking(key.clone(), deadline).await,
            };
            match asked {
                Err(BackendError::Redirected(redirect)) => route = self.learn(*redirect, &client.place),
                answer => {
                    if answer.is_err() {
                        self.0.cluster.poke();
                    }
                    return answer;
                }
            }
        }
        Err(BackendError::Disconnected(std::io::ErrorKind::NotConnected))
    }

    /// Writes `key` once, at the node that has it. A write to a slot that is being moved is dropped.
    pub async fn set(&self, key: String, value: Vec<u8>, ttl: Duration) {
        let slot = slot_of(&key);
        for _ in 0..HOPS {
            let Some(client) = self.client(slot, &Route::Owner) else { return };
            let Some(redirect) = client.client.set(key.clone(), value.clone(), ttl).await else { return };
            if self.learn(*redirect, &client.place) != Route::Owner {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
