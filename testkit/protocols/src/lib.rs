//! The servers' side of the stores' protocols: requests in, answers out. Written apart from the service's own code, so that
//! a mistake there is not repeated here.
//!
//! A client of the service sends nothing else than these requests; anything else is a panic, which is a failed test.

pub mod iproto;
pub mod meta;
pub mod resp;
