//! Runs a row about the store, measures it and judges it.
//!
//! A healthy second, the fault for some seconds, then the recovery, all under one steady load.

use std::time::{Duration, Instant};

use testkit::bench::client::{Method, Sample, Seen, Target};
use tokio::time::sleep;

use crate::{
    load::{Load, some_clients},
    row::{Cause, Expected, Interests, Miss, On, Outcome, ms},
    service::Service,
    world::{WORKERS, World},
};

/// Calls of each method a second.
pub const RATE: u32 = 300;
pub const HEALTHY: Duration = Duration::from_millis(1_200);
pub const FAULT: Duration = Duration::from_secs(3);
/// Packets are lost at random, so this takes longer. A busy stream is stalled nearly always.
pub const LOSS_RATE: u32 = 40;
pub const LOSS: Duration = Duration::from_secs(20);
/// The breaker must be open this long after the onset.
pub const OPEN_AFTER: Duration = Duration::from_millis(1_500);
/// After the recovery, everything must stay well for this long.
pub const AFTER: Duration = Duration::from_secs(1);
/// The first refusals may take this long after the onset.
const ONSET: Duration = Duration::from_millis(50);
/// This many consecutive good calls make a recovery.
pub const STREAK: usize = 20;
const GIVE_UP: Duration = Duration::from_secs(10);
/// Maximum growth of the service's memory during a row; the load alone makes it grow too.
const MEMORY_KIB: u64 = 16 * 1024;

/// The measurement of a row.
#[derive(Default)]
pub struct Measured {
    /// Scores with a healthy store, before the fault and after it: the better median, but the worse 99th percentile,
    /// because that is where other work of the machine shows. Its effect is larger than a store's.
    pub healthy: Latencies,
    /// From the onset to the end of the fault.
    pub fault: [Latencies; 2],
    /// The same once the breaker is open.
    pub open: Option<[Latencies; 2]>,
    /// Answers of `clients_interests` during the fault: right, refused, other.
    pub served: usize,
    pub refused: usize,
    pub recovery: Option<Duration>,
    pub outcome: Outcome,
}

#[derive(Default, Clone, Copy)]
pub struct Latencies {
    pub median: Duration,
    pub p99: Duration,
    pub worst: Duration,
}

/// The start of each phase.
struct Times {
    onset: Instant,
    healed: Instant,
}

