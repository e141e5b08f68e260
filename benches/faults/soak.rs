//! `make soak`: faults come and go at random under a mixed load, and at the end the service uses no more resources
//! than before.
//!
//! The order of faults follows from a seed, which is printed. The resources are measured twice, each time healed,
//! without load and without connections: after a warm-up that has faults too, and at the end.

use std::{
    env,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    Conditions, Fault, Loss, Proxy, READS, RespServer, Rule,
    bench::client::{Method, Sample, Seen, Target},
    call,
};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    load::Load,
    measure::{latencies, recovers},
    row::{Outcome, ms},
    service::{Service, Usage},
    world::filled_store,
};

/// For the report.
pub const WHAT: &str = "a mixed load (100 calls of each method a second, and 50 that must be refused as 400, 403 or \
    422) while faults of the store and of the way to it come and go at random";

const DEFAULT_SECONDS: u64 = 600;
const RATE: u32 = 100;
const GROWTH_KIB: u64 = 10 * 1024;
const FILES: usize = 5;
const THREADS: u64 = 0;
/// The share of the time that warms the service up.
const WARM_UP: f64 = 0.25;

/// The result of a soak.
pub struct Soak {
    seconds: u64,
    seed: u64,
    faults: usize,
    calls: usize,
    refused: usize,
    refusals_checked: usize,
    slowest: [Duration; 2],
    before: Usage,
    after: Usage,
    outcome: Outcome,
}

enum Act {
    Replies(fn() -> Rule),
    Network(fn() -> Conditions),
    Freeze,
    Reset,
    Shut,
    Clog,
    Flap,
}

const ACTS: &[(&str, Act)] = &[
    ("stall", Act::Replies(|| Fault::Stall.into())),
    ("garbage", Act::Replies(|| Fault::Garbage.into())),
    ("a huge length", Act::Replies(|| Fault::HugeLength(100_000).into())),
    ("cut replies", Act::Replies(|| Fault::CutMidReply(3).on(READS))),
    ("byte by byte", Act::Replies(|| Fault::Slice.into())),
    ("LOADING", Act::Replies(Fault::loading)),
    ("READONLY", Act::Replies(Fault::readonly)),
    ("OOM", Act::Replies(Fault::oom)),
    ("NOPERM", Act::Replies(Fault::noperm)),
    ("latency", Act::Network(|| Conditions { latency: Duration::from_millis(50), ..Conditions::default() })),
    (
        "seconds of latency",
        Act::Network(|| Conditions { latency: Duration::from_secs(1), ..Conditions::default() }),
    ),
    (
        "loss",
        Act::Network(|| {
            let loss = Some(Loss { chance: 0.05, stall: Duration::from_millis(200) });
            Conditions { loss, ..Conditions::default() }
        }),
    ),
    ("black hole", Act::Network(|| Conditions { black_hole: true, ..Conditions::default() })),
    ("half-open", Act::Freeze),
    ("resets", Act::Reset),
    ("refused", Act::Shut),
    ("full backlog", Act::Clog),
    ("flapping", Act::Flap),
];

