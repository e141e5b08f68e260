//! The actors, and the runtime that keeps them running.
//!
//! ```text
//! CallMethod ──► dispatcher ──RateScore──► scoring ──CacheGet, CachePut──► cache_store
//!                     └──LookUpInterests──► interests ──────GetMany──────► persistent_store
//! ```
//!
//! Each file holds one actor; its messages come first. A message's reply type states its failure policy. An actor gets
//! its peers through the constructor. Every message carries the request's deadline. [`runtime`] knows no actor.

pub mod active_card;
pub mod cache_lookups;
pub mod cache_store;
pub mod card_metrics;
pub mod dispatcher;
pub mod interests;
pub mod links;
pub mod metrics;
pub mod near_cache;
pub mod persistent_store;
pub mod runtime;
pub mod scoring;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
mod tree;

pub use tree::{Tree, TreePlan};
