//! The sentence for each state, and its section of the runbook.

use rstest::rstest;

use super::*;
use crate::http::operators::status::{
    runbook,
    testing::{down, shard, store},
};

/// A service that serves, without calls.
fn quiet<'a>(cache: &'a StoreStatus, persistent: &'a StoreStatus) -> Facts<'a> {
    let phase = Phase::Serving;
    let (calls, errors) = (0, 0);
    Facts {
        phase,
        cache,
        persistent,
        unwell: Vec::new(),
        calls,
        errors,
        reason: None,
        refused: None,
        slow: None,
    }
}

/// The level, the sentence and the anchor in the runbook.
fn told(facts: &Facts<'_>) -> (Level, String, String) {
    let Verdict { level, sentence, link } = verdict(facts);
    let anchor = link.map(|link| link.strip_prefix("/runbook#").unwrap().to_owned()).unwrap_or_default();
    assert!(anchor.is_empty() || runbook::has_section(&anchor), "the runbook has no section {anchor}");
    (level, sentence, anchor)
}

#[rstest]
#[case::starting(Phase::Starting, Level::Warn, "The service starts.", "")]
#[case::draining(
    Phase::Draining,
    Level::Warn,
    "The service is stopping. It still accepts calls,",
    "roll-drain-and-stop"
)]
#[case::closing(Phase::Closing, Level::Warn, "The service is stopping. It refuses", "roll-drain-and-stop")]
#[case::serving(Phase::Serving, Level::Ok, "Callers notice nothing. There were no calls", "")]
fn each_phase_has_its_sentence(
    #[case] phase: Phase,
    #[case] level: Level,
    #[case] start: &str,
    #[case] section: &str,
) {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let (found, sentence, anchor) = told(&Facts { phase, ..quiet(&cache, &persistent) });
    assert!(sentence.starts_with(start), "{sentence}");
    assert_eq!((found, &*anchor), (level, section));
}

const PERSISTENT_DOWN: &str =
    "clients_interests is answered 503: the persistent store 127.0.0.1:6379 is down: connection refused.";
const CACHE_DOWN: &str =
    "Scores are right, and each is computed: the cache 127.0.0.1:6379 is down: connection refused.";

#[rstest]
#[case::both_up(false, false, Level::Ok, "Callers notice nothing.", "")]
#[case::cache(true, false, Level::Warn, CACHE_DOWN, "scoringcachedown")]
#[case::persistent(false, true, Level::Bad, PERSISTENT_DOWN, "scoringpersistentstoredown")]
#[case::both(
    true,
    true,
    Level::Bad,
    "each is computed: the cache is down, too.",
    "scoringpersistentstoredown"
)]
fn a_store_that_is_down_is_told_with_its_cause(
    #[case] cache_is_down: bool,
    #[case] persistent_is_down: bool,
    #[case] level: Level,
    #[case] part: &str,
    #[case] section: &str,
) {
    let of = |role, is_down| if is_down { down(store(role), "connection refused") } else { store(role) };
    let (cache, persistent) = (of("cache", cache_is_down), of("persistent", persistent_is_down));
    let (found, sentence, anchor) = told(&quiet(&cache, &persistent));
    assert!(sentence.contains(part), "{sentence}");
    assert_eq!((found, &*anchor), (level, section));
}

#[test]
fn a_cluster_tells_how_many_of_its_servers_are_down() {
    let mut cluster = down(store("persistent"), "connection refused");
    cluster.shards = vec![shard("a:1", StoreState::Down), shard("b:2", StoreState::Up)];
    let cache = store("cache");
    let (level, sentence, _) = told(&quiet(&cache, &cluster));
    assert_eq!(level, Level::Bad);
    assert!(
        sentence.contains("of 1 of 2 servers of the persistent store (a:1): connection refused"),
        "{sentence}"
    );

    let (persistent, mut cluster) = (store("persistent"), cluster);
    cluster.role = "cache".into();
    let (level, sentence, _) = told(&quiet(&cluster, &persistent));
    assert_eq!(level, Level::Warn);
    assert!(sentence.contains("a part of them is computed each time: 1 of 2 servers"), "{sentence}");
}

#[test]
fn a_store_without_a_first_connection_is_no_outage() {
    let [cache, mut persistent] = [store("cache"), store("persistent")];
    persistent.status = StoreState::Starting;
    let (level, sentence, _) = told(&quiet(&cache, &persistent));
    assert!(level == Level::Warn && sentence.contains("until the first connection"), "{sentence}");
}

#[rstest]
#[case::dispatcher("dispatcher", ActorState::Stuck, Level::Bad, "500 or 503: the actor dispatcher reads no")]
#[case::scoring("scoring", ActorState::Failing, Level::Bad, "the actor scoring fails again and again")]
#[case::interests("interests", ActorState::Failing, Level::Bad, "clients_interests is not answered")]
#[case::persistent("persistent_store", ActorState::Stuck, Level::Bad, "clients_interests is not answered")]
#[case::cache("cache_store", ActorState::Stuck, Level::Warn, "and a part of them is computed: the actor")]
fn an_actor_that_is_not_well_is_told_with_its_effect(
    #[case] actor: &'static str,
    #[case] state: ActorState,
    #[case] level: Level,
    #[case] part: &str,
) {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let unwell = vec![Unwell { actor: actor.into(), state, workers: 1, of: 2 }];
    let (found, sentence, anchor) = told(&Facts { unwell, ..quiet(&cache, &persistent) });
    assert!(sentence.contains(part) && sentence.ends_with(" on 1 of 2 workers."), "{sentence}");
    assert_eq!((found, &*anchor), (level, "scoringactorfails"));
}

