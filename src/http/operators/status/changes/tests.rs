//! Each change between two moments, and its words.

use std::time::Duration;

use rstest::rstest;

use super::*;
use crate::{
    http::operators::status::{
        model::{CardStatus, PartnersStatus, Resources},
        testing::{down, shard, store, worker},
    },
    wall_clock,
};

fn moment() -> Moment {
    Moment {
        at: wall_clock::now().into(),
        phase: Phase::Serving,
        stores: [store("cache"), store("persistent")],
        actors: vec![worker(0), worker(1)],
        resources: Resources::default(),
        card: CardStatus { version: "1".to_owned(), digest: "abc".to_owned(), shadow: None },
        partners: PartnersStatus::default(),
        last_reload: None,
    }
}

/// The changes to a moment that `change` makes of another, in their order.
fn told(before: &Moment, change: impl FnOnce(&mut Moment)) -> Vec<(Severity, String)> {
    let mut after = before.clone();
    change(&mut after);
    let mut changes = Changes::new(before.at);
    changes.compare(before, &after);
    let mut told = changes.newest_first();
    told.pop();
    told.reverse();
    told.into_iter().map(|change| (change.level, change.text)).collect()
}

fn one(level: Severity, text: &str) -> Vec<(Severity, String)> {
    vec![(level, text.to_owned())]
}

#[test]
fn the_first_change_is_the_start_and_nothing_changes_by_itself() {
    let before = moment();
    let mut changes = Changes::new(before.at);
    changes.compare(&before, &before.clone());
    let told = changes.newest_first();
    assert_eq!(told.len(), 1);
    assert!(told[0].text.starts_with("scoring-api ") && told[0].text.ends_with(" started"), "{told:?}");
}

#[rstest]
#[case::cache(0, Severity::Warn, "cache: 127.0.0.1:6379 is down: connection refused")]
#[case::persistent(1, Severity::Error, "persistent: 127.0.0.1:6379 is down: connection refused")]
fn an_outage_and_its_end_are_told(#[case] role: usize, #[case] level: Severity, #[case] text: &str) {
    let up = moment();
    let lose = |moment: &mut Moment| {
        moment.stores[role] = down(moment.stores[role].clone(), "connection refused");
    };
    assert_eq!(told(&up, lose), one(level, text));

    let mut lost = up.clone();
    lose(&mut lost);
    let back = told(&lost, |moment| {
        let since = Time(lost.stores[role].since.0 + Duration::from_secs(12));
        moment.stores[role] = StoreStatus { since, ..up.stores[role].clone() };
    });
    let text = text.replace("is down: connection refused", "is up again after 12 s");
    assert_eq!(back, one(Severity::Info, &text));
}

#[test]
fn a_store_that_was_down_for_less_than_a_second_is_told() {
    let before = moment();
    let flap =
        told(&before, |moment| moment.stores[1].since = Time(before.at.0 + Duration::from_millis(300)));
    assert_eq!(flap[0].0, Severity::Error);
    assert!(flap[0].1.starts_with("persistent: 127.0.0.1:6379 was down for a moment: "), "{flap:?}");
}

#[test]
fn the_first_connection_is_no_recovery() {
    let mut before = moment();
    before.stores[0].status = StoreState::Starting;
    let connected = told(&before, |moment| moment.stores[0].status = StoreState::Up);
    assert_eq!(connected, one(Severity::Info, "cache: 127.0.0.1:6379 is up"));
}

#[test]
fn each_primary_of_a_cluster_is_told_and_the_store_not_again() {
    let mut before = moment();
    before.stores[1].shards = vec![shard("a:1", StoreState::Up), shard("b:2", StoreState::Up)];
    let changes = told(&before, |moment| {
        let mut lost = down(moment.stores[1].clone(), "connection refused");
        lost.shards = vec![shard("a:1", StoreState::Down), shard("c:3", StoreState::Up)];
        lost.shards[0].last_error = lost.last_error.clone();
        moment.stores[1] = lost;
    });
    let expected = [
        (Severity::Info, "persistent: b:2 is no primary any more"),
        (Severity::Error, "persistent: a:1 is down: connection refused"),
        (Severity::Info, "persistent: c:3 is a primary"),
    ];
    assert_eq!(changes, expected.map(|(level, text)| (level, text.to_owned())));
}

#[test]
fn refused_writes_are_told_with_their_cause_and_their_end() {
    let before = moment();
    let refuse = |moment: &mut Moment| {
        moment.stores[0].writes.status = WritesState::Refused;
        moment.stores[0].writes.cause = Some("OOM".to_owned());
    };
    assert_eq!(told(&before, refuse), one(Severity::Warn, "cache: 127.0.0.1:6379 refuses writes: OOM"));
    let mut refused = before;
    refuse(&mut refused);
    let accepted = told(&refused, |moment| moment.stores[0].writes.status = WritesState::Accepted);
    assert_eq!(accepted, one(Severity::Info, "cache: 127.0.0.1:6379 accepts writes again"));
}

