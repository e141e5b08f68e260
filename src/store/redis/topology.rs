//! The topology of a cluster: which primary owns which slot.
//!
//! One task for each URL and process asks the nodes, because the answers are expensive for a large cluster. Nodes may
//! disagree: one that was away or cut off names owners of the past. So for each slot the claim with the greatest epoch
//! counts, and only nodes of the cluster that is known are heard.

mod answer;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use redis::{Value, cmd};
use tokio::{
    select,
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use self::answer::Answer;
use super::{
    connect::RedisConnector,
    connection::{Commands, RedisConnection},
};
use crate::store::{BackendError, ClusterView, Remedy, SlotMap, slots::SLOTS, url::HostAndPort};

/// The time between two rounds of questions while nothing happens; a random part of [`SPREAD`] is added, so that many instances
/// do not ask together.
const ASK_EVERY: Duration = Duration::from_secs(4);
const SPREAD: Duration = Duration::from_secs(2);

/// The same while a slot has no primary that answers.
const ASK_WHILE_UNSETTLED: Duration = Duration::from_millis(100);

/// The same while each node rejects the log-in; up to as much is added.
const ASK_WHILE_REJECTED: Duration = Duration::from_secs(1);

/// The minimum time between two rounds.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// The same once that has gone on for long, and the map has not changed meanwhile: a shard is lost for good.
const ASK_IN_THE_LONG_RUN: Duration = Duration::from_millis(500);
const LONG: Duration = Duration::from_secs(10);

/// The time for an answer on an open connection.
const ANSWER_WITHIN: Duration = Duration::from_millis(150);

/// Maximum nodes that are asked in a round.
const NODES_IN_A_ROUND: usize = 5;

/// Moved slots alone are logged at most this often; a slot moves in milliseconds, and an operator moves thousands.
const LOG_MOVES_EVERY: Duration = Duration::from_secs(10);

/// After this many rounds in which only nodes of another cluster answered, that one is believed.
const ROUNDS_UNTIL_REPLACED: u32 = 20;

/// The topology of one cluster. Clones share the task that asks for it; it ends with the last of them.
#[derive(Debug, Clone)]
pub(super) struct Topology(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seeds: Vec<HostAndPort>,
    /// Connects to any node, once it has been told which.
    connector: RedisConnector,
    poked: Arc<Notify>,
    view: Mutex<Option<watch::Receiver<ClusterView>>>,
}

// ===== impl Topology =====

impl Topology {
    pub(super) fn new(seeds: Vec<HostAndPort>, connector: RedisConnector) -> Self {
        Self(Arc::new(Shared { seeds, connector, poked: Arc::default(), view: Mutex::default() }))
    }

    /// Asks the nodes soon: something suggests that a slot has moved.
    pub(super) fn poke(&self) {
        self.0.poked.notify_one();
    }

    /// The nodes' answers, now and later. Starts the task that asks them, if it does not run yet.
    pub(super) fn view(&self) -> Result<watch::Receiver<ClusterView>, BackendError> {
        let mut running = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = running.as_ref() {
            return Ok(view.clone());
        }
        let (publisher, view) = watch::channel(ClusterView::default());
        let keeper = Keeper {
            seeds: self.0.seeds.clone(),
            connector: self.0.connector.clone(),
            nodes: BTreeMap::new(),
            known: Known::default(),
            publisher,
            last_logged_move: None,
            restless_since: None,
        };
        let work = keeper.keep(self.0.poked.clone()).boxed();
        let started = self.0.connector.network().background("cluster", work);
        started.map_err(|error| BackendError::NoTopology(format!("no thread: {error}")))?;
        *running = Some(view.clone());
        Ok(view)
    }

    /// The last view; `None` if nothing has been asked yet.
    pub(super) fn last_view(&self) -> Option<ClusterView> {
        let running = self.0.view.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_ref().map(|view| view.borrow().clone())
    }
}

// ===== the task =====

/// The state of the task.
struct Keeper {
    seeds: Vec<HostAndPort>,
    connector: RedisConnector,
    /// Connections to the nodes that were asked.
    nodes: BTreeMap<HostAndPort, RedisConnection>,
    known: Known,
    publisher: watch::Sender<ClusterView>,
    last_logged_move: Option<Instant>,
    /// Since when rounds have followed each other without a rest, or the map has been the same.
    restless_since: Option<Instant>,
}

/// One node's answer, and its connection; or the reason, and its remedy.
type Asked = (HostAndPort, Result<(Answer, RedisConnection), (String, Remedy)>);

impl Keeper {
    /// Asks as long as there is a receiver.
    async fn keep(mut self, poked: Arc<Notify>) {
        loop {
            let begun = Instant::now();
            let (pause, at_least) = match self.ask_all().await {
                Round::Settled => (ASK_EVERY + SPREAD.mul_f64(fastrand::f64()), ASK_AT_MOST_EVERY),
                Round::Unsettled => (ASK_WHILE_UNSETTLED, ASK_AT_MOST_EVERY),
                Round::Rejected => {
                    let pause = ASK_WHILE_REJECTED.mul_f64(1.0 + fastrand::f64());
                    (pause, pause)
                }
            };
            let since = *self.restless_since.get_or_insert(begun);
            let at_least = if since.elapsed() > LONG { at_least.max(ASK_IN_THE_LONG_RUN) } else { at_least };
            let pause = pause.max(at_least);
            let early = async {
                sleep_until(begun + at_least).await;
                poked.notified().await;
            };
            select! {
                biased;
                () = self.publisher.closed() => return,
                () = early => {}
                () = sleep_until(begun + pause) => {}
            }
            if begun.elapsed() > LONG / 5 {
                self.restless_since = None;
            }
        }
    }

    /// One round.
    async fn ask_all(&mut self) -> Round {
        let places = self.chosen();
        let mut asked: FuturesUnordered<_> = places
            .iter()
            .map(|place| ask(self.connector.at(place.clone()), place.clone(), self.nodes.remove(place)))
            .collect();
        let mut faults = Vec::new();
        let (mut heard, mut strangers, mut rejections) = (0, 0, 0);
        // A node that does not answer delays no other one's answer.
        while let Some((place, answer)) = asked.next().await {
            match answer {
                Ok((answer, connection)) => {
                    self.nodes.insert(place.clone(), connection);
                    if self.known.hear(&place, answer) {
                        heard += 1;
                        self.publish(None);
                    } else {
                        strangers += 1;
                        faults.push(format!("{place}: belongs to another cluster"));
                    }
                }
                Err((cause, remedy)) => {
                    rejections += usize::from(remedy == Remedy::Wait);
                    self.known.failed(&place);
                    let names_itself = cause.starts_with(&format!("{place}: "));
                    faults.push(if names_itself { cause } else { format!("{place}: {cause}") });
                }
            }
        }
        drop(asked);
        self.known.round_is_over(heard, strangers);
        let known = self.known.places();
        self.nodes.retain(|place, _| known.contains(place) || self.seeds.contains(place));
        faults.sort();
        self.publish(Some(faults.join("; ")));
        if rejections == places.len() {
            Round::Rejected
        } else if self.known.is_settled() {
            Round::Settled
        } else {
            Round::Unsettled
        }
    }

    /// The nodes to ask in this round: of those that are known, and the seeds if no known node has answered.
    fn chosen(&self) -> Vec<HostAndPort> {
        let mut places: Vec<_> = self.known.places().into_iter().collect();
        fastrand::shuffle(&mut places);
        places.truncate(NODES_IN_A_ROUND);
        if !self.known.answered {
            let others: Vec<_> = self.seeds.iter().filter(|seed| !places.contains(seed)).cloned().collect();
            places.extend(others);
        }
        places
    }

    /// Publishes the map, if it has changed, and the faults of a round that is over.
    fn publish(&mut self, faults: Option<String>) {
        let before = self.publisher.borrow().clone();
        let map = self.known.map.clone().or(before.map.clone());
        let faults = faults.unwrap_or_else(|| before.faults.clone());
        let view = ClusterView { map, faults };
        if view == before {
            return;
        }
        if view.map != before.map {
            self.restless_since = None;
        }
        if let Some(map) = &view.map {
            self.log(before.map.as_deref(), map);
        }
        self.publisher.send_replace(view);
    }

    fn log(&mut self, before: Option<&SlotMap>, map: &SlotMap) {
        let moved = before.map_or(usize::from(SLOTS), |before| before.differences(map));
        let same_primaries = before.is_some_and(|before| before.primaries() == map.primaries());
        let is_soon = self.last_logged_move.is_some_and(|last| last.elapsed() < LOG_MOVES_EVERY);
        if moved == 0 || (same_primaries && is_soon) {
            return;
        }
        self.last_logged_move = Some(Instant::now());
        let primaries = map.primaries().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        tracing::info!(%primaries, moved, unowned = map.unowned(), "the cluster has other primaries or slots");
    }
}

/// The outcome of a round.
enum Round {
    /// Each slot has a primary that answered.
    Settled,
    Unsettled,
    /// Only an operator can help: no node accepts this service.
    Rejected,
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn fault(error: BackendError) -> (String, Remedy) {
    (error.to_string(), error.remedy())
}

/// Asks one node. A connection that fails is not used again.
async fn ask(connector: RedisConnector, place: HostAndPort, open: Option<RedisConnection>) -> Asked {
    let answered = async {
        let connection = match open {
            Some(connection) => connection,
            None => connector.establish().await.map_err(fault)?,
        };
        let answer = timeout(ANSWER_WITHIN, answer(&connection.commands, &place)).await;
        let answer = answer.unwrap_or_else(|_| Err(fault(BackendError::TimedOut)))?;
        Ok((answer, connection))
    };
    let answered = answered.await;
    (place, answered)
}

/// One round trip: the slots with the addresses for clients, and the nodes with their epochs.
async fn answer(commands: &Commands, place: &HostAndPort) -> Result<Answer, (String, Remedy)> {
    let question = |name: &str| commands.run::<Value>(cmd("CLUSTER").arg(name).take());
    let (slots, nodes) = futures_util::future::join(question("SLOTS"), question("NODES")).await;
    let slots = match slots {
        Err(BackendError::Refused { .. }) => {
            return Err(("is not a node of a cluster".to_owned(), Remedy::Wait));
        }
        slots => slots.map_err(fault)?,
    };
    let nodes = nodes.map_err(fault)?;
    Answer::parse(&slots, &nodes, place).ok_or_else(|| fault(BackendError::Protocol))
}

// ===== the answers so far =====

/// The last answer of each node.
#[derive(Debug, Default)]
struct Known {
    answers: BTreeMap<HostAndPort, Answer>,
    /// Nodes that did not answer the last time.
    silent: BTreeSet<HostAndPort>,
    /// Whether a known node answered in the last round.
    answered: bool,
    /// Rounds in a row in which only nodes of another cluster answered.
    strange_rounds: u32,
    /// The map that follows from the answers.
    map: Option<Arc<SlotMap>>,
}

impl Known {
    /// Takes the answer of the node at `place`. False if it belongs to another cluster: addresses are used again.
    fn hear(&mut self, place: &HostAndPort, answer: Answer) -> bool {
        let is_known =
            self.answers.is_empty() || self.answers.values().any(|other| other.shares_a_primary(&answer));
        if is_known {
            self.silent.remove(place);
            if self.answers.get(place) != Some(&answer) {
                self.answers.insert(place.clone(), answer);
                self.merge();
            }
        } else if self.answers.remove(place).is_some() {
            self.merge();
        }
        is_known
    }

    fn failed(&mut self, place: &HostAndPort) {
        self.silent.insert(place.clone());
    }

    /// Forgets nodes that no node names any more, and a cluster of which nothing is left.
    fn round_is_over(&mut self, heard: usize, strangers: usize) {
        self.answered = heard > 0;
        self.strange_rounds = if heard == 0 && strangers > 0 { self.strange_rounds + 1 } else { 0 };
        if self.strange_rounds >= ROUNDS_UNTIL_REPLACED {
            *self = Self::default();
            return;
        }
        let now = |place: &HostAndPort| !self.silent.contains(place);
        let heard = self.answers.iter().filter(|(place, _)| now(place));
        let named: BTreeSet<_> = heard.flat_map(|(_, answer)| answer.places()).collect();
        // A seed may have another name than the node itself has.
        if named.iter().any(|place| now(place) && self.answers.contains_key(place)) {
            let count = self.answers.len();
            self.answers.retain(|place, _| named.contains(place));
            self.silent.retain(|place| named.contains(place));
            if self.answers.len() < count {
                self.merge();
            }
        }
    }

    /// All nodes that any answer names.
    fn places(&self) -> BTreeSet<HostAndPort> {
        self.answers.values().flat_map(Answer::places).collect()
    }

    /// For each slot the primary with the greatest epoch; among equals the one before.
    fn merge(&mut self) {
        let before = self.map.as_deref();
        let mut best: Vec<Option<(u64, &HostAndPort)>> = vec![None; usize::from(SLOTS)];
        for claim in self.answers.values().flat_map(|answer| &answer.claims) {
            for slot in claim.slots.clone() {
                let Some(best) = best.get_mut(usize::from(slot)) else { continue };
                let was =
                    |place: &HostAndPort| before.is_some_and(|before| before.owner(slot) == Some(place));
                let is_better = best.is_none_or(|(epoch, place)| {
                    epoch < claim.epoch || (epoch == claim.epoch && !was(place) && was(&claim.primary))
                });
                if is_better {
                    *best = Some((claim.epoch, &claim.primary));
                }
            }
        }
        let owner = |slot| best.get(usize::from(slot)).copied().flatten().map(|(_, place)| place);
        self.map = (!self.answers.is_empty()).then(|| Arc::new(SlotMap::of(owner)));
    }

    /// Whether each slot has a primary, and each of these answers, as far as it was asked.
    fn is_settled(&self) -> bool {
        let is_served = |map: &Arc<SlotMap>| {
            map.unowned() == 0 && !map.primaries().iter().any(|place| self.silent.contains(place))
        };
        self.answered && self.map.as_ref().is_some_and(is_served)
    }
}

#[cfg(test)]
mod tests;
