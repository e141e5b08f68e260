//! The frame of a row with an outage of its own: a steady load of both methods, a fault, its end, and the recovery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;
use testkit::bench::client::{Method, Sample, Seen, Target};
use tokio::time::sleep;

use crate::{
    load::{CONNECTIONS, Load},
    measure::{Latencies, latencies, recovers},
    row::{Outcome, ms},
    service::Service,
};

const SCORE: Duration = Duration::from_millis(100);
const INTERESTS: Duration = Duration::from_millis(600);
const R1: Duration = Duration::from_secs(1);

/// Calls of each method a second.
const RATE: u32 = 100;

/// A load on a service whose store is about to fail.
pub struct Outage {
    target: Arc<Target>,
    load: Load,
}

impl Outage {
    /// Starts the load.
    pub async fn of(service: &Service) -> Self {
        Self::over(CONNECTIONS, service, RATE).await
    }

    /// Starts a load of `rate` calls of each method a second over this many connections.
    pub async fn over(connections: usize, service: &Service, rate: u32) -> Self {
        let target = service.target.clone();
        Self { load: Load::start_over(connections, target.clone(), rate).await, target }
    }

    /// Waits until readiness reports the fault, and judges the cause that it names: it must contain one of `causes`.
    pub async fn is_degraded(&self, causes: &[&str], out: &mut Outcome) {
        let begun = Instant::now();
        let mut named = String::new();
        while begun.elapsed() < Duration::from_secs(3) {
            let readiness = self.target.admin("/readyz").await.map_or(Value::Null, |answer| answer.json());
            named = readiness["parts"]["persistent"]["cause"].as_str().unwrap_or_default().to_owned();
            let is_degraded = readiness["status"] == "degraded";
            if is_degraded && causes.iter().any(|cause| named.to_lowercase().contains(cause)) {
                return out.note(format!("cause: {named}"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        out.must(false, format!("readiness names {named:?} and none of {causes:?}"));
    }

    /// The fault has ended: measures the recovery, ends the load and judges its calls. Interests may have been refused, never
    /// wrong or lost.
    pub async fn recovers(self, out: &mut Outcome) {
        self.recovers_within(R1, out).await;
    }

    /// The same with a bound other than a second.
    pub async fn recovers_within(self, bound: Duration, out: &mut Outcome) {
        match recovers(&self.target, Instant::now()).await {
            Some(took) => {
                out.note(format!("recovery {}", ms(took)));
                out.within("recovery", took, bound);
            }
            None => out.must(false, "no recovery"),
        }
        _ = judge(&self.load.end().await, out);
    }

    /// As [`recovers`](Self::recovers). Returns the number of refused calls.
    pub async fn recovers_and_refused(self, out: &mut Outcome) -> usize {
        match recovers(&self.target, Instant::now()).await {
            Some(took) => out.within("recovery", took, R1),
            None => out.must(false, "no recovery"),
        }
        judge(&self.load.end().await, out)
    }

    /// Ends the load and judges its calls.
    pub async fn ends(self, out: &mut Outcome) {
        _ = judge(&self.load.end().await, out);
    }
}

/// Each score is right; each answer about interests is right or a refusal; all are in time. Returns the number of refusals.
fn judge(samples: &[Sample], out: &mut Outcome) -> usize {
    let is_fine = |sample: &&Sample| match sample.seen {
        Seen::Right => true,
        Seen::Refused => sample.method == Method::ClientsInterests,
        Seen::Broken | Seen::Lost(_) | Seen::Wrong(_) => false,
    };
    if let Some(first) = samples.iter().find(|sample| !is_fine(sample)) {
        let wrong = samples.iter().filter(|sample| !is_fine(sample)).count();
        out.must(
            false,
            format!("{wrong} answers wrong or lost, such as {:?}: {:?}", first.method, first.seen),
        );
    }
    let refused = samples.iter().filter(|sample| sample.seen == Seen::Refused).count();
    out.note(format!("{} calls, {refused} refused", samples.len()));
    let samples: Vec<_> = samples.iter().collect();
    for (name, method, bound) in
        [("score", Method::OnlineScore, SCORE), ("interests", Method::ClientsInterests, INTERESTS)]
    {
        let Latencies { p99, worst, .. } = latencies(&samples, method);
        out.note(format!("{name}: p99 {}, worst {}", ms(p99), ms(worst)));
        out.within(&format!("{name}: worst"), worst, bound);
    }
    refused
}