#[rstest]
#[case::overload(FailureReason::Overload, 10, Level::Bad, "scoringsheds")]
#[case::few(FailureReason::Overload, 9, Level::Warn, "scoringsheds")]
#[case::deadline(FailureReason::Deadline, 10, Level::Bad, "scoringsheds")]
#[case::bodies(FailureReason::BodyMemory, 10, Level::Bad, "scoringsheds")]
#[case::actor(FailureReason::Actor, 10, Level::Bad, "scoringactorrestarts")]
#[case::value(FailureReason::MalformedValue, 10, Level::Bad, "scoringinternalerrors")]
#[case::panic(FailureReason::Panic, 10, Level::Bad, "scoringinternalerrors")]
#[case::store(FailureReason::StoreDown, 10, Level::Bad, "scoringpersistentstoredown")]
fn answers_of_500_and_above_are_told_with_their_reason(
    #[case] reason: FailureReason,
    #[case] errors: u64,
    #[case] level: Level,
    #[case] section: &str,
) {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let facts = Facts { calls: 1_000, errors, reason: Some(reason), ..quiet(&cache, &persistent) };
    let (found, sentence, anchor) = told(&facts);
    let expected =
        format!("{errors} of 1000 calls in the last 10 s were answered 500 or 503: {}.", of_reason(reason));
    assert_eq!((found, sentence, &*anchor), (level, expected, section));
}

#[test]
fn refused_writes_and_slow_calls_and_notes_are_told_in_this_order() {
    let [mut cache, mut persistent] = [store("cache"), store("persistent")];
    persistent.note = Some("1 of 3 sentinels answer".to_owned());
    let quiet_facts = quiet(&cache, &persistent);
    let expected = "Callers notice nothing. persistent: 1 of 3 sentinels answer.";
    assert_eq!(told(&quiet_facts), (Level::Warn, expected.to_owned(), "read-readiness".to_owned()));

    let refused = Some(Refused { calls: 1, reason: Some(FailureReason::Invalid) });
    let (_, sentence, _) = told(&Facts { calls: 9, refused, ..quiet_facts.clone() });
    let expected = "1 of 9 calls of the last 10 s were refused: fields are at fault. persistent: 1 of 3 sentinels answer.";
    assert_eq!(sentence, expected);

    let slow = Some(Slow { method: "online_score".into(), p99_ms: 249.6, promise_ms: 100 });
    let (_, sentence, anchor) = told(&Facts { slow: slow.clone(), ..quiet_facts });
    assert!(sentence.contains("took up to 250 ms, and 100 ms are promised"), "{sentence}");
    assert_eq!(anchor, "scoringscoresslow");

    cache.writes.status = WritesState::Refused;
    cache.writes.cause = Some("OOM".to_owned());
    let (_, sentence, anchor) = told(&Facts { slow, ..quiet(&cache, &persistent) });
    assert!(
        sentence.contains("new ones are not kept: the cache 127.0.0.1:6379 refuses writes: OOM."),
        "{sentence}"
    );
    assert_eq!(anchor, "scoringwritesrefused");
}

#[test]
fn each_score_is_computed_when_no_worker_has_a_cache() {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let unwell = vec![Unwell { actor: "cache_store".into(), state: ActorState::Failing, workers: 2, of: 2 }];
    let (_, sentence, _) = told(&Facts { unwell, ..quiet(&cache, &persistent) });
    assert!(sentence.starts_with("Scores are right, and each is computed: "), "{sentence}");
}

#[rstest]
#[case::draining(Phase::Draining)]
#[case::closing(Phase::Closing)]
fn a_service_that_stops_without_its_persistent_store_tells_both(#[case] phase: Phase) {
    let (cache, persistent) = (store("cache"), down(store("persistent"), "connection refused"));
    let (level, sentence, anchor) = told(&Facts { phase, ..quiet(&cache, &persistent) });
    assert!(
        sentence.starts_with("The service is stopping. ") && sentence.contains(PERSISTENT_DOWN),
        "{sentence}"
    );
    assert_eq!((level, &*anchor), (Level::Bad, "roll-drain-and-stop"));
}

#[rstest]
#[case::forbidden(Some(FailureReason::Forbidden), "the caller may not call", "scoringrefusalsjump")]
#[case::rate(Some(FailureReason::Rate), "the account or address calls too often", "scoringrefusalsjump")]
#[case::fields(Some(FailureReason::Invalid), "fields are at fault", "read-the-log")]
#[case::unknown(None, "see the log", "read-the-log")]
fn it_is_told_when_most_calls_are_refused(
    #[case] reason: Option<FailureReason>,
    #[case] why: &str,
    #[case] section: &str,
) {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let facts =
        |calls| Facts { calls: 42, refused: Some(Refused { calls, reason }), ..quiet(&cache, &persistent) };
    let sentence = |calls| format!("{calls} of 42 calls of the last 10 s were refused: {why}.");
    assert_eq!(told(&facts(40)), (Level::Warn, sentence(40), section.to_owned()));
    assert_eq!(told(&facts(22)).0, Level::Warn);
    let few = format!("All is well here. {}", sentence(21));
    assert_eq!(told(&facts(21)), (Level::Ok, few, String::new()));
}

#[rstest]
#[case::one(1, "The only call of the last 10 s was answered in time.")]
#[case::many(250, "All 250 calls of the last 10 s were answered in time.")]
fn calls_that_were_answered_are_counted(#[case] calls: u64, #[case] part: &str) {
    let [cache, persistent] = [store("cache"), store("persistent")];
    let (level, sentence, _) = told(&Facts { calls, ..quiet(&cache, &persistent) });
    assert!(level == Level::Ok && sentence.ends_with(part), "{sentence}");
}