/// Runs it for `SOAK_SECONDS` from `SOAK_SEED`.
pub async fn run() -> Soak {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seconds = number("SOAK_SECONDS").unwrap_or(DEFAULT_SECONDS);
    let seed = number("SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: {seconds} s, SOAK_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let store = filled_store();
    let proxy = Proxy::seeded(store.addr(), seed);
    let service = Service::start(&[&format!("store.url=redis://{}", proxy.addr())]).await;
    let mut soak = Soak {
        seconds,
        seed,
        faults: 0,
        calls: 0,
        refused: 0,
        refusals_checked: 0,
        slowest: [Duration::ZERO; 2],
        before: Usage::default(),
        after: Usage::default(),
        outcome: Outcome::default(),
    };
    let whole = Duration::from_secs(seconds);
    let warm_up = whole.mul_f64(WARM_UP);
    soak.before = soak.stretch(&service, &store, &proxy, warm_up, &mut random).await;
    soak.after = soak.stretch(&service, &store, &proxy, whole - warm_up, &mut random).await;
    soak.judge();
    soak
}

// ===== impl Soak =====

impl Soak {
    pub fn is_ok(&self) -> bool {
        self.outcome.missed.is_empty()
    }

    pub fn lines(&self) -> impl Iterator<Item = String> {
        let Usage { rss_kib, files, threads } = self.before;
        let [score, interests] = self.slowest;
        let mut lines = vec![
            format!("{} s, `SOAK_SEED={}`, {} faults", self.seconds, self.seed, self.faults),
            format!(
                "{} calls, each answer checked; {} interests were refused; {} bad calls got the code they must",
                self.calls, self.refused, self.refusals_checked
            ),
            format!("slowest score {}, slowest interests {}", ms(score), ms(interests)),
            format!(
                "memory (RSS) after {:.0} s of warm-up {rss_kib} KiB, at the end {} KiB (bound: {GROWTH_KIB} KiB more)",
                self.seconds as f64 * WARM_UP,
                self.after.rss_kib
            ),
            format!("open files {files}, at the end {} (bound: {FILES} more or less)", self.after.files),
            format!("threads {threads}, at the end {} (bound: none more)", self.after.threads),
        ];
        let missed = self.outcome.missed.iter().map(|miss| format!("**MISSED** {miss}"));
        lines.extend(missed);
        if self.is_ok() {
            lines.push("ok".to_owned());
        }
        lines.into_iter()
    }

    /// Load and faults for this time; then the resources after the end.
    async fn stretch(
        &mut self,
        service: &Service,
        store: &RespServer,
        proxy: &Proxy,
        lasts: Duration,
        random: &mut fastrand::Rng,
    ) -> Usage {
        let end = Instant::now() + lasts;
        let target = service.target.clone();
        while Instant::now() < end {
            let well = recovers(&target, Instant::now()).await;
            self.outcome.must(well.is_some(), "not well again within 10 s of the end of a fault");
            let load = Load::start(target.clone(), RATE).await;
            let bad = BadCalls::start(target.clone());
            // In slices, so that samples do not pile up.
            let slice = end.min(Instant::now() + Duration::from_secs(15));
            while Instant::now() < slice {
                let (name, act) = &ACTS[random.usize(..ACTS.len())];
                let lasts = Duration::from_millis(random.u64(200..3_000));
                let rest = Duration::from_millis(random.u64(200..2_000));
                println!("soak: {name} for {}", ms(lasts));
                act.begin(store, proxy);
                self.faults += 1;
                sleep(lasts).await;
                store.heal();
                proxy.heal();
                store.forget();
                sleep(rest).await;
            }
            self.add(&load.end().await);
            let (refused, wrong) = bad.end();
            self.refusals_checked += refused;
            self.outcome.must(wrong.is_none(), wrong.unwrap_or_default());
        }
        let well = recovers(&target, Instant::now()).await;
        self.outcome.must(well.is_some(), "not well again in the end");
        target.disconnect();
        sleep(Duration::from_secs(2)).await;
        service.usage()
    }

    fn add(&mut self, samples: &[Sample]) {
        self.calls += samples.len();
        self.refused += samples.iter().filter(|s| s.seen == Seen::Refused).count();
        let is_wrong = |s: &&Sample| match s.seen {
            Seen::Right => false,
            Seen::Refused => s.method == Method::OnlineScore,
            Seen::Broken | Seen::Lost(_) | Seen::Wrong(_) => true,
        };
        if let Some(wrong) = samples.iter().find(is_wrong) {
            self.outcome.must(false, format!("{:?}: {:?}", wrong.method, wrong.seen));
        }
        let samples: Vec<_> = samples.iter().collect();
        for (slowest, method) in self.slowest.iter_mut().zip([Method::OnlineScore, Method::ClientsInterests])
        {
            *slowest = latencies(&samples, method).worst.max(*slowest);
        }
    }

    fn judge(&mut self) {
        let (before, after) = (self.before, self.after);
        self.outcome.must(after.rss_kib <= before.rss_kib + GROWTH_KIB, "memory grew");
        self.outcome.must(after.files.abs_diff(before.files) <= FILES, "files are still open");
        self.outcome.must(after.threads <= before.threads + THREADS, "there are more threads");
    }
}

// ===== impl Act =====

impl Act {
    fn begin(&self, store: &RespServer, proxy: &Proxy) {
        match self {
            Self::Replies(rule) => store.set(rule()),
            Self::Network(conditions) => proxy.set(conditions()),
            Self::Freeze => proxy.door.freeze_existing(),
            Self::Reset => proxy.door.reset_existing(),
            Self::Shut => {
                proxy.door.shut();
                proxy.door.drop_existing();
            }
            Self::Clog => {
                proxy.door.clog();
                proxy.door.drop_existing();
            }
            Self::Flap => proxy.door.flap(Duration::from_millis(50)),
        }
    }
}

/// Calls that must be refused.
struct BadCalls {
    task: JoinHandle<()>,
    found: Arc<Mutex<(usize, Option<String>)>>,
}

// ===== impl BadCalls =====

impl BadCalls {
    fn start(target: Arc<Target>) -> Self {
        let found = Arc::new(Mutex::new((0, None)));
        let task = tokio::spawn(call_badly(target, found.clone()));
        Self { task, found }
    }

    /// The number of required refusals, and one call that was not refused.
    fn end(self) -> (usize, Option<String>) {
        self.task.abort();
        std::mem::take(&mut *self.found.lock().unwrap())
    }
}

impl Drop for BadCalls {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn call_badly(target: Arc<Target>, found: Arc<Mutex<(usize, Option<String>)>>) {
    let mut forged = call("online_score", json!({ "phone": "79175002040", "email": "a@b" }));
    forged["token"] = "forged".into();
    let cases = [
        (400, "{\"account\": ".to_owned()),
        (403, forged.to_string()),
        (422, call("online_score", json!({ "phone": "1" })).to_string()),
        (422, call("no such method", json!({})).to_string()),
        (422, "{}".to_owned()),
    ];
    for (code, body) in cases.iter().cycle() {
        match target.post(body).await {
            Ok(answer) if answer.code == *code && answer.json()["code"] == *code => {
                found.lock().unwrap().0 += 1;
            }
            otherwise => {
                let wrong = format!("{body} is not refused as {code}: {otherwise:?}");
                found.lock().unwrap().1 = Some(wrong);
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}
