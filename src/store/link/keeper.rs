//! The keeper: the task that owns a link's connection.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    select,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};

use super::state::LinkState;
use crate::store::{BackendError, Connection, Connector, Operation, Remedy, Role};

/// The interval of checks for silence.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// A connection that lasted this long is replaced at once; a shorter one counts as a failed connect.
const LASTED: Duration = Duration::from_millis(50);

/// Connects, watches the connection, and connects again, while the link exists.
pub(super) async fn keep(shared: Rc<LinkState>, connector: Arc<dyn Connector>) {
    let policy = shared.policy;
    let mut random = fastrand::Rng::new();
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let ended = match connector.connect().await {
            Ok(connection) => {
                shared.health.count(Operation::Connect, None, begun.elapsed());
                shared.attach(connection.clone());
                let ended = shared.watch(connection.as_ref()).await;
                shared.detach();
                shared.health.connection_lost(&ended);
                failures = if begun.elapsed() >= LASTED { 0 } else { failures + 1 };
                ended
            }
            Err(error) => {
                shared.health.count(Operation::Connect, Some(&error), begun.elapsed());
                failures += 1;
                error
            }
        };
        let slowly = match ended.remedy() {
            Remedy::Wait => Some(policy.denied),
            Remedy::Configuration => Some(policy.misconfigured),
            Remedy::Retry | Remedy::Reconnect | Remedy::Reresolve | Remedy::DropWrite | Remedy::BadValue => {
                None
            }
        };
        if let Some(wait) = slowly {
            shared.count_rejection(&ended);
            // A breaker that has just closed cannot open at once, so the next attempt must open it soon.
            let wait = if shared.is_open() { wait } else { wait.min(policy.breaker.hold_closed) };
            shared.wait(wait + wait.mul_f64(random.f64())).await;
            continue;
        }
        shared.count_failure(&ended, Instant::now());
        if failures > 0 {
            shared.wait(policy.reconnect.delay(failures, &mut random)).await;
        }
    }
}

impl LinkState {
    /// Returns the reason why the connection must be replaced.
    async fn watch(&self, connection: &dyn Connection) -> BackendError {
        select! {
            biased;
            error = connection.closed() => error,
            () = self.silence(connection) => BackendError::TimedOut,
            error = self.replaced() => error,
            error = self.beat(connection) => error,
        }
    }

    /// Waits before the next attempt.
    async fn wait(&self, time: Duration) {
        let until = Instant::now() + time;
        self.health.tries_again(until);
        sleep_until(until).await;
    }

    async fn silence(&self, connection: &dyn Connection) {
        while connection.silent_for() < self.policy.silence {
            sleep(LISTEN_EVERY).await;
        }
    }

    /// Sends a probe again and again, with the command of this role's requests, and reports to the breaker. Returns
    /// when an answer shows that the connection must be replaced.
    ///
    /// The first probe is sent at once: a new connection proves nothing, because a proxy accepts and greets even if
    /// its store is lost.
    async fn beat(&self, connection: &dyn Connection) -> BackendError {
        let mut last_in_time = Instant::now();
        loop {
            let begun = Instant::now();
            let mut answer = probe(self.health.role(), connection);
            let answered = timeout(self.policy.timeout, &mut answer).await;
            let is_late = answered.is_err();
            if !is_late {
                last_in_time = Instant::now();
            }
            let outcome = answered.unwrap_or(Err(BackendError::TimedOut));
            self.health.count(Operation::Probe, outcome.as_ref().err(), begun.elapsed());
            self.health.probed();
            match outcome {
                Ok(()) => self.probed(),
                Err(error) if matches!(error.remedy(), Remedy::Reconnect | Remedy::Reresolve) => {
                    return error;
                }
                // Only an operator can help, and then a new log-in is needed, so this connection is not asked again.
                Err(error) if error.remedy() == Remedy::Wait && self.is_open() => return error,
                Err(error) => {
                    self.count_failure(&error, begun);
                    // Slow is not dead: the next probe is sent when this one is answered. But the wait is limited, and a new
                    // connection may be faster than one that has been slow for long.
                    let limit = (begun + self.policy.patience).min(last_in_time + self.policy.slow_for);
                    if is_late && timeout_at(limit, answer).await.is_err() {
                        return BackendError::TimedOut;
                    }
                }
            }
            if self.is_open() {
                self.wait(self.policy.probe).await;
            } else {
                sleep(self.policy.heartbeat).await;
            }
        }
    }
}

/// Reads a key that hardly exists, with the command of the role's requests. A value of the wrong kind counts as an
/// answer, and so does the address of the node that has the key.
fn probe(role: Role, connection: &dyn Connection) -> BoxFuture<'static, Result<(), BackendError>> {
    let is_shard = connection.is_shard();
    let answer: BoxFuture<'static, Result<(), BackendError>> = match role {
        Role::Cache => {
            let key = "uid:probe".to_owned();
            if connection.gathers() {
                let reply = connection.get_together(vec![key]);
                Box::pin(async { reply.await.map(drop) })
            } else {
                let reply = connection.get(key);
                Box::pin(async { reply.await.map(drop) })
            }
        }
        Role::Persistent => {
            let keys = Arc::from(["i:probe".to_owned()]);
            if is_shard {
                let reply = connection.get_each(keys, false);
                Box::pin(async { reply.await.map(drop) })
            } else {
                let reply = connection.get_many(keys);
                Box::pin(async { reply.await.map(drop) })
            }
        }
    };
    Box::pin(async move {
        match answer.await {
            Err(BackendError::Redirected(_)) if is_shard => Ok(()),
            Err(error) if error.remedy() == Remedy::BadValue => Ok(()),
            outcome => outcome,
        }
    })
}
