//! The roles of a store, and the operations that are counted.

use std::fmt;

/// What a store is used for. Each role has its own connections, time limit and breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Scores that can be computed again.
    Cache,
    /// Interests, which cannot.
    Persistent,
}

impl Role {
    /// The role's name in metrics, logs and readiness.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Persistent => "persistent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making a connection.
    Connect,
    /// The link's own read, to see whether the store serves.
    Probe,
    /// Reading from the cache.
    Get,
    /// Writing to the cache.
    Set,
    /// Reading persistent data.
    GetMany,
}

impl Operation {
    /// The operation's name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Probe => "probe",
            Self::Get => "get",
            Self::Set => "set",
            Self::GetMany => "get_many",
        }
    }
}
