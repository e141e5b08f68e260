//! A cluster in bulk: each key at its primary, over connections of its own. A write is not one transaction, because no
//! transaction spans two slots.

use std::{cell::RefCell, collections::BTreeMap, ops::ControlFlow, sync::Arc, time::Duration};

use redis::cmd;
use tokio::{runtime::Runtime, time::timeout};

use super::{bulk::scan, connect::RedisConnector, connection::RedisConnection};
use crate::{
    resolver::Resolver,
    store::{
        BackendError, Bulk, Changes, Connector, Found, PutError, Redirect, SlotMap, Stored, Watch,
        bulk::{
            Change,
            pieces::{PAGE, blocking_runtime, by_pages, chunks, in_time},
        },
        slot_of,
        url::{HostAndPort, RedisTarget},
    },
};

/// Maximum servers that a key is asked at, one after the other.
const HOPS: usize = 5;

/// All primaries of a cluster, for one thread that blocks on them.
pub(in crate::store) struct ClusterBulk {
    connector: RedisConnector,
    map: Arc<SlotMap>,
    /// Slots that have moved since.
    moved: RefCell<BTreeMap<u16, HostAndPort>>,
    // Before the runtime, which their drivers need.
    connections: RefCell<BTreeMap<HostAndPort, Arc<RedisConnection>>>,
    runtime: Runtime,
}

/// The keys for one server, by their positions.
type Group = (HostAndPort, bool, Vec<usize>);

// ===== impl ClusterBulk =====

impl ClusterBulk {
    /// Asks for the topology, within `limit`.
    pub(in crate::store) fn connect(
        target: &RedisTarget,
        limit: Duration,
        resolver: &Resolver,
    ) -> Result<Self, BackendError> {
        let runtime = blocking_runtime()?;
        let connector = RedisConnector::new(target.clone(), limit, resolver.clone());
        let map = runtime.block_on(async {
            let none = || BackendError::NoTopology(String::new());
            let mut view = connector.cluster().ok_or_else(none)?.view()?;
            let known = timeout(limit, view.wait_for(|view| view.map.is_some())).await;
            let map = known.ok().and_then(Result::ok).and_then(|view| view.map.clone());
            map.ok_or_else(|| BackendError::NoTopology(view.borrow().faults.clone()))
        })?;
        Ok(Self { connector, map, moved: RefCell::default(), connections: RefCell::default(), runtime })
    }

    async fn connection(&self, place: &HostAndPort) -> Result<Arc<RedisConnection>, BackendError> {
        let open = self.connections.borrow().get(place).cloned();
        if let Some(open) = open {
            return Ok(open);
        }
        let made = Arc::new(self.connector.at(place.clone()).establish().await?);
        self.connections.borrow_mut().insert(place.clone(), made.clone());
        Ok(made)
    }

    /// Groups `open` by the servers that have the keys now.
    ///
    /// # Errors
    ///
    /// If a slot has no primary.
    fn groups(
        &self,
        slots: &[u16],
        open: &[(usize, Option<HostAndPort>)],
    ) -> Result<Vec<Group>, BackendError> {
        let moved = self.moved.borrow();
        let mut groups: Vec<Group> = Vec::new();
        for (position, asking) in open {
            let owner = || {
                let slot = slots.get(*position)?;
                moved.get(slot).or_else(|| self.map.owner(*slot))
            };
            let unserved = || BackendError::NotServing { code: "CLUSTERDOWN".to_owned() };
            let place = asking.as_ref().or_else(owner).ok_or_else(unserved)?;
            match groups.iter_mut().find(|group| group.0 == *place && group.1 == asking.is_some()) {
                Some(group) => group.2.push(*position),
                None => groups.push((place.clone(), asking.is_some(), vec![*position])),
            }
        }
        Ok(groups)
    }

    /// The server to ask next; `None` for the new owner of the slot.
    fn learn(&self, redirect: Redirect, from: &HostAndPort) -> Option<HostAndPort> {
        let Redirect { asking, slot, mut to } = redirect;
        if to.host.is_empty() {
            to.host.clone_from(&from.host);
        }
        if asking {
            return Some(to);
        }
        self.moved.borrow_mut().insert(slot, to);
        None
    }

