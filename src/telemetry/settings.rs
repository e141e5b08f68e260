//! Settings of the log.

use serde::{Deserialize, Deserializer};
use tracing::Level;

use crate::units::{parsed, parsed_unless_empty, quoted};

/// `[log]`: what is logged, and how it looks.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// None, which is the default: [`LogFormat::Pretty`] on a terminal, else [`LogFormat::Json`].
    #[serde(deserialize_with = "format")]
    pub format: Option<LogFormat>,
    /// The least that is logged; [`Level::INFO`] by default.
    #[serde(deserialize_with = "level")]
    pub level: Level,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: colours, aligned.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

fn format<'de, D: Deserializer<'de>>(input: D) -> Result<Option<LogFormat>, D::Error> {
    parsed_unless_empty(input, |text| match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("expected \"pretty\", \"json\" or \"\", got {}", quoted(text))),
    })
}

/// Stricter than [`Level`]'s own parser, which also takes `3` and `WaRn`.
fn level<'de, D: Deserializer<'de>>(input: D) -> Result<Level, D::Error> {
    parsed(input, |text| match text {
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => Err(format!("expected error, warn, info, debug or trace, got {}", quoted(text))),
    })
}
