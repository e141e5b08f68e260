//! Settings of the log and of traces.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tracing::Level;

use url::Url;

use crate::units::{self, MINUTE, parsed, parsed_unless_empty, quoted};

/// `[log]`: the level and the format of the log.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// `None`, the default: [`LogFormat::Pretty`] on a terminal, else [`LogFormat::Json`].
    #[serde(deserialize_with = "format")]
    pub format: Option<LogFormat>,
    /// The lowest level that is logged; [`Level::INFO`] by default.
    #[serde(deserialize_with = "level")]
    pub level: Level,
}

/// `[trace]`: whether and where spans are exported.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    /// The collector's address, for OTLP over HTTP; with `None`, the default, no spans are created.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: Option<Url>,
    /// The fraction of traces that begin here and are exported, 0 to 1; 1 by default.
    #[serde(deserialize_with = "units::share")]
    pub sample_ratio: f64,
    /// The time limit for sending one batch, 1 ms to 1 min; 5 s by default.
    #[serde(deserialize_with = "units::duration::<_, 1, MINUTE>")]
    pub timeout: Duration,
    /// Maximum spans that wait to be sent, 1 to 1,000,000; 4096 by default. Further spans are dropped.
    #[serde(deserialize_with = "units::count::<_, 1, 1_000_000>")]
    pub queue: usize,
}

/// The format of a log line.
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

/// A collector's usual path is added to a URL without one.
fn endpoint<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Url>, D::Error> {
    parsed_unless_empty(input, |text| {
        // Not shown: it may hold a password.
        let refused = "expected a URL such as \"http://127.0.0.1:4318\", without a user, or \"\"";
        let mut url = Url::parse(text).map_err(|_| refused)?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        if url.scheme() != "http" || !url.has_host() || has_user {
            return Err(refused);
        }
        if url.path() == "/" {
            url.set_path("/v1/traces");
        }
        Ok(url)
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

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::de::{
        IntoDeserializer,
        value::{Error as Refused, F64Deserializer, StrDeserializer},
    };

    use super::*;

    #[rstest]
    #[case::bare("http://127.0.0.1:4318", Some("http://127.0.0.1:4318/v1/traces"))]
    #[case::slash("http://collector:4318/", Some("http://collector:4318/v1/traces"))]
    #[case::path("http://collector/otlp/traces", Some("http://collector/otlp/traces"))]
    #[case::tls("https://collector:4318", None)]
    #[case::other_scheme("grpc://collector:4317", None)]
    #[case::no_scheme("collector:4318", None)]
    #[case::user("http://hunter2@collector", None)]
    #[case::password("http://x:hunter2@collector", None)]
    fn an_endpoint_is_a_plain_http_url(#[case] given: &str, #[case] expected: Option<&str>) {
        let input: StrDeserializer<'_, Refused> = given.into_deserializer();
        match endpoint(input) {
            Ok(url) => assert_eq!(url.unwrap().as_str(), expected.unwrap()),
            Err(error) => {
                assert_eq!(expected, None);
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
        }
    }

    #[rstest]
    #[case::none(0.0, true)]
    #[case::all(1.0, true)]
    #[case::more_than_all(1.1, false)]
    #[case::negative(-0.1, false)]
    #[case::no_number(f64::NAN, false)]
    fn a_share_is_from_0_to_1(#[case] given: f64, #[case] taken: bool) {
        let input: F64Deserializer<Refused> = given.into_deserializer();
        assert_eq!(units::share(input).is_ok(), taken);
    }
}
