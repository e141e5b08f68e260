//! `card explain`: prints how a card computes the score of a person. Prints no value of the person.

use std::{fmt::Write, path::PathBuf};

use chrono::NaiveDate;
use clap::Args;
use serde::Serialize;

use super::{FormatArgs, person, read, rules};
use crate::{
    cli::{
        arguments::{self, PersonArgs, hidden},
        failure::Failure,
        output,
    },
    client::Call,
    config::Settings,
    domain::{Card, Explained, Json, OnlineScore, Points, Range, Redacted, Score},
};

/// The card, and the person to score.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArgs {
    /// The card's file, or built-in.
    file: PathBuf,
    #[command(flatten)]
    person: PersonArgs,
    /// Score the person in these arguments of online_score, a JSON object; - reads them from standard input.
    #[arg(long, value_name = "JSON", value_parser = hidden)]
    arguments: Option<Redacted<String>>,
    #[command(flatten)]
    format: FormatArgs,
}

/// How a score comes about.
#[derive(Debug, Serialize)]
struct Explanation<'a> {
    card: &'a str,
    #[serde(serialize_with = "number")]
    base: Points,
    characteristics: Vec<Part<'a>>,
    /// Of the base and all points.
    #[serde(serialize_with = "number")]
    sum: Points,
    /// No score of the card is lower.
    #[serde(serialize_with = "number")]
    lowest: Points,
    /// No score of the card is higher.
    #[serde(serialize_with = "number")]
    highest: Points,
    score: Score,
    /// As in an answer.
    reasons: Vec<String>,
}

/// The share of a characteristic.
#[derive(Debug, Serialize)]
struct Part<'a> {
    name: &'a str,
    /// From 1; null if no bin matches.
    bin: Option<usize>,
    #[serde(serialize_with = "number")]
    points: Points,
    #[serde(serialize_with = "number")]
    baseline: Points,
    /// Only if the points are below the baseline.
    reason: Option<&'a str>,
}

pub(super) fn run(args: &ExplainArgs, settings: &Settings) -> Result<(), Failure> {
    let [card] = read([&args.file])?;
    let rules = rules(settings)?;
    let arguments =
        arguments::arguments(args.arguments.as_ref(), || Call::score_arguments(&args.person.to_person()))?;
    let arguments = Json::parse(arguments.get().as_bytes()).map_err(|bad| {
        let problem = bad.to_string();
        Failure::Usage(format!("--arguments: {}", problem.strip_prefix("the body ").unwrap_or(&problem)))
    })?;
    let person = person(arguments, &rules).map_err(Failure::Usage)?;
    let explanation = Explanation::of(&card, &person, rules.today);
    let text = if args.format.is_json() {
        // Numbers and strings can always be serialized.
        serde_json::to_string(&explanation).map_err(std::io::Error::from)? + "\n"
    } else {
        explanation.to_table()
    };
    Ok(output::print(&text)?)
}

// ===== impl Explanation =====

impl<'a> Explanation<'a> {
    fn of(card: &'a Card, person: &OnlineScore, today: NaiveDate) -> Self {
        let shares = card.shares(person, today);
        let Explained { score, reasons, card: _ } = card.explain(person, today);
        let Range { lowest, highest } = card.range();
        Self {
            card: card.version(),
            base: card.base(),
            sum: shares.iter().fold(card.base(), |sum, share| sum + share.points),
            characteristics: shares
                .into_iter()
                .map(|share| Part {
                    name: share.name,
                    bin: share.bin,
                    points: share.points,
                    baseline: share.baseline,
                    reason: share.reason.filter(|_| share.points < share.baseline),
                })
                .collect(),
            lowest,
            highest,
            score,
            reasons,
        }
    }

    fn to_table(&self) -> String {
        let widest = self.characteristics.iter().map(|part| part.name.chars().count()).max().unwrap_or(0);
        let width = widest.max("characteristic".len());
        let mut table = format!("card {}\n\n", self.card);
        let mut row = |name: &str, bin: &str, points: &str, baseline: &str, reason: &str| {
            let line = format!("{name:<width$}  {bin:>4}  {points:>12}  {baseline:>12}  {reason}");
            // Writing to a String cannot fail.
            let _ = writeln!(table, "{}", line.trim_end());
        };
        row("characteristic", "bin", "points", "baseline", "reason");
        row("base", "", &self.base.to_string(), "", "");
        for Part { name, bin, points, baseline, reason } in &self.characteristics {
            let bin = bin.map_or("-".to_owned(), |bin| bin.to_string());
            row(name, &bin, &points.to_string(), &baseline.to_string(), reason.unwrap_or_default());
        }
        row("sum", "", &self.sum.to_string(), "", "");
        row("lowest", "", &self.lowest.to_string(), "", "");
        row("highest", "", &self.highest.to_string(), "", "");
        row("score", "", &self.score.value().to_string(), "", "");
        table.push_str("\nreasons\n");
        if self.reasons.is_empty() {
            table.push_str("  -\n");
        }
        for (rank, reason) in (1..).zip(&self.reasons) {
            let _ = writeln!(table, "{rank:>3}. {reason}");
        }
        table
    }
}

fn number<S: serde::Serializer>(points: &Points, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(points.to_f64())
}
