//! The fault of one line of a file. The texts contain only names of fields and ids from the line.

use super::lines::{BadLine, BadObject};
use crate::domain::{ClientId, Method};

/// The fault of a line to import, or of a line of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineFault {
    #[error(transparent)]
    Text(#[from] BadLine),
    #[error(transparent)]
    Object(#[from] BadObject),
    /// With the names of the known fields.
    #[error("has fields other than {0}")]
    UnknownField(&'static str),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} must be a string")]
    NotAString(&'static str),
    #[error("method {}", Method::rule())]
    Method,
    #[error("login is missing, and there is no --login or --admin")]
    NoLogin,
    #[error("id must be an integer of at most 64 bits")]
    Id,
    #[error("interests must be an array of strings")]
    Interests,
    #[error("id {id} stands already on line {line}")]
    RepeatedId { id: ClientId, line: usize },
    /// With the header.
    #[error("must be the header {0}")]
    Header(&'static str),
    #[error("must have 2 columns, but has {0}")]
    Columns(usize),
    #[error("a quoted cell does not end where it should; a quote in a cell is written \"\"")]
    Quotes,
}
