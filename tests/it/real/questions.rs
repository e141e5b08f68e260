//! Row 54: questions that are at fault themselves, asked again and again beside others that are not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::json;
use testkit::{ALL_IS_OK_WITHIN, RedisServer, Stopwatch, TestApp, alone, eventually};
use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};

const LASTS: Duration = Duration::from_secs(4);
const CALLERS: usize = 4;

/// Twice the limit of a reply, and the test's own clients.
const MEMORY: u64 = (128 + 16) << 20;

/// A server with interests under `i:1`, on which some question is at fault.
enum Ill {
    WrongType,
    OverTheLimit,
    OutputBufferLimit,
    CrossSlot,
}

async fn server(ill: &Ill) -> RedisServer {
    let options: &[&str] = if matches!(ill, Ill::CrossSlot) { &["--cluster-enabled", "yes"] } else { &[] };
    let redis = RedisServer::with(options).await;
    match ill {
        Ill::WrongType => redis.command::<()>(&["LPUSH", "i:7", "hockey"]).await,
        Ill::OverTheLimit => redis.command::<()>(&["SETRANGE", "i:7", "80000000", "x"]).await,
        Ill::OutputBufferLimit => {
            redis.command::<()>(&["SETRANGE", "i:7", "2000000", "x"]).await;
            redis.config_set("client-output-buffer-limit", "normal 1mb 1mb 0").await;
        }
        Ill::CrossSlot => redis.owns_all_slots().await,
    }
    redis.command::<()>(&["SET", "i:1", r#"["books"]"#]).await;
    redis
}

/// A service on `redis`, with time limits that a starved machine keeps, because the rows are not about them.
async fn app_on(redis: &RedisServer) -> Arc<TestApp> {
    let url = format!("store.url={}", redis.url());
    let limits = ["store.timeout=1s", "store.deadline=4s", "cache.timeout=1s"];
    let app = TestApp::with_settings(&[&[url.as_str()], &limits[..]].concat()).await;
    eventually(ALL_IS_OK_WITHIN, "the store is up", async || app.interests(&[1]).await.status == 200).await;
    Arc::new(app)
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Asks for `ids` in a loop, and returns how many answers had each status.
async fn callers(app: &Arc<TestApp>, ids: &'static [i64], pace: Duration) -> Vec<u16> {
    let mut set = JoinSet::new();
    for _ in 0..CALLERS {
        let app = app.clone();
        set.spawn(async move {
            let (begun, mut pace) = (Instant::now(), interval(pace));
            let mut statuses = Vec::new();
            while begun.elapsed() < LASTS {
                pace.tick().await;
                let reply = app.interests(ids).await;
                if reply.status == 200 {
                    assert_eq!(*reply.response(), json!({"1": ["books"]}));
                }
                statuses.push(reply.status);
            }
            statuses
        });
    }
    set.join_all().await.concat()
}

#[rstest]
#[case::wrong_type(Ill::WrongType, &[7], "wrong_type")]
#[case::wrong_type_among_others(Ill::WrongType, &[1, 7], "wrong_type")]
#[case::over_the_limit_of_a_reply(Ill::OverTheLimit, &[7], "too_large")]
#[case::over_the_limit_among_others(Ill::OverTheLimit, &[1, 7, 8], "too_large")]
#[case::over_the_output_buffer_limit(Ill::OutputBufferLimit, &[7], "too_large")]
#[case::keys_of_two_slots(Ill::CrossSlot, &[1, 2], "cross_slot")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_54_a_question_at_fault_costs_only_its_callers(
    #[case] ill: Ill,
    #[case] ids: &'static [i64],
    #[case] outcome: &str,
) {
    alone();
    let redis = server(&ill).await;
    let app = app_on(&redis).await;
    let before = resident();

    let watch = async {
        let (begun, mut peak) = (Stopwatch::start(), 0);
        while begun.elapsed() < LASTS {
            peak = peak.max(resident());
            let readiness = app.readiness().await;
            assert!(readiness == "ready" || begun.is_starved(), "{readiness}");
            sleep(Duration::from_millis(10)).await;
        }
        (peak, begun.is_starved())
    };
    let (at_fault, others, (peak, is_starved)) = tokio::join!(
        callers(&app, ids, Duration::from_millis(1)),
        callers(&app, &[1], Duration::from_millis(5)),
        watch,
    );
    let unlike = |statuses: &[u16], expected| statuses.iter().filter(|status| **status != expected).count();
    let (refused, not_500) = (unlike(&others, 200), unlike(&at_fault, 500));
    // A starved server is silent for longer than the link's fixed limit. That is an outage, not the question's fault.
    if !is_starved {
        assert!(refused * 100 <= others.len(), "{refused} of {} other calls failed", others.len());
        assert_eq!(not_500, 0, "of {} calls at fault", at_fault.len());
        assert_eq!(app.metric(r#"scoring_store_breaker_state{role="persistent"}"#).await, 0.0);
        let series = format!(
            r#"scoring_store_operations_total{{op="get_many",outcome="{outcome}",role="persistent"}}"#
        );
        assert!(app.metric(&series).await > 0.0);
    }
    assert!(peak.saturating_sub(before) <= MEMORY, "{} MiB more", (peak - before) >> 20);
}

/// The operator has mended the value: it is served again soon.
#[tokio::test]
async fn row_54_an_oversized_value_is_served_once_it_is_mended() {
    let redis = server(&Ill::OverTheLimit).await;
    let app = app_on(&redis).await;
    assert_eq!(app.interests(&[7]).await.status, 500);
    redis.command::<()>(&["SET", "i:7", r#"["hockey"]"#]).await;
    eventually(ALL_IS_OK_WITHIN, "the value is served", async || {
        let reply = app.interests(&[7]).await;
        reply.status == 200 && *reply.response() == json!({"7": ["hockey"]})
    })
    .await;
}
