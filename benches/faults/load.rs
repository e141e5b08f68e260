//! A steady load of both methods, which checks every answer.
//!
//! Open loop: calls are due at fixed times, whether or not earlier ones were answered, and the time of a call counts
//! from its due time. So a service that stalls cannot slow down its own measurement.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use testkit::{
    Person,
    bench::client::{LAST_CLIENT, Method, Sample, Target},
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};

/// Connections at the start. More are opened while the service stalls.
pub const CONNECTIONS: usize = 50;

/// The number of persons whose score is asked for again and again; these are half of the scores, so that some come
/// from the cache.
const REGULARS: usize = 500;

/// The load, until [`Load::end`]. Dropping it stops it too.
pub struct Load {
    shared: Arc<Shared>,
    generator: JoinHandle<()>,
}

struct Shared {
    samples: Mutex<Vec<Sample>>,
    paused: AtomicBool,
    ended: AtomicBool,
}

// ===== impl Load =====

impl Load {
    /// Starts to call each method `rate` times a second.
    pub async fn start(target: Arc<Target>, rate: u32) -> Self {
        Self::start_over(CONNECTIONS, target, rate).await
    }

    /// The same over this many connections at the start.
    pub async fn start_over(connections: usize, target: Arc<Target>, rate: u32) -> Self {
        target.connect(connections).await.expect("the service accepts connections");
        let shared = Arc::new(Shared {
            samples: Mutex::default(),
            paused: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let generator = tokio::spawn(generate(target, rate, shared.clone()));
        Self { shared, generator }
    }

    pub fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
    }

    pub fn resume(&self) {
        self.shared.paused.store(false, Relaxed);
    }

    /// Stops, waits for the calls in flight, and returns all samples.
    pub async fn end(mut self) -> Vec<Sample> {
        self.shared.ended.store(true, Relaxed);
        (&mut self.generator).await.expect("the load ends by itself");
        std::mem::take(&mut *self.shared.samples.lock().unwrap())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.generator.abort();
    }
}

async fn generate(target: Arc<Target>, rate: u32, shared: Arc<Shared>) {
    let regulars: Arc<[Person]> = (0..REGULARS).map(|_| Person::any()).collect();
    let mut ticks = interval(Duration::from_secs(1) / (2 * rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    for method in [Method::OnlineScore, Method::ClientsInterests].into_iter().cycle() {
        ticks.tick().await;
        if shared.ended.load(Relaxed) {
            break;
        }
        if shared.paused.load(Relaxed) {
            continue;
        }
        let (target, regulars, shared) = (target.clone(), regulars.clone(), shared.clone());
        let at = Instant::now();
        calls.spawn(async move {
            let sample = match method {
                Method::OnlineScore if fastrand::bool() => {
                    target.score(&regulars[fastrand::usize(..REGULARS)], at).await
                }
                Method::OnlineScore => target.score(&Person::any(), at).await,
                Method::ClientsInterests => target.interests(&some_clients(), at).await,
            };
            shared.samples.lock().unwrap().push(sample);
        });
        while calls.try_join_next().is_some() {}
    }
    calls.join_all().await;
}

/// Ids of clients; some have no interests.
pub fn some_clients() -> [i64; 3] {
    [(); 3].map(|()| fastrand::i64(1..=LAST_CLIENT * 6 / 5))
}
