//! The roles of a store, and the operations that are counted.

use std::fmt;

/// The use of a store. Each role has separate connections, a time limit and a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Scores that can be computed again.
    Cache,
    /// Interests, which cannot be computed.
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

/// An operation on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Creating a connection.
    Connect,
    /// The link's own read, which checks whether the store serves.
    Probe,
    /// Reading from the cache.
    Get,
    /// Writing to the cache.
    Set,
    /// Reading persistent data.
    GetMany,
}

impl Operation {
    /// All operations.
    pub(super) const ALL: [Self; 5] = [Self::Connect, Self::Probe, Self::Get, Self::Set, Self::GetMany];

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
