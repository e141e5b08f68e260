//! The answers of one node to `CLUSTER SLOTS` and `CLUSTER NODES`, put together.
//!
//! `CLUSTER SLOTS` has the addresses that clients are to use, and `CLUSTER NODES` the epochs. The node's id joins them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use redis::{Value, from_redis_value_ref};

use crate::store::url::HostAndPort;

/// The answers of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// One for each range of slots.
    pub(super) claims: Vec<Claim>,
    /// The ids of all primaries that it knows.
    primaries: BTreeSet<String>,
    /// The addresses of all nodes that it names, primaries and replicas.
    nodes: BTreeSet<HostAndPort>,
}

/// A primary owns some slots, since an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) slots: RangeInclusive<u16>,
    pub(super) primary: HostAndPort,
    pub(super) epoch: u64,
}

// ===== impl Answer =====

impl Answer {
    /// `None` if the answers do not have the form that they should have. `asked` is the address of the node, which may
    /// leave its own host out.
    pub(super) fn parse(slots: &Value, nodes: &Value, asked: &HostAndPort) -> Option<Self> {
        let epochs = epochs(nodes)?;
        let Value::Array(ranges) = slots else { return None };
        let mut claims = Vec::with_capacity(ranges.len());
        let mut places = BTreeSet::new();
        for range in ranges {
            let Value::Array(parts) = range else { return None };
            let [first, last, primary, replicas @ ..] = parts.as_slice() else { return None };
            let (primary, id) = node(primary, asked)?;
            for replica in replicas {
                places.insert(node(replica, asked)?.0);
            }
            places.insert(primary.clone());
            let slots = number(first)?..=number(last)?;
            claims.push(Claim { slots, primary, epoch: *epochs.get(&id)? });
        }
        Some(Self { claims, primaries: epochs.into_keys().collect(), nodes: places })
    }

    /// Whether both nodes know one primary, so they are in the same cluster.
    pub(super) fn shares_a_primary(&self, other: &Self) -> bool {
        !self.primaries.is_disjoint(&other.primaries)
    }

    pub(super) fn places(&self) -> impl Iterator<Item = HostAndPort> {
        self.nodes.iter().cloned()
    }
}

/// The address for clients, and the id: `[host, port, id, …]`. Without a host, or with `?`, it is the host that was asked.
fn node(value: &Value, asked: &HostAndPort) -> Option<(HostAndPort, String)> {
    let Value::Array(parts) = value else { return None };
    let [host, port, id, ..] = parts.as_slice() else { return None };
    let host = if *host == Value::Nil { String::new() } else { text(host)? };
    let host = if host.is_empty() || host == "?" { asked.host.clone() } else { host };
    let port = number(port).filter(|port| *port != 0)?;
    Some((HostAndPort { host, port }, text(id)?))
}

/// The epochs of the primaries, by id. Each line is `id address flags primary ping pong epoch link slot…`.
fn epochs(nodes: &Value) -> Option<BTreeMap<String, u64>> {
    let nodes = text(nodes)?;
    let mut epochs = BTreeMap::new();
    for line in nodes.lines() {
        let words: Vec<_> = line.split(' ').collect();
        let [id, _, flags, _, _, _, epoch, ..] = words.as_slice() else { return None };
        if flags.split(',').any(|flag| flag == "master") {
            epochs.insert((*id).to_owned(), epoch.parse().ok()?);
        }
    }
    Some(epochs)
}

fn text(value: &Value) -> Option<String> {
    from_redis_value_ref(value).ok()
}

fn number(value: &Value) -> Option<u16> {
    let Value::Int(number) = value else { return None };
    u16::try_from(*number).ok()
}
