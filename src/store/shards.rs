//! The requests of a store that is a cluster: each primary has links, a breaker and a client of its own, and each key is
//! read and written at the primary that owns its slot.
//!
//! One primary that fails rejects only the requests that need it. Slots move: a node that does not have a key any more
//! names the one that has it, and the request goes there.

mod cache;
mod reads;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream::unfold};
use tokio::{
    select,
    sync::{Notify, watch},
    time::{Instant, sleep, timeout_at},
};

use super::{Cluster, ClusterView, Link, Redirect, SlotMap, url::HostAndPort};

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

#[cfg(test)]
mod tests;
