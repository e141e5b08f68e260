//! A group of servers in which another one takes the place of a lost primary: a cluster, or one that sentinels watch.
//!
//! Each shard has a primary and a replica. Every node, and every sentinel, has news of its own; one that is away
//! when something changes comes back with old news, and spreads them for a while.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use scoring_api::store::{SLOTS, slot_of};

use protocols::resp;

use super::{host_name, server::Server};
use crate::script::{StoreKind, WorldPlan};

/// A replica takes over when its primary has been away for this long.
pub const FAILOVER: Duration = Duration::from_millis(1_500);

/// A node that comes back learns the missed news after this time.
pub const OLD_NEWS: Duration = Duration::from_millis(400);

/// The name of the primary that sentinels watch.
pub const NAME: &str = "scores";

/// The number of sentinels.
pub const SENTINELS: usize = 3;

const SHARDS: usize = 3;

/// The knowledge of a node or a sentinel.
#[derive(Debug, Clone)]
pub struct View {
    kind: StoreKind,
    /// The node that owns each slot; of a group with sentinels, all of them.
    owners: Vec<usize>,
    /// The epoch of each node's last change.
    epochs: Vec<u64>,
    /// Slots on their way, with the node that they go to.
    moving: BTreeMap<u16, usize>,
    is_down: bool,
}

/// The truth about a group.
#[derive(Debug, Clone)]
pub struct Group(View);

// ===== impl Group =====

impl Group {
    /// The group of a plan; `None` if the store is one server or a file.
    pub fn new(plan: &WorldPlan) -> Option<Self> {
        let owner: fn(u16) -> usize = match plan.kind {
            StoreKind::One => return None,
            StoreKind::Sentinel => |_| 0,
            StoreKind::Cluster => |slot| usize::from(slot) * SHARDS / usize::from(SLOTS),
        };
        let epochs = (0..plan.kind.nodes()).map(|node| node as u64 + 1).collect();
        let owners = (0..SLOTS).map(owner).collect();
        Some(Self(View { kind: plan.kind, owners, epochs, moving: BTreeMap::new(), is_down: false }))
    }

    /// The truth now.
    pub fn view(&self) -> View {
        self.0.clone()
    }

    /// The node that has a key.
    pub fn home(&self, key: &str) -> usize {
        let slot = slot_of(key);
        self.0.moving.get(&slot).copied().unwrap_or(self.0.owners[usize::from(slot)])
    }

    /// Whether a node owns any slot.
    pub fn is_primary(&self, node: usize) -> bool {
        self.0.owners.contains(&node)
    }

    /// The other node of the shard.
    pub fn partner(&self, node: usize) -> usize {
        let shards = self.0.kind.nodes() / 2;
        (node + shards) % (2 * shards)
    }

    /// Another node takes the place of `old`.
    pub fn promote(&mut self, old: usize, new: usize) {
        self.0.owners.iter_mut().filter(|owner| **owner == old).for_each(|owner| *owner = new);
        self.0.moving.values_mut().filter(|owner| **owner == old).for_each(|owner| *owner = new);
        self.bump(new);
    }

    /// The slot of a key begins to move to another primary. Returns both, if they are there.
    pub fn begin_to_move(&mut self, key: &str, is_there: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let slot = slot_of(key);
        let from = self.home(key);
        let others = self.0.owners.iter().copied().filter(|owner| *owner != from);
        let to = others.max().filter(|to| is_there(from) && is_there(*to))?;
        self.0.moving.insert(slot, to);
        Some((from, to))
    }

    /// The slot of a key belongs to the primary that it moved to.
    pub fn end_of_move(&mut self, key: &str) {
        let slot = slot_of(key);
        if let Some(to) = self.0.moving.remove(&slot) {
            self.0.owners[usize::from(slot)] = to;
            self.bump(to);
        }
    }

    /// Whether the cluster serves nothing.
    pub fn set_down(&mut self, is_down: bool) {
        self.0.is_down = is_down;
    }

    fn bump(&mut self, node: usize) {
        let greatest = self.0.epochs.iter().max().copied().unwrap_or(0);
        self.0.epochs[node] = greatest + 1;
    }
}

// ===== impl View =====

