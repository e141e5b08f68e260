//! Admission: rejects calls before any work is done on them when there are more than the service can answer.
//!
//! Three things are limited: the calls in flight, the memory of request bodies, and the rate of each account and of each
//! client address. Every rejected call is counted by its reason.

mod rates;
pub mod settings;
mod shed;

use std::{hash::Hash, sync::Arc, time::Duration};

use prometheus::Registry;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use self::{rates::RateLimit, settings::LimitSettings, shed::ShedCalls};
use crate::deadline::Deadline;

pub use self::shed::Shed;

/// Admits calls, for all workers. See the [module](self).
#[derive(Debug)]
pub struct Admission {
    calls: Arc<Semaphore>,
    bodies: Semaphore,
    account_rate: Option<RateLimit>,
    address_rate: Option<RateLimit>,
    shed: ShedCalls,
}

// ===== impl Admission =====

impl Admission {
    /// Creates it, and registers the counter of rejected calls.
    ///
    /// # Errors
    ///
    /// If the counter is already registered.
    pub fn new(limits: &LimitSettings, registry: &Registry) -> prometheus::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            calls: Arc::new(Semaphore::new(limits.max_in_flight)),
            bodies: Semaphore::new(limits.body_memory),
            account_rate: limits.account_rate.map(RateLimit::new),
            address_rate: limits.address_rate.map(RateLimit::new),
            shed: ShedCalls::register(registry)?,
        }))
    }

    /// Admits a call until its permit is dropped.
    ///
    /// # Errors
    ///
    /// If its deadline has passed, or if too many others are in flight.
    pub fn admit(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, Shed> {
        if deadline.has_passed(Instant::now()) {
            return Err(self.reject(Shed::Deadline));
        }
        self.calls.clone().try_acquire_owned().map_err(|_| self.reject(Shed::Overload))
    }

    /// Rejects a call that [`admit`](Self::admit) would reject now, before its body is parsed.
    ///
    /// # Errors
    ///
    /// If too many calls are in flight.
    pub fn check_in_flight(&self) -> Result<(), Shed> {
        if self.calls.available_permits() == 0 { Err(self.reject(Shed::Overload)) } else { Ok(()) }
    }

    /// Counts a call towards the rate of `account`.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next call is allowed.
    pub fn check_account(&self, account: &str) -> Result<(), Duration> {
        self.check_rate(self.account_rate.as_ref(), account, Shed::AccountRate)
    }

    /// Counts a request towards the rate of the client address `client`.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next request is allowed.
    pub fn check_address(&self, client: &impl Hash) -> Result<(), Duration> {
        self.check_rate(self.address_rate.as_ref(), client, Shed::AddressRate)
    }

    /// Whether the rate of client addresses is limited.
    pub fn limits_addresses(&self) -> bool {
        self.address_rate.is_some()
    }

    /// Charges `bytes` of a body to the memory of all bodies until the permit is dropped.
    ///
    /// # Errors
    ///
    /// If there is not enough memory left.
    pub fn charge_body(&self, bytes: u32) -> Result<SemaphorePermit<'_>, Shed> {
        self.bodies.try_acquire_many(bytes).map_err(|_| self.reject(Shed::BodyMemory))
    }

    /// The number of calls that were rejected for this reason.
    #[cfg(test)]
    pub(crate) fn rejected(&self, reason: Shed) -> u64 {
        self.shed.count_of(reason)
    }

    /// The number of calls that would still be admitted.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.calls.available_permits()
    }

    fn check_rate(
        &self,
        limit: Option<&RateLimit>,
        caller: &(impl Hash + ?Sized),
        reason: Shed,
    ) -> Result<(), Duration> {
        limit.map_or(Ok(()), |limit| limit.check(caller)).inspect_err(|_| {
            self.reject(reason);
        })
    }

    fn reject(&self, reason: Shed) -> Shed {
        self.shed.count(reason);
        reason
    }
}
