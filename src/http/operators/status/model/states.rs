//! The states of the report, which are words in JSON.

use serde::{Deserialize, Serialize};

/// Declares enums whose variants are words in JSON.
macro_rules! words {
    ($(
        $(#[$attribute:meta])*
        $name:ident { $( $(#[$of_variant:meta])* $variant:ident = $word:literal, )+ }
    )+) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $( $(#[$of_variant])* #[serde(rename = $word)] $variant, )+
        }

        impl $name {
            /// Its word in the report.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }
    )+};
}

words! {
    /// How good a state is, for a colour beside its words.
    Level {
        /// As it should be.
        Ok = "ok",
        /// Worse than usual; calls are answered as promised.
        Warn = "warn",
        /// Calls are not answered as promised.
        Bad = "bad",
    }

    /// How important a change is.
    Severity {
        /// Something got better, or was done on purpose.
        Info = "info",
        /// Something got worse.
        Warn = "warn",
        /// A bug, or an outage that callers notice.
        Error = "error",
    }

    /// Whether a store serves.
    StoreState {
        /// All links serve.
        Up = "up",
        /// At least one link does not serve.
        Down = "down",
        /// There was no connection yet, and no failure either.
        Starting = "starting",
    }

    /// A circuit breaker.
    BreakerState {
        /// Requests are sent.
        Closed = "closed",
        /// Only probes are sent.
        Open = "open",
    }

    /// Whether a store takes writes.
    WritesState {
        /// The last write succeeded.
        Accepted = "accepted",
        /// The store answers reads and refuses writes.
        Refused = "refused",
        /// Nothing was written yet.
        Unknown = "unknown",
    }

    /// Whether an actor works.
    ActorState {
        /// It reads its messages.
        Running = "running",
        /// It waits for its next start.
        Restarting = "restarting",
        /// It was restarted too often in a short time.
        Failing = "failing",
        /// It reads no messages, or blocks its thread.
        Stuck = "stuck",
    }

    /// The outcome of a reload.
    ReloadOutcome {
        /// The new settings are in effect.
        Succeeded = "succeeded",
        /// All settings stay as they were.
        Failed = "failed",
    }
}
