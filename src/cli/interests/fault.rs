//! The faults of a line to import. Their texts contain only ids from the line.

use super::csv::HEADER;
use crate::{
    cli::lines::{BadLine, BadObject},
    domain::ClientId,
};

/// One line's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Text(#[from] BadLine),
    #[error(transparent)]
    Object(#[from] BadObject),
    #[error("has fields other than id and interests")]
    UnknownField,
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("id must be an integer of at most 64 bits")]
    Id,
    #[error("interests must be an array of strings")]
    Interests,
    #[error("id {id} stands already on line {line}")]
    RepeatedId { id: ClientId, line: usize },
    #[error("must be the header {HEADER}")]
    Header,
    #[error("must have 2 columns, but has {0}")]
    Columns(usize),
    #[error("a quoted cell does not end where it should; a quote in a cell is written \"\"")]
    Quotes,
}