#[rstest]
#[case::once(1, "worker 1: scoring was restarted (panic at src/x.rs:10:5: no number)")]
#[case::often(3, "worker 1: scoring was restarted 3 times (panic at src/x.rs:10:5: no number)")]
fn a_restart_is_told_with_the_place_of_the_panic(#[case] times: u64, #[case] text: &str) {
    let before = moment();
    let restarted = told(&before, |moment| {
        let actor = &mut moment.actors[1].actors[1];
        actor.restarts += times;
        actor.last_restart = Some(LastRestart {
            reason: "panic".into(),
            at: before.at,
            place: Some("src/x.rs:10:5".to_owned()),
            message: Some("no number".into()),
        });
    });
    assert_eq!(restarted, one(Severity::Error, text));
}

#[rstest]
#[case::failing(ActorState::Failing, "fails again and again")]
#[case::stuck(ActorState::Stuck, "reads no messages")]
fn an_actor_that_is_not_well_is_told_and_its_recovery(#[case] state: ActorState, #[case] words: &str) {
    let before = moment();
    let ails = |moment: &mut Moment| moment.actors[0].actors[0].status = state;
    assert_eq!(told(&before, ails), one(Severity::Error, &format!("worker 0: dispatcher {words}")));
    let mut ailing = before;
    ails(&mut ailing);
    let well = told(&ailing, |moment| moment.actors[0].actors[0].status = ActorState::Running);
    assert_eq!(well, one(Severity::Info, "worker 0: dispatcher is well again"));
}

/// A worker's thread that is started again has other actors: that is no restart of an actor.
#[test]
fn actors_that_come_or_go_are_no_restarts() {
    let before = moment();
    assert!(told(&before, |moment| moment.actors = vec![worker(0)]).is_empty());
    assert!(told(&before, |moment| moment.actors.push(worker(2))).is_empty());
}

#[test]
fn phases_reloads_cards_and_notes_are_told() {
    let before = moment();
    let changes = told(&before, |moment| {
        moment.phase = Phase::Draining;
        moment.stores[1].note = Some("1 of 3 sentinels answer".to_owned());
        moment.last_reload = Some(LastReload {
            at: before.at,
            outcome: ReloadOutcome::Succeeded,
            changed: vec!["auth.salt".to_owned(), "scoring.card".to_owned()],
        });
        moment.card.version = "2".to_owned();
    });
    let expected = [
        (Severity::Info, "the service was asked to stop; it still accepts calls"),
        (Severity::Warn, "persistent: 1 of 3 sentinels answer"),
        (Severity::Info, "settings reloaded: auth.salt scoring.card"),
        (Severity::Info, "card 2 (abc) is in effect"),
    ];
    assert_eq!(changes, expected.map(|(level, text)| (level, text.to_owned())));
    let failed = told(&before, |moment| {
        let outcome = ReloadOutcome::Failed;
        moment.last_reload = Some(LastReload { at: before.at, outcome, changed: Vec::new() });
    });
    assert_eq!(failed, one(Severity::Warn, "settings not reloaded, because the new ones are at fault"));
}

#[test]
fn a_store_that_is_down_at_the_first_reading_is_told() {
    let mut first = moment();
    let [cache, persistent] = &mut first.stores;
    *cache = StoreStatus { shards: vec![shard("a:1", StoreState::Down)], ..store("cache") };
    cache.writes.status = WritesState::Refused;
    *persistent = down(store("persistent"), "connection refused");
    persistent.note = Some("1 of 3 sentinels answer".to_owned());
    let mut changes = Changes::new(first.at);
    changes.add(first.clone());
    let told: Vec<_> = changes.newest_first().into_iter().rev().skip(1).map(|change| change.text).collect();
    let expected = [
        "cache: a:1 is down: no connection yet",
        "cache: 127.0.0.1:6379 refuses writes: the log has the cause",
        "persistent: 127.0.0.1:6379 is down: connection refused",
        "persistent: 1 of 3 sentinels answer",
    ];
    assert_eq!(told, expected);
    changes.add(first);
    assert_eq!(changes.newest_first().len(), 1 + expected.len(), "only once");
}

#[test]
fn a_hundred_changes_are_kept_newest_first() {
    let (up, mut changes) = (moment(), Changes::new(moment().at));
    let mut refused = up.clone();
    refused.stores[0].writes.status = WritesState::Refused;
    for _ in 0..60 {
        changes.compare(&up, &refused);
        changes.compare(&refused, &up);
    }
    let told = changes.newest_first();
    assert_eq!(told.len(), KEPT);
    assert_eq!(told[0].text, "cache: 127.0.0.1:6379 accepts writes again");
}
