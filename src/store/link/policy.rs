//! The timing of a link.

use std::time::Duration;

use crate::store::{Backoff, BreakerPolicy};

/// The timing of a [`Link`](super::Link). With the defaults, which the service uses, a store that has recovered is in use again
/// within a second.
#[derive(Debug, Clone, Copy)]
pub struct LinkPolicy {
    /// Maximum time of one command before it counts as a failure of the store.
    pub timeout: Duration,
    /// The policy of the breaker.
    pub breaker: BreakerPolicy,
    /// The interval of probes on an idle connection.
    pub heartbeat: Duration,
    /// The interval of probes while the breaker is open.
    pub probe: Duration,
    /// Maximum time without a byte while an answer, or the rest of one, is owed. After that the connection is
    /// replaced.
    pub silence: Duration,
    /// Maximum delay of a probe's answer while bytes keep coming. After that the connection is replaced. Replies come
    /// in order, so this limits the time of every reply, also of one that trickles for ever.
    pub patience: Duration,
    /// Maximum time without a probe that was answered in time. After that the connection is replaced, because the fault may be its
    /// own and not the server's.
    pub slow_for: Duration,
    /// The wait between attempts to connect.
    pub reconnect: Backoff,
    /// The minimum wait when only an operator can help (wrong password, missing rights); a random wait is added.
    pub denied: Duration,
    /// The same if the server answers the log-in with an error that says neither that it is temporary nor that the
    /// credentials are wrong. It is short enough for a server that is well again within a second.
    pub misconfigured: Duration,
}

impl LinkPolicy {
    /// The policy of a role whose commands may take `timeout` each.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            breaker: BreakerPolicy::default(),
            heartbeat: Duration::from_millis(250),
            probe: Duration::from_millis(50),
            silence: Duration::from_millis(350),
            patience: Duration::from_secs(6),
            slow_for: Duration::from_secs(60),
            reconnect: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
            denied: Duration::from_secs(1),
            misconfigured: Duration::from_millis(300),
        }
    }
}
