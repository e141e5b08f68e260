//! The store behind the service, and the injection of each fault.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use testkit::{
    Conditions, Fault, Loss, Person, Proxy, READS, RedisServer, RespServer,
    bench::client::{Sample, Seen, Target, stored},
    call, eventually,
};
use tokio::time::{sleep, sleep_until};

use crate::{
    load::Load,
    row::{Bad, Cause, On, Outcome, ms},
    service::Service,
    tagged_world::TaggedWorld,
};

/// The actor trees of the service.
pub const WORKERS: usize = 2;

/// The connections of each: two for persistent reads, one for look-ups, one for cache writes.
const LINKS: usize = 4;

/// The client with a broken value.
const BROKEN_CLIENT: i64 = 9_999;
const SECRET: &str = "wrong-but-still-secret";

/// A store, and the network to it.
pub enum World {
    Resp(RespServer),
    Behind(Proxy, #[expect(dead_code, reason = "held for its Drop")] RespServer),
    Redis(Arc<RedisServer>),
    Tagged(TaggedWorld),
}

/// The activity that lasts as long as the fault.
pub struct Pending(Option<tokio::task::JoinHandle<()>>);

// ===== impl World =====

impl World {
    /// The store that `cause` needs, healthy and filled, or in its state before the service starts.
    pub async fn new(cause: Cause, on: On) -> Self {
        if on != On::Redis {
            return Self::Tagged(TaggedWorld::new(cause, on).await);
        }
        if matches!(cause, Cause::ScriptOnDatabase3) {
            let redis = RedisServer::with(&["--lua-time-limit", "1000"]).await;
            fill(&redis).await;
            redis.command::<()>(&["SWAPDB", "0", "3"]).await;
            for (key, _) in stored() {
                redis.command::<()>(&["SET", &key, r#"["of another application"]"#]).await;
            }
            return Self::Redis(Arc::new(redis));
        }
        if matches!(
            cause,
            Cause::Kill9 | Cause::Stop | Cause::Script | Cause::ClientKill | Cause::PauseWrites
        ) {
            let redis = RedisServer::start().await;
            fill(&redis).await;
            return Self::Redis(Arc::new(redis));
        }
        let store = filled_store();
        if matches!(cause, Cause::Latency(_) | Cause::Loss(_)) {
            let proxy = Proxy::seeded(store.addr(), 13);
            return Self::Behind(proxy, store);
        }
        if matches!(cause, Cause::DownAtStart) {
            store.door.shut();
        }
        if matches!(cause, Cause::WrongPassword) {
            store.require_login("service", "right");
        }
        Self::Resp(store)
    }

    /// Whether the fault exists before the service starts.
    pub fn is_ill_from_the_start(cause: Cause) -> bool {
        matches!(cause, Cause::DownAtStart | Cause::WrongPassword)
    }

    /// The settings of the service.
    pub fn settings(&self, cause: Cause) -> Vec<String> {
        let url = match self {
            Self::Tagged(world) => return world.settings(),
            Self::Resp(store) if matches!(cause, Cause::WrongPassword) => {
                format!("redis://service:{SECRET}@{}", store.addr())
            }
            Self::Resp(store) => store.url(),
            Self::Behind(proxy, _) => format!("redis://{}", proxy.addr()),
            Self::Redis(redis) if matches!(cause, Cause::ScriptOnDatabase3) => format!("{}/3", redis.url()),
            Self::Redis(redis) => redis.url(),
        };
        vec![format!("store.url={url}")]
    }

    /// The fault begins.
    pub async fn break_down(&self, cause: Cause, lasts: Duration) -> Pending {
        let mut pending = None;
        match (cause, self) {
            (cause, Self::Tagged(world)) => world.break_down(cause),
            (Cause::Replies(rule), Self::Resp(store)) => store.set(rule()),
            (Cause::Freeze, Self::Resp(store)) => store.freeze_existing(),
            (Cause::Clog, Self::Resp(store)) => {
                store.door.clog();
                store.drop_connections();
            }
            // Ten times a second: 50 ms refused, 50 ms accepted.
            (Cause::Flap, Self::Resp(store)) => store.door.flap(Duration::from_millis(50)),
            (Cause::MaxClients, Self::Resp(store)) => {
                store.max_clients();
                store.drop_connections();
            }
            // Half of it each way.
            (Cause::Latency(latency), Self::Behind(proxy, _)) => {
                proxy.set(Conditions { latency: latency / 2, ..Conditions::default() });
            }
            (Cause::Loss(chance), Self::Behind(proxy, _)) => {
                let loss = Some(Loss { chance, stall: Duration::from_millis(200) });
                proxy.set(Conditions { loss, ..Conditions::default() });
            }
            (Cause::Kill9, Self::Redis(redis)) => redis.kill9(),
            (Cause::Stop, Self::Redis(redis)) => redis.sigstop(),
            (Cause::Script | Cause::ScriptOnDatabase3, Self::Redis(redis)) => {
                let redis = redis.clone();
                pending = Some(tokio::spawn(async move { block(&redis, lasts).await }));
            }
            (Cause::PauseWrites, Self::Redis(redis)) => redis.client_pause(2 * lasts, "WRITE").await,
            _ => {}
        }
        Pending(pending)
    }

    /// The activity during the fault.
    pub async fn keep_breaking(
        &self,
        cause: Cause,
        until: Instant,
        service: &Service,
        load: &Load,
    ) -> Outcome {
        let mut out = Outcome::default();
        match (cause, self) {
            (cause, Self::Tagged(world)) => world.keep_breaking(cause, until).await,
            (Cause::CutsNowAndThen, Self::Resp(store)) => {
                while Instant::now() < until {
                    store.set(Fault::CutMidReply(3).on(READS).times(1));
                    sleep(Duration::from_millis(200)).await;
                }
            }
            (Cause::ClientKill, Self::Redis(redis)) => {
                while Instant::now() < until {
                    redis.client_kill().await;
                    sleep(Duration::from_millis(100)).await;
                }
            }
            (Cause::BadInterests(bad), Self::Resp(store)) => {
                ask_for_bad_interests(store, bad, &service.target, until, &mut out).await;
            }
            (Cause::BadScores, Self::Resp(store)) => {
                load.pause();
                overwrite_bad_scores(store, &service.target, &mut out).await;
                load.resume();
            }
            (Cause::DroppedWhileIdle, Self::Resp(store)) => {
                load.pause();
                ask_after_idle_drops(store, &service.target, &mut out).await;
                load.resume();
            }
            _ => {}
        }
        sleep_until(until.into()).await;
        out
    }

    /// The fault ends. Returns when it has.
    pub async fn heal(&self, cause: Cause, pending: Pending) {
        if let Some(pending) = pending.0 {
            pending.await.unwrap();
        }
        match (self, cause) {
            (Self::Resp(store), _) => {
                if matches!(cause, Cause::WrongPassword) {
                    store.require_login("service", SECRET);
                }
                store.heal();
            }
            (Self::Tagged(world), cause) => world.heal(cause).await,
            (Self::Behind(proxy, _), _) => proxy.heal(),
            (Self::Redis(redis), Cause::Kill9) => {
                redis.restart().await;
                fill(redis).await;
            }
            (Self::Redis(redis), Cause::Stop) => redis.sigcont(),
            (Self::Redis(redis), Cause::PauseWrites) => redis.command::<()>(&["CLIENT", "UNPAUSE"]).await,
            (Self::Redis(_), _) => {}
        }
    }

    /// The number of connections that the store has accepted so far.
    pub fn accepted(&self) -> Option<usize> {
        match self {
            Self::Resp(store) => Some(store.door.accepted()),
            Self::Behind(proxy, _) => Some(proxy.door.accepted()),
            Self::Redis(_) => None,
            Self::Tagged(world) => world.accepted(),
        }
    }

    /// Further requirements of a row, after its fault has ended. `before` is [`accepted`](Self::accepted) at the
    /// onset.
    pub async fn check(&self, id: &str, before: Option<usize>, service: &Service, out: &mut Outcome) {
        let connects = self.accepted().zip(before).map_or(0, |(after, before)| after - before);
        if id.starts_with("14") {
            out.must(connects == 0, format!("{connects} new connections"));
            out.note("connections kept");
        }
        if id.starts_with("05") || id.starts_with("15") {
            out.must(connects > 0, "no new connection");
            out.note(format!("{connects} new connections"));
        }
        if id.starts_with("15") || id.starts_with("16") {
            let all = service.target.metric(r#"scoring_store_operations_total{op="set""#).await;
            let ok = service.target.metric(r#"scoring_store_operations_total{op="set",outcome="ok""#).await;
            out.must(all > ok, "no dropped write was counted");
            out.note(format!("{} dropped writes counted", all - ok));
        }
        if id.starts_with("17") {
            out.must(connects <= 40, format!("{connects} new connections, far from slow"));
            out.note(format!("{connects} new connections"));
        }
        if id == "17_wrongpass" {
            out.must(!service.log().contains(SECRET), "the secret is in the log");
        }
    }
}

/// A healthy store inside this process that holds all clients' interests.
pub fn filled_store() -> RespServer {
    let store = RespServer::start();
    for (key, value) in stored() {
        store.put(&key, value);
    }
    store
}

pub async fn fill(redis: &RedisServer) {
    let pairs: Vec<_> = stored().flat_map(|(key, value)| [key, value]).collect();
    let words: Vec<_> = ["MSET"].into_iter().chain(pairs.iter().map(String::as_str)).collect();
    redis.command::<()>(&words).await;
}

/// Keeps a Redis busy for this time.
pub async fn block(redis: &RedisServer, lasts: Duration) {
    let script = format!(
        "local function now() local t = redis.call('TIME'); return t[1] * 1000 + t[2] / 1000 end; \
         local e = now() + {}; repeat until now() >= e",
        lasts.as_millis()
    );
    redis.command::<Option<String>>(&["EVAL", &script, "0"]).await;
}

async fn ask_for_bad_interests(
    store: &RespServer,
    bad: Bad,
    target: &Target,
    until: Instant,
    out: &mut Outcome,
) {
    let key = format!("i:{BROKEN_CLIENT}");
    let values: &[&str] = match bad {
        Bad::Type => &[""],
        Bad::Value => &["[\"books\"", "books", "{\"books\": 1}", "[1, 2]", "null", ""],
    };
    store.forget();
    let mut worst: Vec<Duration> = Vec::new();
    for value in values.iter().cycle() {
        match bad {
            Bad::Type => store.put_wrong_type(&key),
            Bad::Value => store.put(&key, value),
        }
        let sample = target.interests(&[1, BROKEN_CLIENT], Instant::now()).await;
        out.must(sample.seen == Seen::Broken, format!("{value:?}: {:?}", sample.seen));
        worst.push(sample.took);
        if Instant::now() >= until || !out.missed.is_empty() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let reads = store.seen("MGET").iter().filter(|command| command.args.contains(&key)).count();
    out.must(reads == worst.len(), format!("{} calls led to {reads} reads", worst.len()));
    worst.sort_unstable();
    let p99 = crate::measure::percentile(&worst, 0.99);
    out.note(format!("{} such calls: 500, p99 {}", worst.len(), ms(p99)));
    out.within("500s: p99", p99, Duration::from_millis(5));
}

async fn overwrite_bad_scores(store: &RespServer, target: &Target, out: &mut Outcome) {
    let person = Person::full();
    // Calls of the paused load that are still in flight may write too, so its keys are identified by comparison with
    // those before.
    let number = person.arguments()["phone"].as_str().unwrap_or_default().to_owned();
    sleep(Duration::from_millis(100)).await;
    store.forget();
    let body = call("online_score", person.arguments()).to_string();
    let first = target.post(&body).await;
    out.must(first.is_ok_and(|answer| answer.code == 200), format!("the first score of {number}"));
    eventually(Duration::from_secs(5), "the score is cached", async || !store.seen("SET").is_empty()).await;
    let key = store.seen("SET").remove(0).args.remove(0);
    for nonsense in ["NaN", "inf", "1e999", "-1", "five", "", "\0\x01"] {
        store.put(&key, nonsense);
        let sample = target.score(&person, Instant::now()).await;
        out.must(sample.seen == Seen::Right, format!("{nonsense:?}: {:?}", sample.seen));
        let begun = Instant::now();
        let overwritten = || store.stored(&key).is_some_and(|value| value.starts_with(b"5"));
        while !overwritten() && begun.elapsed() < Duration::from_secs(1) {
            sleep(Duration::from_millis(1)).await;
        }
        out.must(overwritten(), format!("{nonsense:?} was not overwritten"));
    }
    out.note("7 kinds of nonsense overwritten");
}

async fn ask_after_idle_drops(store: &RespServer, target: &Target, out: &mut Outcome) {
    sleep(Duration::from_millis(100)).await;
    let mut slowest = BTreeMap::<&str, Duration>::new();
    for round in 0..10 {
        let before = store.door.accepted();
        store.drop_connections();
        // At once in every other round; else with time enough to notice the loss.
        if round % 2 == 1 {
            sleep(Duration::from_millis(50)).await;
        }
        let person = Person::any();
        let now = Instant::now();
        let (score, interests) = tokio::join!(target.score(&person, now), target.interests(&[1, 2], now));
        for (name, Sample { took, seen, .. }) in [("score", score), ("interests", interests)] {
            out.must(seen == Seen::Right, format!("{name}: {seen:?}"));
            let worst = slowest.entry(name).or_default();
            *worst = took.max(*worst);
        }
        let begun = Instant::now();
        while store.door.accepted() < before + LINKS * WORKERS && begun.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_millis(60)).await;
    }
    for (name, took) in slowest {
        out.note(format!("{name} after an idle drop: worst {}", ms(took)));
        out.within(&format!("{name} after an idle drop"), took, Duration::from_millis(50));
    }
}
