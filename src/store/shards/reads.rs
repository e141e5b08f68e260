//! Persistent reads: the keys of a request are grouped by node, and all nodes are asked side by side.

use std::{rc::Rc, sync::Arc};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{select, time::Instant};

use super::{Client, HOPS, Route, Shards};
use crate::store::{Found, PersistentReader, StoreError, slot_of};

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