    async fn page(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        let slots: Vec<_> = keys.iter().map(|key| slot_of(key)).collect();
        let mut page = vec![Stored::Nothing; keys.len()];
        let mut open: Vec<_> = (0..keys.len()).map(|position| (position, None)).collect();
        for _ in 0..HOPS {
            for (place, asking, positions) in self.groups(&slots, &std::mem::take(&mut open))? {
                let connection = self.connection(&place).await?;
                let own: Vec<_> = positions.iter().filter_map(|at| keys.get(*at).cloned()).collect();
                let found = match in_time(connection.commands.get_each(&own, asking)).await {
                    // One of the values has another kind. Only reading each key alone shows which one.
                    Err(BackendError::WrongType) => {
                        let mut found = Vec::with_capacity(own.len());
                        for key in &own {
                            let alone = std::slice::from_ref(key);
                            found.push(match in_time(connection.commands.get_each(alone, asking)).await {
                                Err(BackendError::WrongType) => None,
                                answer => answer?.pop(),
                            });
                        }
                        found
                    }
                    answer => answer?.into_iter().map(Some).collect(),
                };
                for (at, found) in positions.into_iter().zip(found) {
                    let stored = match found {
                        None => Stored::WrongKind,
                        Some(Found::Value(value)) => Stored::from(value),
                        Some(Found::Elsewhere(redirect)) => {
                            open.push((at, self.learn(*redirect, &place)));
                            continue;
                        }
                    };
                    page.get_mut(at).into_iter().for_each(|place| *place = stored.clone());
                }
            }
            if open.is_empty() {
                return Ok(page);
            }
        }
        Err(BackendError::SlotsMoving)
    }

    /// Makes the changes of one chunk. `written` counts those that were confirmed.
    async fn change_chunk(
        &self,
        changes: &[Change<'_>],
        written: &mut dyn FnMut(usize),
    ) -> Result<(), BackendError> {
        let slots: Vec<_> = changes.iter().map(|(key, _)| slot_of(key)).collect();
        let mut open: Vec<_> = (0..changes.len()).map(|position| (position, None)).collect();
        for _ in 0..HOPS {
            for (place, asking, positions) in self.groups(&slots, &std::mem::take(&mut open))? {
                let connection = self.connection(&place).await?;
                let own: Vec<_> = positions.iter().filter_map(|at| changes.get(*at).copied()).collect();
                let answers = in_time(connection.commands.change_each(&own, asking)).await?;
                let mut failed = None;
                for (at, answer) in positions.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => written(1),
                        Err(BackendError::Redirected(redirect)) => {
                            open.push((at, self.learn(*redirect, &place)));
                        }
                        Err(error) => failed = failed.or(Some(error)),
                    }
                }
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
        Err(BackendError::SlotsMoving)
    }

    /// # Errors
    ///
    /// [`BackendError::SlotsMoving`] if a slot is being moved, or has other owners than at the start: then a scan may
    /// miss keys.
    async fn is_at_rest(&self) -> Result<(), BackendError> {
        for place in self.map.primaries() {
            let connection = self.connection(place).await?;
            let nodes: String = in_time(connection.commands.run(cmd("CLUSTER").arg("NODES").take())).await?;
            let own = nodes.lines().find(|line| line.contains("myself")).unwrap_or_default();
            let words: Vec<_> = own.split(' ').collect();
            let is_primary = words.get(2).is_some_and(|flags| flags.contains("master"));
            let mut owned = 0;
            for range in words.iter().skip(8) {
                // A slot on its way is in brackets.
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
                    return Err(BackendError::SlotsMoving);
                };
                if (first..=last).any(|slot| self.map.owner(slot) != Some(place)) {
                    return Err(BackendError::SlotsMoving);
                }
                owned += usize::from(last.saturating_sub(first)) + 1;
            }
            if !is_primary || owned != self.map.slots_of(place) {
                return Err(BackendError::SlotsMoving);
            }
        }
        Ok(())
    }
}

impl Bulk for ClusterBulk {
    /// Not all or nothing: a part may have been written when it fails.
    fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        if !watch.may_commit() {
            return Err(PutError::CalledOff);
        }
        let mut written = 0;
        for chunk in chunks(&changes.all(), PAGE) {
            let mut count = |more| {
                written += more;
                watch.written(more);
            };
            let changed = self.runtime.block_on(self.change_chunk(chunk, &mut count));
            changed.map_err(|error| PutError::Partly { written, of: changes.len(), error })?;
        }
        Ok(())
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        self.runtime.block_on(by_pages(keys, async |page| self.page(page).await))
    }

    /// One primary after the other. Fails if slots move meanwhile, because keys that move could be missed.
    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        self.runtime.block_on(self.is_at_rest())?;
        for place in self.map.primaries() {
            let ask = |scan| {
                self.runtime.block_on(async {
                    let connection = self.connection(place).await?;
                    in_time(connection.commands.run(scan)).await
                })
            };
            if scan(prefix, ask, |keys| self.get_many(keys), visit)?.is_break() {
                return Ok(());
            }
        }
        self.runtime.block_on(self.is_at_rest())
    }
}
