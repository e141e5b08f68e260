use prometheus::Registry;
use rstest::rstest;

use super::*;
use crate::{
    actors::{
        cache_lookups::CacheLookups,
        testing::{Act, Peer},
    },
    domain::{Json, Rules},
    testing::{paused, settle},
};

const CACHE_TIMEOUT: Duration = Duration::from_millis(80);
const BUDGET: Duration = Duration::from_millis(500);

fn person(json: &str) -> OnlineScore {
    let Ok(Json::Object(arguments)) = Json::parse(json.as_bytes()) else { panic!("{json} is no object") };
    let rules = Rules { today: chrono::NaiveDate::from_ymd_opt(2026, 6, 15).unwrap(), max_client_ids: 1 };
    OnlineScore::parse(arguments, &rules).unwrap()
}

fn someone() -> OnlineScore {
    person(r#"{"phone": "79175002040", "email": "a@b"}"#)
}

struct Test {
    get: Peer<CacheGet>,
    put: Peer<CachePut>,
    actor: Addr<ScoringActor>,
}

fn start(get: Act<CacheGet>) -> Test {
    start_near(get, 0)
}

fn start_near(get: Act<CacheGet>, capacity: usize) -> Test {
    let lookups = CacheLookups::register(&Registry::new()).unwrap();
    let near = NearCache::new(capacity, Duration::from_secs(3600), lookups);
    let (get, put) = (Peer::new(get), Peer::new(Act::answer(|_| ())));
    let actor = ScoringActor::new(near, get.mailbox(), put.mailbox(), CACHE_TIMEOUT).start();
    Test { get, put, actor }
}

impl Test {
    async fn rate(&self, request: OnlineScore, budget: Duration) -> Score {
        let deadline = Deadline::after(Instant::now(), budget);
        self.actor.send(RateScore { request, deadline }).await.unwrap()
    }
}

#[rstest]
#[case::nothing_is_cached(Act::answer(|_| None), Duration::ZERO)]
#[case::the_store_actor_falls(Act::Panic, Duration::ZERO)]
#[case::the_store_actor_is_stuck(Act::Hang, CACHE_TIMEOUT)]
fn a_score_that_is_not_cached_is_computed_in_time_and_cached(
    #[case] cache: Act<CacheGet>,
    #[case] took: Duration,
    #[values(
        r#"{"phone": "79175002040", "email": "a@b"}"#,
        r#"{"gender": 0, "birthday": "01.01.2000"}"#,
        r#"{"first_name": "a", "last_name": "b", "gender": 1, "birthday": "01.01.2000", "phone": 79175002040, "email": "@"}"#
    )]
    json: &str,
) {
    paused(async {
        let test = start(cache);
        let begun = Instant::now();
        let expected = Score::compute(&person(json));
        assert_eq!(test.rate(person(json), BUDGET).await, expected);
        let late = begun.elapsed().checked_sub(took);
        assert!(late <= Some(Duration::from_millis(1)), "{:?}", begun.elapsed());

        settle().await;
        let put = test.put.last().unwrap();
        assert_eq!((put.key, put.score), (cache_key(&person(json)), expected));
        assert_eq!(test.put.received.get(), 1);
    });
}

/// A cached score of 0 is a score, not a miss.
#[rstest]
#[case::of_0(|_: &CacheGet| Score::new(0.0), 0.0)]
#[case::that_the_formula_would_not_give(|_: &CacheGet| Score::new(4.25), 4.25)]
fn a_cached_score_is_answered_and_not_written_again(
    #[case] cached: fn(&CacheGet) -> Option<Score>,
    #[case] value: f64,
) {
    paused(async {
        let test = start(Act::answer(cached));
        assert_eq!(test.rate(someone(), BUDGET).await, Score::new(value).unwrap());
        settle().await;
        assert_eq!(test.put.received.get(), 0);
        assert_eq!(test.get.last().unwrap().key, cache_key(&someone()));
    });
}

/// No caller waits for the reply of a write.
#[rstest]
#[case::stuck(Act::Hang)]
#[case::falls(Act::Panic)]
fn a_cache_that_cannot_be_written_costs_nothing(#[case] put: Act<CachePut>) {
    paused(async {
        let test = start(Act::answer(|_| None));
        test.put.act(put);
        let begun = Instant::now();
        for _ in 0..3 {
            assert_eq!(test.rate(someone(), BUDGET).await, Score::compute(&someone()));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[rstest]
#[case::of_the_cache(BUDGET, CACHE_TIMEOUT)]
#[case::of_the_call(CACHE_TIMEOUT / 2, CACHE_TIMEOUT / 2)]
fn the_cache_is_waited_for_until_the_stricter_limit(#[case] budget: Duration, #[case] expected: Duration) {
    paused(async {
        let test = start(Act::Hang);
        let begun = Instant::now();
        assert_eq!(test.rate(someone(), budget).await, Score::compute(&someone()));
        assert!(begun.elapsed().saturating_sub(expected) <= Duration::from_millis(1));
        let told = test.get.last().unwrap().deadline.instant();
        assert_eq!(told, (begun + expected));
        // A write is useful until the call's own deadline.
        settle().await;
        assert_eq!(test.put.last().unwrap().deadline.instant(), (begun + budget));
    });
}

#[rstest]
#[case::that_was_cached(Act::answer(|_| Score::new(4.25)), 4.25)]
#[case::that_was_computed(Act::answer(|_| None), 3.0)]
#[case::that_was_computed_because_the_store_actor_is_stuck(Act::Hang, 3.0)]
fn a_score_is_asked_for_once_while_it_is_near(#[case] cache: Act<CacheGet>, #[case] value: f64) {
    paused(async {
        let test = start_near(cache, 10);
        let score = Score::new(value).unwrap();
        assert_eq!(test.rate(someone(), BUDGET).await, score);
        settle().await;
        let asked = (test.get.received.get(), test.put.received.get());
        test.get.act(Act::Panic);
        let begun = Instant::now();
        assert_eq!(test.rate(someone(), BUDGET).await, score);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        settle().await;
        assert_eq!((test.get.received.get(), test.put.received.get()), asked);
    });
}
