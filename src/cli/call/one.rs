//! A single call, with its answer for people or as JSON.

use std::{
    fmt::Write,
    io::{IsTerminal, stdout},
};

use clap::Args;
use serde_json::value::RawValue;
use tokio::{runtime::Builder, select};

use super::{result::Outcome, target::Target};
use crate::{
    cli::{
        arguments::{PersonArgs, hidden},
        failure::Failure,
        output,
        signals::Signals,
    },
    client::{Call, CallAnswer, Client, Explained, InvalidHeader, Method, Score},
    config::Settings,
    domain::Redacted,
};

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Answer")]
pub(super) struct OneArgs {
    /// Send these arguments, a JSON object, unchanged; - reads them from standard input.
    #[arg(long, value_name = "JSON", value_parser = hidden, help_heading = "Arguments as JSON")]
    pub(super) arguments: Option<Redacted<String>>,
    /// Print the answer as JSON, as the service sends it (the default unless standard output is a terminal).
    #[arg(long)]
    json: bool,
    /// Print the answer for people (the default on a terminal).
    #[arg(long, conflicts_with = "json")]
    text: bool,
    /// The id under which the service logs the call, 1 to 128 visible ASCII characters; random unless given.
    #[arg(long, value_name = "ID", help_heading = "Tracing")]
    request_id: Option<String>,
    /// Make the call part of this trace (W3C Trace Context).
    #[arg(long, help_heading = "Tracing")]
    traceparent: Option<String>,
}

/// The person to score. Options that are not given are not sent.
#[derive(Debug, Args)]
pub(super) struct ScoreArgs {
    #[command(flatten)]
    person: PersonArgs,
    /// Ask for the reasons of the score too. A service answers with them if it has scoring.explain = true.
    #[arg(long, conflicts_with = "arguments", help_heading = "Answer")]
    explain: bool,
    #[command(flatten)]
    pub(super) one: OneArgs,
}

/// The clients.
#[derive(Debug, Args)]
pub(super) struct InterestsArgs {
    /// Ids of clients.
    #[arg(required_unless_present = "arguments", conflicts_with = "arguments", help_heading = "Clients")]
    #[arg(allow_negative_numbers = true, value_name = "ID")]
    ids: Vec<i64>,
    /// DD.MM.YYYY; the answer does not depend on it.
    #[arg(long, conflicts_with = "arguments", help_heading = "Clients")]
    date: Option<String>,
    #[command(flatten)]
    pub(super) one: OneArgs,
}

// ===== impl ScoreArgs =====

impl ScoreArgs {
    pub(super) fn to_json(&self) -> Box<RawValue> {
        let person = self.person.to_person();
        if self.explain { Call::explained_score_arguments(&person) } else { Call::score_arguments(&person) }
    }
}

// ===== impl InterestsArgs =====

impl InterestsArgs {
    pub(super) fn to_json(&self) -> Box<RawValue> {
        Call::interests_arguments(&self.ids, self.date.as_deref())
    }
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
        CallAnswer::Score(score) => score_line(*score),
        CallAnswer::Explained(Explained { score, reasons, card }) => {
            let reasons = if reasons.is_empty() { "-".to_owned() } else { reasons.join(", ") };
            format!("{}reasons: {}\ncard: {}\n", score_line(*score), printable(&reasons), printable(card))
        }
        CallAnswer::Interests(clients) => clients.iter().fold(String::new(), |mut text, (id, interests)| {
            let interests = if interests.is_empty() { "-".to_owned() } else { interests.join(", ") };
            _ = writeln!(text, "{id}: {}", printable(&interests));
            text
        }),
    }
}

fn score_line(score: Score) -> String {
    format!("score: {}\n", score.value())
}

/// Stored text must not control the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_readable() {
        assert_eq!(for_people(&CallAnswer::Score(Score::new(3.5).unwrap())), "score: 3.5\n");
        let books = vec!["books".to_owned(), "hi-\u{1b}[31mtech".to_owned()];
        let answer = CallAnswer::Interests([(2, books), (-7, vec![])].into());
        assert_eq!(for_people(&answer), "-7: -\n2: books, hi-\u{fffd}[31mtech\n");
    }

    #[test]
    fn an_answer_with_reasons_shows_them_and_the_card() {
        let explained = |reasons: &[&str]| {
            CallAnswer::Explained(Explained {
                score: Score::new(190.0).unwrap(),
                reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
                card: "2026\n11".to_owned(),
            })
        };
        let shown = "score: 190\nreasons: R-AGE-2, NO-EMAIL\ncard: 2026\u{fffd}11\n";
        assert_eq!(for_people(&explained(&["R-AGE-2", "NO-EMAIL"])), shown);
        assert_eq!(for_people(&explained(&[])), "score: 190\nreasons: -\ncard: 2026\u{fffd}11\n");
    }
}
