use rstest::rstest;

use super::*;
use crate::{
    actors::testing::{Act, Peer, active, built_in_card},
    domain::{Card, Json, OnlineScore, Rules, Score},
    testing::{paused, settle},
};

const CACHE_TIMEOUT: Duration = Duration::from_millis(80);
const BUDGET: Duration = Duration::from_millis(500);
const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();

fn person(json: &str) -> OnlineScore {
    let Ok(Json::Object(arguments)) = Json::parse(json.as_bytes()) else { panic!("{json} is no object") };
    let rules = Rules { today: TODAY, max_client_ids: 1, explain: false };
    OnlineScore::parse(arguments, &rules).unwrap()
}

fn someone() -> OnlineScore {
    person(r#"{"phone": "79175002040", "email": "a@b"}"#)
}

fn computed(person: &OnlineScore) -> Score {
    Card::built_in().score(person, TODAY)
}

struct Test {
    get: Peer<CacheGet>,
    put: Peer<CachePut>,
    card: Arc<ActiveCard>,
    actor: Addr<ScoringActor>,
}

fn start(get: Act<CacheGet>) -> Test {
    start_near(get, 0)
}

fn start_near(get: Act<CacheGet>, capacity: usize) -> Test {
    let (get, put) = (Peer::new(get), Peer::new(Act::answer(|_| ())));
    let actor = ScoringActor::new(get.mailbox(), put.mailbox(), CACHE_TIMEOUT).start();
    Test { get, put, card: Arc::new(built_in_card(capacity)), actor }
}

impl Test {
    async fn rate(&self, request: OnlineScore, budget: Duration) -> Score {
        let Answer::Score(score) = self.ask(request, self.card.clone(), false, budget).await.answer else {
            panic!("with reasons")
        };
        score
    }

    /// Asks as the dispatcher does.
    async fn ask(
        &self,
        person: OnlineScore,
        card: Arc<ActiveCard>,
        explain: bool,
        budget: Duration,
    ) -> Rated {
        let deadline = Deadline::after(Instant::now(), budget);
        let key = card.near_key(person, TODAY);
        let message = RateScore { key, card, today: TODAY, explain, deadline };
        match message.near_hit() {
            Some(rated) => rated,
            None => self.actor.send(message).await.unwrap(),
        }
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
        let expected = computed(&person(json));
        assert_eq!(test.rate(person(json), BUDGET).await, expected);
        let late = begun.elapsed().checked_sub(took);
        assert!(late <= Some(Duration::from_millis(1)), "{:?}", begun.elapsed());

        settle().await;
        let put = test.put.last().unwrap();
        assert_eq!((put.key, put.score), (Card::built_in().cache_key(&person(json), TODAY), expected));
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
        assert_eq!(test.get.last().unwrap().key, Card::built_in().cache_key(&someone(), TODAY));
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
            assert_eq!(test.rate(someone(), BUDGET).await, computed(&someone()));
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
        assert_eq!(test.rate(someone(), budget).await, computed(&someone()));
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

/// What a call gives its caller and its log line.
#[rstest]
#[case::of_the_cache(Act::answer(|_| Score::new(4.25)), Source::Cache)]
#[case::of_the_card(Act::answer(|_| None), Source::Computed)]
fn a_score_has_a_source(#[case] cache: Act<CacheGet>, #[case] source: Source) {
    paused(async {
        let test = start_near(cache, 10);
        let ask = || test.ask(someone(), test.card.clone(), false, BUDGET);
        let first = ask().await;
        assert_eq!(first.source, source);
        assert_eq!(ask().await, Rated { source: Source::Near, ..first });
    });
}

#[test]
fn a_score_with_reasons_is_computed_for_any_cached_score() {
    paused(async {
        let test = start_near(Act::answer(|_| Score::new(4.25)), 10);
        test.rate(someone(), BUDGET).await;
        settle().await;
        let asked = test.get.received.get();
        let Rated { answer, source } = test.ask(someone(), test.card.clone(), true, BUDGET).await;
        let Answer::Explained(explained) = answer else { panic!("no reasons") };
        assert_eq!((explained.score, source), (computed(&someone()), Source::Computed));
        assert_eq!(explained.reasons, ["NO-BIRTHDAY-OR-GENDER", "NO-NAMES"]);
        settle().await;
        assert_eq!((test.get.received.get(), test.put.received.get()), (asked, 0));
    });
}

/// The caller has loaded card A, and waits for the cache while B replaces it.
#[test]
fn a_call_in_flight_does_not_touch_the_near_cache_of_the_next_card() {
    paused(async {
        let other = "version = \"b\"\nbase = 9\n[[characteristic]]\nname = \"c\"\nbin = [{ points = 0 }]";
        let next = Arc::new(active(Arc::new(Card::read(other).unwrap()), 10));
        let test = start_near(Act::Hang, 10);
        let late = tokio::task::spawn_local({
            let (actor, card) = (test.actor.clone(), test.card.clone());
            let deadline = Deadline::after(Instant::now(), BUDGET);
            async move {
                let key = card.near_key(someone(), TODAY);
                actor.send(RateScore { key, card, today: TODAY, explain: false, deadline }).await.unwrap()
            }
        });
        settle().await;
        let Rated { answer, .. } = test.ask(someone(), next.clone(), false, BUDGET).await;
        assert_eq!(answer, Answer::Score(Score::new(9.0).unwrap()));
        assert_eq!(late.await.unwrap().answer, Answer::Score(computed(&someone())));
        let again = test.ask(someone(), next, false, BUDGET).await;
        assert_eq!(again, Rated { answer: Answer::Score(Score::new(9.0).unwrap()), source: Source::Near });
    });
}
