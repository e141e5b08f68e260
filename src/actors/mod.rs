//! The actors, and the supervisor that keeps them running.
//!
//! ```text
//! CallMethod ──► dispatcher ──RateScore──► scoring ──CacheGet, CachePut──► cache
//!                     └──LookUpInterests──► interests ──────GetMany──────► persistent
//! ```
//!
//! Each file is one actor, with its messages first. A message's reply type is its failure policy. Peers come in through
//! the constructor. A request's deadline travels with every message.

pub mod dispatcher;
pub mod interests;
pub mod mailbox;
pub mod rates;
pub mod restarts;
pub mod scoring;
pub mod store;
pub mod supervisor;
#[cfg(test)]
pub(crate) mod testing;
mod tree;
mod unwell;
pub mod vitals;
mod watchdog;

pub use tree::{Tree, TreePlan, TreeVitals};
