//! Writes events as JSON, an object a line: the time, the level, the fields in their order, and the target.
//!
//! Each call writes a line, so a line is written directly into one buffer. tracing-subscriber's own JSON takes six
//! times the instructions, because every piece of a line passes through serde and a formatter.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use chrono::SecondsFormat;
use serde::Serialize;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context};

use crate::wall_clock;

/// Bytes that are enough for most lines.
const MOST_LINES: usize = 512;

/// The layer. It ignores spans.
pub(super) struct JsonLines<W>(pub(super) W);

/// A line that is being written, without the closing brace.
struct Line(Vec<u8>);

// ===== impl JsonLines =====

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // A line that cannot be written is counted by the writer.
        _ = self.0.make_writer().write_all(&line(event));
    }
}

/// An event as a line, the line break included.
fn line(event: &Event<'_>) -> Vec<u8> {
    let mut line = Line(Vec::with_capacity(MOST_LINES));
    line.0.extend_from_slice(br#"{"timestamp":""#);
    line.0.extend_from_slice(wall_clock::now().to_rfc3339_opts(SecondsFormat::Micros, true).as_bytes());
    line.0.extend_from_slice(br#"","level":""#);
    line.0.extend_from_slice(event.metadata().level().as_str().as_bytes());
    line.0.push(b'"');
    event.record(&mut line);
    line.text("target", event.metadata().target());
    line.0.extend_from_slice(b"}\n");
    line.0
}

/// Controls beyond ASCII's first 32, the separators that some readers take for line breaks, and characters that
/// change the direction of the text around them.
fn misleads(character: char) -> bool {
    matches!(
        character,
        '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

// ===== impl Line =====

impl Line {
    /// The name of a field, after the earlier fields.
    fn name(&mut self, name: &str) {
        self.0.push(b',');
        self.quoted(name);
        self.0.push(b':');
    }

    fn quoted(&mut self, text: &str) {
        // Checked as a whole first, which handles many bytes at a time; hardly any text contains such a byte.
        let escaped =
            |bad: bool, &byte: &u8| bad | (byte < b' ') | (byte == b'"') | (byte == b'\\') | (byte >= 0x7f);
        if text.as_bytes().iter().fold(false, escaped) {
            self.escaped(text);
        } else {
            self.0.push(b'"');
            self.0.extend_from_slice(text.as_bytes());
            self.0.push(b'"');
        }
    }

    /// Escapes more than JSON demands: terminals obey some characters, and some make a line look like another one.
    fn escaped(&mut self, text: &str) {
        let from = self.0.len();
        self.json(text);
        let json = self.0.split_off(from);
        for character in String::from_utf8_lossy(&json).chars() {
            if misleads(character) {
                // All of them are below U+10000, so one escape has room for each.
                self.0.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
            } else {
                self.0.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }

    fn json(&mut self, value: impl Serialize) {
        // Writing a number or a text into memory cannot fail.
        _ = serde_json::to_writer(&mut self.0, &value);
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        self.quoted(text);
    }

    fn value(&mut self, field: &Field, value: impl Serialize) {
        self.name(field.name());
        self.json(value);
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.value(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.value(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.value(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.value(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    /// Displayed values too: messages, errors, wide integers.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Fails only if the value's own `Debug` does. Its text up to then is kept.
        _ = write!(text, "{value:?}");
        self.text(field.name(), &text);
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use chrono::{DateTime, Utc};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tracing::subscriber::with_default;
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;
    use crate::testing::Log;

    /// The text that `log` writes.
    fn written(log: impl FnOnce()) -> String {
        let written = Log::default();
        let writer = written.clone();
        with_default(registry().with(JsonLines(move || writer.clone())), log);
        written.text()
    }

    #[test]
    fn a_line_has_time_level_fields_in_their_order_and_target() {
        let before = wall_clock::now();
        let text = written(|| {
            tracing::warn!(code = 200_u16, has = "phone,email", trace_id = None::<String>, "call");
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        let time = line["timestamp"].as_str().unwrap();
        let rest = r#""level":"WARN","message":"call","code":200,"has":"phone,email","target":"scoring_api::telemetry::json::tests""#;
        assert_eq!(text, format!("{{\"timestamp\":\"{time}\",{rest}}}\n"));
        let time: DateTime<Utc> = time.parse().unwrap();
        // It is cut off to microseconds.
        assert!(before - Duration::from_micros(1) <= time && time <= wall_clock::now(), "{time}");
        assert_eq!(text.find('Z'), Some(r#"{"timestamp":"2026-11-24T12:00:00.123456"#.len()));
    }

    #[test]
    fn every_kind_of_value_is_written_as_json_has_it() {
        let error = io::Error::other("it \"broke\"");
        let text = written(|| {
            tracing::info!(
                signed = -1_i64,
                unsigned = u64::MAX,
                share = 0.000_25,
                no_number = f64::NAN,
                truth = true,
                wide = i128::MAX,
                displayed = %error,
                debugged = ?["a"],
                error = &error as &(dyn std::error::Error + 'static),
                "a line break \n, a tab \t and {}", "an argument"
            );
        });
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = json!({
            "timestamp": line["timestamp"], "level": "INFO", "target": line["target"],
            "message": "a line break \n, a tab \t and an argument",
            "signed": -1, "unsigned": u64::MAX, "share": 0.000_25, "no_number": null, "truth": true,
            "wide": i128::MAX.to_string(), "displayed": "it \"broke\"", "debugged": "[\"a\"]", "error": "it \"broke\"",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn controls_of_terminals_and_of_text_direction_are_escaped() {
        let misleading =
            "\u{7f}\u{80}\u{9b}\u{9f}\u{61c}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}";
        let text = written(|| tracing::info!(text = format!("é{misleading}\"ж").as_str(), "said"));
        assert!(
            text.contains(
                r#"é\u007f\u0080\u009b\u009f\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\"ж"#
            ),
            "{text}"
        );
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["text"], format!("é{misleading}\"ж"));
    }

    proptest! {
        #[test]
        fn any_text_stays_within_its_line_and_reads_back(text: String, chars in "[\u{0}-\u{20}\"\\\\a\u{7f}-\u{a0}\u{2020}-\u{2030}]*") {
            for text in [text, chars] {
                let written = written(|| tracing::info!(text = text.as_str(), "said"));
                prop_assert!(!written.contains(misleads));
                prop_assert_eq!(written.matches('\n').count(), 1);
                let line: Value = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(&line["text"], &text);
            }
        }
    }
}
