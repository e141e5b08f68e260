//! `openapi`: the protocol for machines, as the operators' listener serves it.

use super::{failure::Failure, output};
use crate::http;

pub(super) fn run() -> Result<(), Failure> {
    Ok(output::print(&http::openapi())?)
}
