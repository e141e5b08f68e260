use rstest::rstest;

use super::*;
use crate::script::{Happening, draw};

/// Seeds that failed once.
const FAILED_SEEDS: &str = include_str!("../../failed-seeds.txt");

fn play_one(fault: Fault, lasts: Duration) -> Outcome {
    let mut script = draw(Seed::new(1));
    script.plan.has_own_cache = true;
    script.plan.callers = 2;
    script.happenings = vec![Happening { at: Duration::from_secs(2), lasts, fault }];
    run(&script, Seed::new(1), Level::INFO)
}

#[rstest]
#[case(1)]
#[case(2)]
#[case(3)]
#[case(4)]
#[case(5)]
#[case(6)]
fn the_same_seed_gives_the_same_log(#[case] number: u64) {
    let seed = Seed::new(number);
    let script = draw(seed);
    let [one, other] = [(); 2].map(|()| run(&script, seed, Level::TRACE).log);
    assert!(one.lines().count() > 3, "{one}");
    assert!(one == other, "{:?}", one.lines().zip(other.lines()).find(|(one, other)| one != other));
}

#[test]
fn seeds_that_failed_once_pass() {
    for line in FAILED_SEEDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let seed = line.parse().unwrap();
        assert_eq!(run(&draw(seed), seed, Level::INFO).failures, [""; 0], "seed {seed}");
    }
}

#[test]
fn some_seeds_pass() {
    for number in 1..=20 {
        let seed = Seed::new(number);
        assert_eq!(run(&draw(seed), seed, Level::INFO).failures, [""; 0], "seed {seed}");
    }
}

/// The oracles do not know of this fault, so they must see it.
#[test]
fn an_outage_that_nobody_planned_is_a_failure() {
    let mut script = draw(Seed::new(1));
    script.happenings.clear();
    let outcome = run_with(&script, Seed::new(1), Level::INFO, |world| world.begin(&Fault::Frozen(0)));
    assert!(outcome.failures.iter().any(|failure| failure.contains("clients_interests")), "{outcome:?}");
    assert!(outcome.failures.iter().any(|failure| failure.contains("is not up")), "{outcome:?}");
}

#[test]
fn a_value_that_nobody_stored_is_a_failure() {
    let mut script = draw(Seed::new(1));
    script.happenings.clear();
    let outcome = run_with(&script, Seed::new(1), Level::INFO, |world| {
        for client in CLIENTS {
            world.servers[0].put(script.plan.database, format!("i:{client}"), None);
        }
    });
    assert!(outcome.failures.iter().any(|failure| failure.contains("wrong interests")), "{outcome:?}");
}

#[test]
fn a_planned_outage_is_none() {
    let outcome = play_one(Fault::Frozen(0), Duration::from_secs(3));
    assert_eq!(outcome.failures, [""; 0]);
    assert!(outcome.log.contains("store is down") && outcome.log.contains("store is up"), "{}", outcome.log);
}
