//! One call's outcome as one line of JSON.

use std::fmt;

use serde::Serialize;

use crate::client::{CallAnswer, ClientError};

/// The contract's two shapes; `code` is null if there is no answer. In a batch the line's number comes first.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    pub(super) code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response: Option<&'a CallAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
}

// ===== impl Outcome =====

impl<'a> Outcome<'a> {
    pub(super) fn of(outcome: &'a Result<CallAnswer, ClientError>) -> Self {
        let (code, response, error) = match outcome {
            Ok(answer) => (Some(200), Some(answer), None),
            Err(error) => (error.code(), None, Some(error.to_string())),
        };
        Self { line: None, code, response, error, request_id: None }
    }

    /// For a line that was not sent.
    pub(super) fn unsent(line: usize, why: impl fmt::Display) -> Self {
        Self { line: Some(line), code: None, response: None, error: Some(why.to_string()), request_id: None }
    }
}

impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}