impl View {
    /// A view of node `me` in which each shard belongs to the next one's primary. It claims no slots of others: a node knows its own.
    pub fn confused(&self, me: usize) -> Self {
        let mut primaries = self.owners.clone();
        primaries.sort_unstable();
        primaries.dedup();
        let next = |owner: usize| {
            let at = primaries.iter().position(|other| *other == owner).unwrap_or(0);
            Some(primaries[(at + 1) % primaries.len()]).filter(|next| *next != me).unwrap_or(owner)
        };
        let owners = self.owners.iter().map(|owner| next(*owner)).collect();
        Self { owners, epochs: vec![0; self.epochs.len()], ..self.clone() }
    }

    /// The answer to a command about the topology, by node `me`; `None` for other commands.
    pub(super) fn answer(&self, me: Option<usize>, words: &[&str]) -> Option<Vec<u8>> {
        match (words, self.kind, me) {
            (["CLUSTER", "SLOTS"], StoreKind::Cluster, Some(_)) => Some(self.slots()),
            (["CLUSTER", "NODES"], StoreKind::Cluster, Some(me)) => {
                Some(resp::bulk(Some(self.nodes(me).as_bytes())))
            }
            (["ROLE"], _, Some(me)) => {
                let role = if self.owners.contains(&me) { "master" } else { "slave" };
                Some(resp::array(&[resp::bulk(Some(role.as_bytes()))]))
            }
            (["SENTINEL", subcommand, NAME], StoreKind::Sentinel, None) => {
                let primary = self.owners[0];
                let epoch = self.epochs[primary].to_string();
                let texts = match *subcommand {
                    "GET-MASTER-ADDR-BY-NAME" => vec![host_name(primary), "6379".to_owned()],
                    _ => ["name", NAME, "config-epoch", &epoch].map(str::to_owned).to_vec(),
                };
                let texts: Vec<_> = texts.iter().map(|text| resp::bulk(Some(text.as_bytes()))).collect();
                Some(resp::array(&texts))
            }
            _ => None,
        }
    }

    /// The error for a command about `key` that node `me` does not execute.
    pub(super) fn redirects(&self, me: usize, key: &str, is_there: bool, is_asking: bool) -> Option<Vec<u8>> {
        if self.kind != StoreKind::Cluster {
            return None;
        }
        if self.is_down {
            return Some(resp::error("CLUSTERDOWN The cluster is down"));
        }
        let slot = slot_of(key);
        let owner = self.owners[usize::from(slot)];
        let to =
            |kind: &str, node: usize| Some(resp::error(&format!("{kind} {slot} {}:6379", host_name(node))));
        match self.moving.get(&slot) {
            Some(target) if *target == me && is_asking => None,
            Some(target) if owner == me && !is_there => to("ASK", *target),
            _ if owner == me => None,
            _ => to("MOVED", owner),
        }
    }

    fn slots(&self) -> Vec<u8> {
        let mut ranges = Vec::new();
        let mut first = 0;
        for last in 0..self.owners.len() {
            let owner = self.owners[last];
            if self.owners.get(last + 1) != Some(&owner) {
                let id = id(owner);
                let node = [
                    resp::bulk(Some(host_name(owner).as_bytes())),
                    resp::integer(6379),
                    resp::bulk(Some(id.as_bytes())),
                ];
                ranges.push(resp::array(&[resp::integer(first), resp::integer(last), resp::array(&node)]));
                first = last + 1;
            }
        }
        resp::array(&ranges)
    }

    fn nodes(&self, me: usize) -> String {
        let mut text = String::new();
        for (node, epoch) in self.epochs.iter().enumerate() {
            let myself = if node == me { "myself," } else { "" };
            let role = if self.owners.contains(&node) { "master" } else { "slave" };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{} {}:6379@16379 {myself}{role} - 0 0 {epoch} connected",
                id(node),
                host_name(node)
            );
        }
        text
    }
}

fn id(node: usize) -> String {
    format!("{node:040x}")
}

/// Tells these servers the truth.
pub fn tell<'a>(servers: impl Iterator<Item = &'a Server>, view: &View) {
    for server in servers {
        server.change(|state| {
            if let Some(member) = &mut state.member {
                member.view = view.clone();
            }
        });
    }
}
