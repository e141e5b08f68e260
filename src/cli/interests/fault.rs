//! What can be wrong with a line to import. Shows no more of the line than ids.

use super::csv::HEADER;
use crate::{
    cli::lines::BadLine,
    domain::{BadJson, ClientId},
};

/// One line's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Text(#[from] BadLine),
    #[error("not a JSON object, see column {column}")]
    Syntax { column: usize },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("nests too deep")]
    TooDeep,
    #[error("the same field twice, see column {column}")]
    RepeatedField { column: usize },
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

impl From<BadJson> for Fault {
    fn from(bad: BadJson) -> Self {
        match bad {
            BadJson::Empty => Self::NotAnObject,
            BadJson::NotUtf8 => BadLine::NotUtf8.into(),
            BadJson::Syntax { column, .. } => Self::Syntax { column },
            BadJson::TooDeep => Self::TooDeep,
            BadJson::RepeatedKey { column, .. } => Self::RepeatedField { column },
        }
    }
}
