//! Admission: rejects calls before any work is done on them when there are more than the service can answer.
//!
//! Three things are limited: the calls in flight, the memory of request bodies, and the rate of each account and of each
//! client address. Every rejected call is counted by its reason.

mod gauges;
mod rates;
pub mod settings;
mod shed;

use std::{collections::HashMap, hash::Hash, sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use prometheus::Registry;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use self::{
    gauges::LimitGauges,
    rates::{OneRate, RateLimit},
    settings::LimitSettings,
    shed::ShedCalls,
};
use crate::{deadline::Deadline, domain::Outage, units::Rate};

pub use self::shed::Shed;

/// Admits calls, for all workers. See the [module](self).
#[derive(Debug)]
pub struct Admission {
    calls: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    account_rate: ArcSwapOption<RateLimit>,
    /// The registered partners that have a rate of their own, by account and login joined.
    partner_rates: ArcSwap<HashMap<Arc<str>, Arc<OneRate>>>,
    address_rate: Option<RateLimit>,
    shed: ShedCalls,
}

// ===== impl Admission =====

impl Admission {
    /// Creates it, and registers its metrics.
    ///
    /// # Errors
    ///
    /// If one of them is already registered.
    pub fn new(limits: &LimitSettings, registry: &Registry) -> prometheus::Result<Arc<Self>> {
        let bodies = Arc::new(Semaphore::new(limits.body_memory));
        LimitGauges::register(registry, limits, bodies.clone())?;
        Ok(Arc::new(Self {
            calls: Arc::new(Semaphore::new(limits.max_in_flight)),
            bodies,
            account_rate: ArcSwapOption::from_pointee(limits.account_rate.map(RateLimit::new)),
            partner_rates: ArcSwap::default(),
            address_rate: limits.address_rate.map(RateLimit::new),
            shed: ShedCalls::register(registry)?,
        }))
    }

    /// Admits a call until its permit is dropped.
    ///
    /// # Errors
    ///
    /// If its deadline has passed, or if too many others are in flight.
    pub fn admit(&self, deadline: Deadline) -> Result<OwnedSemaphorePermit, Outage> {
        if deadline.has_passed(Instant::now()) {
            self.reject(Shed::Deadline);
            return Err(Outage::Deadline);
        }
        self.calls.clone().try_acquire_owned().map_err(|_| self.overloaded())
    }

    /// Rejects a call that [`admit`](Self::admit) would reject now, before its body is parsed.
    ///
    /// # Errors
    ///
    /// If too many calls are in flight.
    pub fn check_in_flight(&self) -> Result<(), Outage> {
        if self.calls.available_permits() == 0 { Err(self.overloaded()) } else { Ok(()) }
    }

    /// Replaces the rate of each account, and the registered partners' own rates. A rate that stays the same keeps its
    /// counts, so a reload gives no caller a new burst.
    pub fn set_rates(&self, account: Option<Rate>, partners: &[(Arc<str>, Rate)]) {
        if self.account_rate.load().as_ref().map(|limit| limit.rate()) != account {
            self.account_rate.store(account.map(RateLimit::new).map(Arc::new));
        }
        let before = self.partner_rates.load();
        let rates = partners.iter().map(|(joined, rate)| {
            let kept = before.get(joined).filter(|limit| limit.rate() == *rate);
            (joined.clone(), kept.cloned().unwrap_or_else(|| Arc::new(OneRate::new(*rate))))
        });
        self.partner_rates.store(Arc::new(rates.collect()));
    }

    /// Counts a call towards the rate of this account and login.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next call is allowed.
    pub fn check_account(&self, account: &str, login: &str) -> Result<(), Duration> {
        match &*self.account_rate.load() {
            None => Ok(()),
            Some(limit) => self.counted(limit.check(&[account, login].concat()), Shed::AccountRate),
        }
    }

    /// Counts a call towards the own rate of a registered partner, or else towards the rate of its account.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next call is allowed.
    pub fn check_partner(&self, joined: &str) -> Result<(), Duration> {
        let partners = self.partner_rates.load();
        if let Some(own) = (!partners.is_empty()).then(|| partners.get(joined)).flatten() {
            return self.counted(own.check(), Shed::AccountRate);
        }
        self.check_account(joined, "")
    }

    /// Counts a request towards the rate of the client address `client`.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next request is allowed.
    pub fn check_address(&self, client: &impl Hash) -> Result<(), Duration> {
        let checked = self.address_rate.as_ref().map_or(Ok(()), |limit| limit.check(client));
        self.counted(checked, Shed::AddressRate)
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

    /// The bytes of bodies that would still be admitted.
    pub fn body_memory_left(&self) -> usize {
        self.bodies.available_permits()
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

    fn counted(&self, checked: Result<(), Duration>, reason: Shed) -> Result<(), Duration> {
        checked.inspect_err(|_| {
            self.reject(reason);
        })
    }

    fn overloaded(&self) -> Outage {
        self.reject(Shed::Overload);
        Outage::Overload
    }

    fn reject(&self, reason: Shed) -> Shed {
        self.shed.count(reason);
        reason
    }
}
