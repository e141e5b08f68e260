//! The timing of a link.

use std::time::Duration;

use crate::store::{Backoff, BreakerPolicy};

/// How a [`Link`] is kept. The defaults are what the service runs with; together they bring a store that has recovered
/// back into use within a second.
#[derive(Debug, Clone, Copy)]
pub struct LinkPolicy {
    /// The longest that one command may take before it counts against the store.
    pub timeout: Duration,
    /// When to stop asking.
    pub breaker: BreakerPolicy,
    /// How often an idle connection is tried with a read.
    pub heartbeat: Duration,
    /// How often that is done while the breaker is open.
    pub probe: Duration,
    /// How long an answer, or the rest of one, may be owed without a single byte coming back before the connection is
    /// given up.
    pub silence: Duration,
    /// How late the answer to a probe may be while bytes keep coming, before the connection is given up. Replies come in
    /// order, so this bounds the time of every reply, also of one that trickles for ever.
    pub patience: Duration,
    /// The wait between attempts to connect.
    pub reconnect: Backoff,
    /// The least wait when only an operator can help (wrong password, no rights); a jittered wait comes on top.
    pub denied: Duration,
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
            reconnect: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
            denied: Duration::from_secs(1),
        }
    }
}
