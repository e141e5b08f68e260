//! Calls at a steady pace, with the real client. A slow answer does not slow the load, and each answer is judged.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::NaiveDate;
use tokio::{
    select,
    sync::oneshot,
    task::{JoinError, JoinHandle, JoinSet},
    time::{Instant, interval},
};

use super::{
    check::{Counts, Tally, Verdict},
    truth,
};
use crate::{
    cli::failure::Failure,
    client::{Call, Client, Identity, Policy},
    domain::{Authenticator, Method},
    wall_clock,
};

/// Calls of each method in a second.
pub(super) const RATE: u32 = 50;

/// Clients, each with connections of its own, so that both workers get calls.
const CLIENTS: usize = 4;

/// Maximum time of a call, far above the service's limits. Nothing is retried: every answer of the service counts.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The load, and the judgement of its answers.
pub(super) struct Load {
    partner: Identity,
    today: NaiveDate,
    tally: Mutex<Tally>,
    /// Whether the persistent store is away, so that interests may be refused.
    is_away: AtomicBool,
}

/// A load that runs until it is stopped.
pub(super) struct RunningLoad {
    load: Arc<Load>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

// ===== impl Load =====

impl Load {
    /// Starts to call the service at `address`.
    pub(super) fn start(address: SocketAddr, authenticator: &Authenticator) -> Result<RunningLoad, Failure> {
        let policy = Policy {
            deadline: CALL_TIMEOUT,
            attempt_timeout: CALL_TIMEOUT,
            attempts: 1,
            ..Policy::default()
        };
        let failed = |error| Failure::Start(io::Error::other(error));
        let clients = (0..CLIENTS).map(|_| {
            let no_url = |_| Failure::Start(io::ErrorKind::InvalidInput.into());
            let url = format!("http://{address}").parse().map_err(no_url)?;
            Client::new(url, authenticator.clone(), policy).map(Arc::new).map_err(failed)
        });
        let clients = clients.collect::<Result<_, Failure>>()?;
        let load = Arc::new(Self {
            partner: Identity::new("demo", "demo"),
            today: authenticator.today(wall_clock::now()),
            tally: Mutex::default(),
            is_away: AtomicBool::new(false),
        });
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(load.clone().run(clients, stopped));
        Ok(RunningLoad { load, stop, task })
    }

    /// Whether interests may be refused from now on.
    pub(super) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Relaxed);
    }

    /// The counts since this was called last.
    pub(super) fn take(&self) -> Counts {
        self.tally().take()
    }

    /// The counts of the run.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes calls until `stopped`, then waits for the last answers. A call that is late is made at once, and its time counts
    /// from the moment when it was due.
    async fn run(self: Arc<Self>, clients: Vec<Arc<Client>>, mut stopped: oneshot::Receiver<()>) {
        let mut calls = JoinSet::new();
        let mut turns = interval(Duration::from_secs(1) / (2 * RATE));
        // A call of each method by each client in turn.
        let clients = clients.iter().flat_map(|client| [client, client]).cycle();
        for (number, client) in (0u32..).zip(clients) {
            let due = select! {
                biased;
                _ = &mut stopped => break,
                due = turns.tick() => due,
            };
            let call = number / 2;
            if number.is_multiple_of(2) {
                calls.spawn(self.clone().score(client.clone(), call, due));
            } else {
                calls.spawn(self.clone().interests(client.clone(), call, due));
            }
            while let Some(ended) = calls.try_join_next() {
                self.count(ended);
            }
        }
        while let Some(ended) = calls.join_next().await {
            self.count(ended);
        }
    }

    async fn score(self: Arc<Self>, client: Arc<Client>, call: u32, due: Instant) -> Judged {
        let person = truth::person(truth::asked(call));
        let outcome = client.send(&Call::online_score(self.partner.clone(), &person)).await;
        let verdict = Verdict::of_score(truth::score(&person, self.today), &outcome);
        (Method::OnlineScore, verdict, due.elapsed())
    }

    async fn interests(self: Arc<Self>, client: Arc<Client>, call: u32, due: Instant) -> Judged {
        let ids = truth::clients(call);
        let was_away = self.is_away.load(Relaxed);
        let outcome = client.send(&Call::clients_interests(self.partner.clone(), &ids, None)).await;
        let is_away = was_away || self.is_away.load(Relaxed);
        let verdict = Verdict::of_interests(&truth::interests(&ids), &outcome, is_away);
        (Method::ClientsInterests, verdict, due.elapsed())
    }

    /// Counts a call that has ended. One that ended without a verdict is wrong.
    fn count(&self, ended: Result<Judged, JoinError>) {
        let lost = |_| (Method::OnlineScore, Verdict::Wrong("no outcome".to_owned()), CALL_TIMEOUT);
        let (method, verdict, took) = ended.unwrap_or_else(lost);
        self.tally().count(method, verdict, took);
    }
}

/// The method of a call, the verdict on it, and the time that it took.
type Judged = (Method, Verdict, Duration);

// ===== impl RunningLoad =====

impl RunningLoad {
    /// The load.
    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// Makes no further call, and waits for the answers to those that were made.
    pub(super) async fn stop(self) -> Arc<Load> {
        _ = self.stop.send(());
        // It counts its own lost calls, so it does not panic.
        _ = self.task.await;
        self.load
    }
}