/// Runs the row and judges it.
pub async fn measure(id: &str, expected: &Expected) -> Measured {
    let cause = expected.cause;
    let (rate, lasts) = if matches!(cause, Cause::Loss(_)) { (LOSS_RATE, LOSS) } else { (RATE, FAULT) };
    let world = World::new(cause, expected.on).await;
    let mut settings = world.settings(cause);
    settings.push(format!("http.workers={WORKERS}"));
    let service = Service::start(&settings.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let target = service.target.clone();
    let mut out = Outcome::default();

    let ill = World::is_ill_from_the_start(cause);
    if !ill {
        out.must(recovers(&target, Instant::now()).await.is_some(), "never became ready");
    }
    let load = Load::start(target.clone(), rate).await;
    if !ill {
        sleep(HEALTHY).await;
    }

    let accepted = world.accepted();
    let log_before = service.log().len();
    let rss_before = service.usage().rss_kib;
    let pending = world.break_down(cause, lasts).await;
    let onset = Instant::now();
    let heals_itself = matches!(cause, Cause::Freeze);
    let (during, rss, recovered) = tokio::join!(
        world.keep_breaking(cause, onset + lasts, &service, &load),
        highest_rss(&service, onset + lasts),
        async { if heals_itself { recovers(&target, onset).await } else { None } },
    );
    out.measured.extend(during.measured);
    out.missed.extend(during.missed);
    judge_state(expected, &target, &mut out).await;
    judge_log(id, service.log().get(log_before..).unwrap_or_default(), &mut out);

    // Before the fault is lifted, because late answers come at this moment.
    let lifting = Instant::now();
    world.heal(cause, pending).await;
    let times = Times { onset, healed: lifting };
    let healed = Instant::now();
    let recovery = if heals_itself { recovered } else { recovers(&target, healed).await };
    let well = if heals_itself { onset } else { healed } + recovery.unwrap_or(GIVE_UP);
    sleep(AFTER).await;
    if ill {
        sleep(HEALTHY).await;
    }
    let samples = load.end().await;
    world.check(id, accepted, &service, &mut out).await;
    if id.starts_with("08") {
        out.note(format!("RSS +{} KiB", rss.saturating_sub(rss_before)));
        out.must(rss <= rss_before + MEMORY_KIB, format!("RSS grew from {rss_before} to {rss} KiB"));
    }

    let mut measured = evaluate(expected, &samples, &times, well, ill, out);
    judge_recovery(expected, recovery, &samples, well, &mut measured.outcome);
    measured.recovery = expected.recovery.and(recovery);
    measured
}

/// Sorts the samples into phases, and judges those of the fault.
fn evaluate(
    expected: &Expected,
    samples: &[Sample],
    times: &Times,
    well: Instant,
    ill: bool,
    outcome: Outcome,
) -> Measured {
    let phase = |from: Instant, to: Instant| -> Vec<&Sample> {
        samples.iter().filter(|sample| sample.at >= from && sample.at < to).collect()
    };
    // Calls that were in flight at the onset met the fault too.
    let met = samples.iter().filter(|s| s.at < times.healed && s.at + s.took >= times.onset);
    let fault: Vec<_> = met.collect();
    let open = phase(times.onset + OPEN_AFTER, times.healed);
    let after = latencies(&phase(well, well + Duration::from_secs(60)), Method::OnlineScore);
    let healthy = if ill {
        after
    } else {
        let end = times.onset - Duration::from_millis(5);
        let mut before = phase(times.onset - HEALTHY * 3 / 4, end);
        before.retain(|s| s.at + s.took < end);
        latencies(&before, Method::OnlineScore).beside(after)
    };
    let both = |of: &[&Sample]| [Method::OnlineScore, Method::ClientsInterests].map(|m| latencies(of, m));

    let mut measured = Measured { healthy, fault: both(&fault), outcome, ..Measured::default() };
    let bounds = expected.bounds;
    let out = &mut measured.outcome;
    out.within("score: worst", measured.fault[0].worst, bounds.score);
    out.within("interests: worst", measured.fault[1].worst, bounds.interests);
    if bounds.open_score.is_some() || bounds.open_interests.is_some() {
        let open = both(&open);
        if let Some(more) = bounds.open_score {
            out.within("score, breaker open: median", open[0].median, healthy.median + more);
            out.within("score, breaker open: p99", open[0].p99, healthy.p99 + more);
        }
        if let Some(bound) = bounds.open_interests {
            out.within("interests, breaker open: p99", open[1].p99, bound);
        }
        measured.open = Some(open);
    }

    let wrong = samples.iter().filter(|s| match (&s.seen, s.method) {
        (Seen::Right, _) => false,
        (Seen::Refused, Method::ClientsInterests) => s.at + s.took < times.onset,
        _ => true,
    });
    if let Some(first) = wrong.clone().next() {
        let text =
            format!("{} answers wrong or lost, such as {:?}: {:?}", wrong.count(), first.method, first.seen);
        out.missed.push(Miss::Outcome(text));
    }

    let interests = |of: &[&Sample], seen: &Seen| {
        of.iter().filter(|s| s.method == Method::ClientsInterests && s.seen == *seen).count()
    };
    measured.served = interests(&fault, &Seen::Right);
    measured.refused = interests(&fault, &Seen::Refused);
    match expected.interests {
        Interests::Either => {}
        Interests::Served => {
            out.must(measured.refused == 0, format!("{} interests refused", measured.refused));
        }
        Interests::Mostly(least) => {
            let share = 100.0 * measured.served as f64 / (measured.served + measured.refused).max(1) as f64;
            out.note(format!("{share:.1} % of reads OK"));
            out.must(share >= least, format!("only {share:.1} % of reads OK (bound {least} %)"));
        }
        Interests::Refused => {
            // Calls sent just before the end may have been answered by a healthy store.
            let asked = phase(times.onset + ONSET, times.healed - expected.bounds.interests);
            let served = interests(&asked, &Seen::Right);
            out.must(served == 0, format!("{served} interests answered"));
        }
    }
    measured
}

fn judge_recovery(
    expected: &Expected,
    recovery: Option<Duration>,
    samples: &[Sample],
    well: Instant,
    out: &mut Outcome,
) {
    let Some(took) = recovery else {
        return out.must(false, format!("not well again within {}", ms(GIVE_UP)));
    };
    if let Some(bound) = expected.recovery {
        out.within("recovery", took, bound);
    }
    let relapses = samples.iter().filter(|s| s.at > well && s.seen != Seen::Right).count();
    out.must(relapses == 0, format!("{relapses} calls failed after the recovery"));
}

/// Readiness and gauges at the end of the fault.
async fn judge_state(expected: &Expected, target: &Target, out: &mut Outcome) {
    let (code, state) = target.readiness().await;
    out.must(code == 200, format!("/readyz {code} {state}"));
    let Some(must) = expected.readiness else { return };
    out.must(state == must, format!("/readyz says {state} instead of {must}"));
    let (role, is_lost) = match expected.on {
        On::Memcached => ("cache", must == "degraded"),
        On::Redis | On::Tarantool => ("persistent", matches!(expected.interests, Interests::Refused)),
    };
    let up = target.metric(&format!(r#"scoring_store_up{{role="{role}"}}"#)).await;
    let must = if is_lost { 0.0 } else { 1.0 };
    out.must(up == must, format!("scoring_store_up is {up} instead of {must}"));
}

/// The state changes that operators saw.
fn judge_log(id: &str, log: &str, out: &mut Outcome) {
    if !id.starts_with("10") {
        return;
    }
    for role in ["cache", "persistent"] {
        let said = |text: &str| {
            log.lines().filter(|l| l.contains(text) && l.contains(&format!("\"role\":\"{role}\""))).count()
        };
        let rate = (said("store is up") + said("store is down")) as f64 / FAULT.as_secs_f64();
        out.note(format!("{role}: {rate:.1} changes/s"));
        out.must(rate <= 2.0, format!("{role}: {rate:.1} changes of state a second"));
    }
}

/// The time from `since` to the first of [`STREAK`] consecutive good calls, or to a readiness that reports it, if
/// that is later. `None` after [`GIVE_UP`].
pub async fn recovers(target: &Target, since: Instant) -> Option<Duration> {
    let mut first = None;
    let mut streak = 0;
    let mut ready = None;
    while since.elapsed() < GIVE_UP {
        let at = Instant::now();
        if target.interests(&some_clients(), at).await.seen == Seen::Right {
            streak += 1;
            first = first.or(Some(at));
        } else {
            (first, streak) = (None, 0);
        }
        if ready.is_none() || streak >= STREAK {
            let asked = Instant::now();
            ready = if target.is_ready().await { ready.or(Some(asked)) } else { None };
        }
        if let (true, Some(first), Some(ready)) = (streak >= STREAK, first, ready) {
            return Some(first.max(ready).saturating_duration_since(since));
        }
        sleep(Duration::from_millis(2)).await;
    }
    None
}

async fn highest_rss(service: &Service, until: Instant) -> u64 {
    let mut highest = 0;
    while Instant::now() < until {
        highest = highest.max(service.usage().rss_kib);
        sleep(Duration::from_millis(50)).await;
    }
    highest
}

impl Latencies {
    fn beside(self, other: Self) -> Self {
        Self {
            median: self.median.min(other.median),
            p99: self.p99.max(other.p99),
            worst: self.worst.max(other.worst),
        }
    }
}

pub fn latencies(samples: &[&Sample], method: Method) -> Latencies {
    let mut took: Vec<_> = samples.iter().filter(|s| s.method == method).map(|s| s.took).collect();
    took.sort_unstable();
    Latencies {
        median: percentile(&took, 0.5),
        p99: percentile(&took, 0.99),
        worst: took.last().copied().unwrap_or_default(),
    }
}

/// Of sorted durations; 0 if the list is empty.
pub fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
}
