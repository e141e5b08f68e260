//! The actors, and the supervisor that keeps them running.
//!
//! ```text
//! CallMethod ──► dispatcher ──RateScore──► scoring ──CacheGet, CachePut──► cache
//!                     └──LookUpInterests──► interests ──────GetMany──────► persistent
//! ```
//!
//! Each file holds one actor; its messages come first. A message's reply type states its failure policy. An actor gets
//! its peers through the constructor. Every message carries the request's deadline.

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
