//! The effects of each fault on the world, when it begins and when it ends.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    CLIENTS, LookUp, SimulatedDisk, Stored, USER, Value, World, entry, group, log_in_of,
    server::{self, RunningScript},
    set_wall_clock, wall_clock, wire,
};
use crate::script::Fault;

impl World {
    /// A fault begins.
    pub fn begin(&self, fault: &Fault) {
        let server = |index: &usize| &self.servers[*index];
        match fault {
            Fault::Down { server: index, loses_data } => {
                server(index).change(|state| state.is_down = true);
                server(index).each_wire(wire::Wire::cut);
                if *loses_data {
                    if *index == 0 {
                        self.lose_interests();
                    }
                    if *index == self.plan.cache_server() {
                        self.evict();
                    }
                }
            }
            Fault::Unreachable(index) => {
                server(index).change(|state| state.is_unreachable = true);
                server(index).each_wire(wire::Wire::stall);
            }
            Fault::Frozen(index) => server(index).change(|state| state.is_frozen = true),
            Fault::HalfOpen(index) => server(index).each_wire(wire::Wire::stall),
            Fault::Cut(index) => server(index).each_wire(wire::Wire::cut),
            Fault::Withheld { server: index, after, then } => {
                server(index).each_wire(|wire| wire.end_after(*after, *then));
            }
            Fault::Tampered { server: index, tamper } => server(index).each_wire(|wire| wire.tamper(*tamper)),
            Fault::Slow { server: index, by } => server(index).change(|state| state.latency += *by),
            Fault::Trickles { server: index, gap } => server(index).change(|state| state.gap = *gap),
            Fault::Dribbles { server: index, gap } => server(index).each_wire(|wire| wire.dribble(*gap)),
            Fault::Loading(index) => server(index).change(|state| state.is_loading = true),
            Fault::Script { server: index, silent } => {
                let busy_from = Instant::now() + *silent;
                server(index).change(|state| state.script = Some(RunningScript { busy_from }));
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::WritesRefused { server: index, error } => {
                server(index).change(|state| state.refuses_writes = Some(error));
            }
            Fault::StepRefused { server: index, step, error } => {
                server(index).change(|state| state.refuses_step = Some((*step, error)));
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::OtherPassword(index) => {
                server(index).change(|state| {
                    state.log_in = Some((USER, "another".to_owned()));
                });
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::Full(index) => {
                server(index).change(|state| state.is_full = true);
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::Moved(index) => {
                server(index).each_wire(wire::Wire::stall);
                self.network.move_host(*index);
            }
            Fault::DeadAddress { server: index, dead } => {
                self.network.lead_to(*index, Some(*dead));
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::Name { server: index, look_up } => {
                self.network.look_up(*index, *look_up);
                server(index).each_wire(wire::Wire::cut);
            }
            Fault::DiskFails => self.on_disk(|disk| disk.fails(true)),
            Fault::DiskFull => {
                self.is_broken.set(true);
                self.on_disk(|disk| disk.is_full(true));
            }
            Fault::DiskSlow(millis) => self.on_disk(|disk| disk.takes(*millis)),
            Fault::FileAway => {
                self.is_broken.set(true);
                self.on_disk(|disk| disk.is_away(true));
            }
            Fault::FileReplaced => self.replace_file(),
            Fault::FileDamaged(at) => {
                self.is_broken.set(true);
                self.on_disk(|disk| disk.damage(*at));
            }
            Fault::Evicted => self.evict(),
            Fault::Spoiled => self.spoil(),
            Fault::OtherKind(client) => self.store(*client, Stored::OtherKind),
            Fault::SlotMoves(client) => {
                let key = format!("i:{client}");
                self.change_group(|group| {
                    // Both take part.
                    let is_there = |node: usize| !self.servers[node].is_away();
                    if let Some((from, to)) = group.begin_to_move(&key, is_there) {
                        self.servers[from].hand_over(&key, &self.servers[to]);
                    }
                });
            }
            Fault::Confused(node) => {
                if let Some(group) = self.group.borrow().as_ref() {
                    group::tell([server(node)].into_iter(), &group.view().confused(*node));
                }
            }
            Fault::ClusterDown => self.change_group(|group| group.set_down(true)),
            Fault::AllDown => {
                for server in self.servers.iter().take(self.plan.kind.nodes()) {
                    server.change(|state| state.is_down = true);
                    server.each_wire(wire::Wire::cut);
                }
            }
            Fault::SentinelDown(index) => self.lose_sentinels(|other| other == *index, true),
            Fault::SentinelsDown => self.lose_sentinels(|_| true, true),
            Fault::WallClock(by) => set_wall_clock(wall_clock() + *by),
            // The tree of actors is told these.
            Fault::Panic(_) | Fault::Stuck(_) => {}
        }
    }

    /// A fault ends.
    pub fn end(&self, fault: &Fault) {
        let change = |index: &usize, change: &dyn Fn(&mut server::State)| self.servers[*index].change(change);
        match fault {
            Fault::Down { server: index, .. } => change(index, &|state| state.is_down = false),
            Fault::Unreachable(index) => change(index, &|state| state.is_unreachable = false),
            Fault::Frozen(index) => change(index, &|state| state.is_frozen = false),
            Fault::Slow { server: index, by } => {
                change(index, &|state| state.latency = state.latency.saturating_sub(*by));
            }
            Fault::Trickles { server: index, .. } => change(index, &|state| state.gap = Duration::ZERO),
            Fault::Loading(index) => change(index, &|state| state.is_loading = false),
            Fault::Script { server: index, .. } => change(index, &|state| state.script = None),
            Fault::WritesRefused { server: index, .. } => change(index, &|state| state.refuses_writes = None),
            Fault::StepRefused { server: index, .. } => change(index, &|state| state.refuses_step = None),
            Fault::OtherPassword(index) => change(index, &|state| {
                state.log_in = log_in_of(&self.plan, *index);
            }),
            Fault::Full(index) => change(index, &|state| state.is_full = false),
            Fault::DeadAddress { server: index, .. } => self.network.lead_to(*index, None),
            Fault::Name { server: index, .. } => self.network.look_up(*index, LookUp::Answers),
            Fault::OtherKind(client) => self.store(*client, Stored::interests("whole again")),
            Fault::SlotMoves(client) => {
                self.change_group(|group| group.end_of_move(&format!("i:{client}")));
            }
            Fault::Confused(_) => self.spread_news(),
            Fault::ClusterDown => self.change_group(|group| group.set_down(false)),
            Fault::AllDown => {
                for index in 0..self.plan.kind.nodes() {
                    change(&index, &|state| state.is_down = false);
                }
            }
            Fault::SentinelDown(index) => self.lose_sentinels(|other| other == *index, false),
            Fault::SentinelsDown => self.lose_sentinels(|_| true, false),
            Fault::DiskFails => self.on_disk(|disk| disk.fails(false)),
            Fault::DiskFull => {
                self.on_disk(|disk| disk.is_full(false));
                self.is_broken.set(false);
            }
            Fault::DiskSlow(_) => self.on_disk(|disk| disk.takes(0)),
            Fault::FileAway => {
                self.on_disk(|disk| disk.is_away(false));
                self.is_broken.set(false);
            }
            Fault::FileDamaged(_) => {
                self.replace_file();
                self.is_broken.set(false);
            }
            Fault::HalfOpen(_)
            | Fault::Cut(_)
            | Fault::Withheld { .. }
            | Fault::Tampered { .. }
            | Fault::Moved(_)
            | Fault::Dribbles { .. }
            | Fault::FileReplaced
            | Fault::Evicted
            | Fault::Spoiled
            | Fault::WallClock(_)
            | Fault::Panic(_)
            | Fault::Stuck(_) => {}
        }
    }

    /// Puts a new file in the place of the embedded store's.
    fn replace_file(&self) {
        if let Some(disk) = &self.disk {
            let entries: Vec<_> = self.ledger.now().iter().map(entry).collect();
            disk.replace(&entries);
            self.ledger.replaced();
        }
    }

    fn on_disk(&self, act: impl FnOnce(&SimulatedDisk)) {
        self.disk.iter().next().map(act);
    }

    /// Removes all cached scores.
    fn evict(&self) {
        let of_cache = |index: &usize| match self.plan.has_own_cache {
            true => *index == self.plan.cache_server(),
            false => self.plan.is_of_store(*index),
        };
        for (_, server) in self.servers.iter().enumerate().filter(|(index, _)| of_cache(index)) {
            server.lose(self.plan.cache_database, |key| key.starts_with("uid:"));
        }
    }

    /// Replaces the cached scores of some persons by texts.
    fn spoil(&self) {
        for person in self.persons.iter().step_by(2) {
            let value = Value::Text(b"not a score".to_vec());
            let cache = match self.plan.has_own_cache {
                true => &self.servers[self.plan.cache_server()],
                false => self.server_of(&person.key),
            };
            cache.put(self.plan.cache_database, person.key.clone(), Some(value));
        }
    }

    fn lose_interests(&self) {
        CLIENTS.for_each(|client| self.store(client, Stored::Nothing));
    }

    fn lose_sentinels(&self, which: impl Fn(usize) -> bool, are_lost: bool) {
        for (_, sentinel) in self.sentinels.iter().enumerate().filter(|(index, _)| which(*index)) {
            sentinel.change(|state| state.is_down = are_lost);
            if are_lost {
                sentinel.each_wire(wire::Wire::cut);
            }
        }
    }
}
