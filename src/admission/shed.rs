//! The counter of rejected calls.

use prometheus::{IntCounterVec, Opts, Registry};

/// Why a valid call was rejected without being processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// Too many calls are in flight.
    Overload,
    /// Its deadline had passed.
    Deadline,
    /// Its account calls too often.
    AccountRate,
    /// Its client address calls too often.
    AddressRate,
    /// The bodies of other calls use the whole memory budget.
    BodyMemory,
}

/// Counts shed calls, by reason: calls that were rejected before any work was done on them. Clones share the counts.
///
/// A call whose caller had given up before the dispatcher read it is not counted: actix drops its message.
#[derive(Debug, Clone)]
pub(super) struct ShedCalls(IntCounterVec);

// ===== impl ShedCalls =====

impl ShedCalls {
    /// Creates and registers the counter.
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let shed = IntCounterVec::new(
            Opts::new(
                "scoring_requests_shed_total",
                "Calls refused before any work: too many in flight (overload), come too late (deadline), no memory left for \
                 their bodies (body_memory), or more often than allowed (account_rate, address_rate).",
            ),
            &["reason"],
        )?;
        for reason in Shed::ALL {
            shed.with_label_values(&[reason.as_str()]);
        }
        registry.register(Box::new(shed.clone()))?;
        Ok(Self(shed))
    }

    #[cfg(test)]
    pub(super) fn count_of(&self, shed: Shed) -> u64 {
        self.0.with_label_values(&[shed.as_str()]).get()
    }

    /// Counts a call.
    pub(super) fn count(&self, shed: Shed) {
        self.0.with_label_values(&[shed.as_str()]).inc();
    }
}

impl Shed {
    const ALL: [Self; 5] =
        [Self::Overload, Self::Deadline, Self::AccountRate, Self::AddressRate, Self::BodyMemory];

    fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Deadline => "deadline",
            Self::AccountRate => "account_rate",
            Self::AddressRate => "address_rate",
            Self::BodyMemory => "body_memory",
        }
    }
}
