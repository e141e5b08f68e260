//! A single call, with its answer for people or as JSON.

use std::{
    convert::Infallible,
    fmt::Write,
    io::{IsTerminal, Read, stdin, stdout},
};

use clap::Args;
use serde_json::value::RawValue;
use tokio::{runtime::Builder, select};

use super::{result::Outcome, target::Target};
use crate::{
    cli::{failure::Failure, output, signals::Signals},
    client::{Call, CallAnswer, Client, InvalidHeader, Person},
    config::Settings,
    domain::{Method, Redacted},
};

/// Maximum bytes of standard input; the service's default limit is lower.
const LONGEST: u64 = 64 << 20;

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// Send these arguments, a JSON object, unchanged; - reads them from standard input.
    #[arg(long, value_name = "JSON", value_parser = hidden)]
    pub(super) arguments: Option<Redacted<String>>,
    /// Print the answer as JSON, as the service sends it (the default unless standard output is a terminal).
    #[arg(long)]
    json: bool,
    /// Print the answer for people (the default on a terminal).
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// The id under which the service logs the call, 1 to 128 visible ASCII characters; random unless given.
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// Make the call part of this trace (W3C Trace Context).
    #[arg(long)]
    traceparent: Option<String>,
}

/// The person to score. Options that are not given are not sent.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    /// 11 digits, the first a 7.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    phone: Option<Redacted<String>>,
    /// With an @.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    email: Option<Redacted<String>>,
    #[arg(long, value_parser = hidden, conflicts_with = "arguments", help = "Any text.")]
    first_name: Option<Redacted<String>>,
    #[arg(long, value_parser = hidden, conflicts_with = "arguments", help = "Any text.")]
    last_name: Option<Redacted<String>>,
    /// DD.MM.YYYY, at most 70 years ago.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    birthday: Option<Redacted<String>>,
    /// 0 for unknown, 1 or 2.
    #[arg(long, conflicts_with = "arguments")]
    gender: Option<i64>,
    #[command(flatten)]
    pub(super) one: OneArgs,
}

/// The clients.
#[derive(Debug, Args)]
pub(super) struct InterestsArgs {
    /// Ids of clients.
    #[arg(required_unless_present = "arguments", conflicts_with = "arguments")]
    #[arg(allow_negative_numbers = true, value_name = "ID")]
    ids: Vec<i64>,
    /// DD.MM.YYYY; the answer does not depend on it.
    #[arg(long, conflicts_with = "arguments")]
    date: Option<String>,
    #[command(flatten)]
    pub(super) one: OneArgs,
}

// ===== impl ScoreArgs =====

impl ScoreArgs {
    pub(super) fn to_json(&self) -> Box<RawValue> {
        let text = |given: &Option<Redacted<String>>| given.as_ref().map(|text| text.expose().clone());
        Call::score_arguments(&Person {
            phone: text(&self.phone),
            email: text(&self.email),
            first_name: text(&self.first_name),
            last_name: text(&self.last_name),
            birthday: text(&self.birthday),
            gender: self.gender,
        })
    }
}

// ===== impl InterestsArgs =====

impl InterestsArgs {
    pub(super) fn to_json(&self) -> Box<RawValue> {
        Call::interests_arguments(&self.ids, self.date.as_deref())
    }
}

/// The arguments that are `given` as JSON, else those of the other options.
pub(super) fn arguments(
    given: Option<&Redacted<String>>,
    made: impl FnOnce() -> Box<RawValue>,
) -> Result<Box<RawValue>, Failure> {
    let arguments = match given.map(|text| text.expose().as_str()) {
        None => Ok(made()),
        Some("-") => {
            let mut text = String::new();
            let unreadable = |source| Failure::Input { file: "standard input".into(), source };
            stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
            RawValue::from_string(text)
        }
        Some(text) => RawValue::from_string(text.to_owned()),
    };
    // The error itself may quote the text.
    arguments.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Usage(format!("--arguments: not JSON, see line {line}, column {column}"))
    })
}

/// Makes the call and prints its outcome, unless a signal comes first.
pub(super) fn run(
    client: &Client,
    target: &Target,
    settings: &Settings,
    method: Method,
    arguments: Box<RawValue>,
    args: &OneArgs,
) -> Result<(), Failure> {
    let refused = |error: InvalidHeader| Failure::Usage(error.to_string());
    let mut call = Call::raw(target.identity(settings)?, method, arguments);
    if let Some(id) = &args.request_id {
        call = call.with_request_id(id).map_err(refused)?;
    }
    if let Some(traceparent) = &args.traceparent {
        call = call.with_traceparent(traceparent).map_err(refused)?;
    }
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        select! {
            outcome = client.send(&call) => Ok(outcome),
            stop = signals.next() => Err(Failure::Stopped { stop, consequence: " before there was an answer" }),
        }
    })?;
    let as_json = args.json || !(args.text || stdout().is_terminal());
    match &outcome {
        _ if as_json => output::print(&format!("{}\n", Outcome::of(&outcome)))?,
        Ok(answer) => output::print(&for_people(answer))?,
        Err(_) => {}
    }
    outcome.map(|_| ()).map_err(|source| Failure::Call { source, request_id: call.request_id().to_owned() })
}

fn for_people(answer: &CallAnswer) -> String {
    match answer {
        CallAnswer::Score(score) => format!("score: {}\n", score.value()),
        CallAnswer::Interests(clients) => clients.iter().fold(String::new(), |mut text, (id, interests)| {
            let interests = if interests.is_empty() { "-".to_owned() } else { interests.join(", ") };
            _ = writeln!(text, "{id}: {}", printable(&interests));
            text
        }),
    }
}

/// Stored text must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

fn hidden(text: &str) -> Result<Redacted<String>, Infallible> {
    Ok(Redacted::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Score;

    #[test]
    fn answers_are_readable() {
        assert_eq!(for_people(&CallAnswer::Score(Score::new(3.5).unwrap())), "score: 3.5\n");
        let books = vec!["books".to_owned(), "hi-\u{1b}[31mtech".to_owned()];
        let answer = CallAnswer::Interests([(2, books), (-7, vec![])].into());
        assert_eq!(for_people(&answer), "-7: -\n2: books, hi-\u{fffd}[31mtech\n");
    }

    #[test]
    fn arguments_that_are_no_json_are_refused_unquoted() {
        let given = Redacted::new("{\"phone\": 79990001122 secret}".to_owned());
        let refused = arguments(Some(&given), || unreachable!()).unwrap_err();
        assert_eq!(refused.to_string(), "--arguments: not JSON, see line 1, column 23");
    }
}
