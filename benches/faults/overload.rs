//! Row 33: a load five times the capacity.
//!
//! Client and service share the machine's cores, which must not be overloaded themselves. So the service may have few
//! calls in flight and its store takes a fixed time. This makes its capacity `limits.max_in_flight` / latency, far
//! below the capacity of the cores. The peak is measured by as many clients in a closed loop. The load after that is
//! open-loop.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use testkit::{
    Conditions, Proxy,
    bench::client::{Sample, Seen, Target},
    eventually,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    load::some_clients,
    measure::{STREAK, percentile},
    row::{Outcome, ms},
    service::Service,
    world::filled_store,
};

const MAX_IN_FLIGHT: usize = 16;
const LATENCY: Duration = Duration::from_millis(40);
const LASTS: Duration = Duration::from_secs(3);
const REFUSED_WITHIN: Duration = Duration::from_millis(10);
const RECOVERS_WITHIN: Duration = Duration::from_secs(1);

/// The result of a load: served calls a second, and sorted durations of calls.
struct Came {
    goodput: f64,
    served: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Row 33.
pub fn five_times_the_load() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let store = filled_store();
        let proxy = Proxy::to(store.addr());
        proxy.set(Conditions { latency: LATENCY / 2, ..Conditions::default() });
        let url = format!("store.url=redis://{}", proxy.addr());
        let limit = format!("limits.max_in_flight={MAX_IN_FLIGHT}");
        let service = Service::start(&[&url, "cache.url=memory:", &limit]).await;
        let target = service.target.clone();
        let ready = async || target.is_ready().await;
        eventually(Duration::from_secs(5), "the service is ready", ready).await;

        let peak = came(closed_loop(&target).await, &mut out);
        out.must(peak.refused.is_empty(), format!("{} refused at the peak", peak.refused.len()));
        let peak_p99 = percentile(&peak.served, 0.99);
        out.note(format!("peak {:.0} calls/s, p99 {}", peak.goodput, ms(peak_p99)));
        for times in [1.0, 2.0, 5.0] {
            let came = came(open_loop(&target, peak.goodput * times, LASTS).await, &mut out);
            let (served, refused) = (percentile(&came.served, 0.99), percentile(&came.refused, 0.99));
            let share = came.goodput / peak.goodput;
            out.note(format!(
                "{times}×: goodput {:.0} %, p99 of the served {}, of the {} refused {}",
                100.0 * share,
                ms(served),
                came.refused.len(),
                ms(refused),
            ));
            // At the peak itself, calls that come in bunches find no free permit, and later there are unused permits.
            let is_over = times > 1.0;
            out.must(
                !is_over || share >= 0.9,
                format!("goodput at {times}×: {:.0} % of the peak", 100.0 * share),
            );
            out.within(&format!("p99 of the served at {times}×"), served, 2 * peak_p99);
            out.within(&format!("p99 of the refused at {times}×"), refused, REFUSED_WITHIN);
            out.must(!is_over || !came.refused.is_empty(), format!("nothing refused at {times}×"));
        }

        // Well below the peak again: measures when all calls are served again.
        let after = Instant::now();
        let mut samples = open_loop(&target, peak.goodput / 2.0, RECOVERS_WITHIN * 2).await;
        samples.sort_unstable_by_key(|sample| sample.at);
        let well =
            samples.windows(STREAK).find(|streak| streak.iter().all(|sample| sample.seen == Seen::Right));
        match well.and_then(<[Sample]>::first) {
            Some(first) => {
                let recovery = first.at.saturating_duration_since(after);
                out.note(format!("recovery {}", ms(recovery)));
                out.within("recovery", recovery, RECOVERS_WITHIN);
            }
            None => out.must(false, "no recovery"),
        }
        out
    })
}

/// Each client calls again as soon as it is answered.
async fn closed_loop(target: &Arc<Target>) -> Vec<Sample> {
    let mut clients = JoinSet::new();
    for _ in 0..MAX_IN_FLIGHT {
        let target = target.clone();
        clients.spawn(async move {
            let begun = Instant::now();
            let mut samples = Vec::new();
            while begun.elapsed() < LASTS {
                samples.push(target.interests(&some_clients(), Instant::now()).await);
            }
            samples
        });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// Calls by the clock, even if earlier calls are slow.
async fn open_loop(target: &Arc<Target>, rate: f64, lasts: Duration) -> Vec<Sample> {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    while begun.elapsed() < lasts {
        ticks.tick().await;
        let (target, at) = (target.clone(), Instant::now());
        calls.spawn(async move { target.interests(&some_clients(), at).await });
    }
    let samples = calls.join_all().await;
    // The additional connections of the overload are not needed any more.
    sleep(LATENCY).await;
    samples
}

fn came(samples: Vec<Sample>, out: &mut Outcome) -> Came {
    let mut came = Came { goodput: 0.0, served: Vec::new(), refused: Vec::new() };
    for sample in samples {
        match &sample.seen {
            Seen::Right => came.served.push(sample.took),
            Seen::Refused => came.refused.push(sample.took),
            Seen::Broken | Seen::Lost(_) | Seen::Wrong(_) => out.must(false, format!("{:?}", sample.seen)),
        }
    }
    came.served.sort_unstable();
    came.refused.sort_unstable();
    came.goodput = came.served.len() as f64 / LASTS.as_secs_f64();
    came
}
