//! `card`: checks scorecards, explains the score of a person, and compares two cards, without a store or a service.
//!
//! # Layout
//!
//! - `check`, `explain`, `compare`: the subcommands
//! - `changes`: the counts of a comparison, in constant memory

mod changes;
mod check;
mod compare;
mod explain;

use std::{
    io::{IsTerminal, stdout},
    path::Path,
    sync::Arc,
};

use clap::{Args, Subcommand};

use self::{check::CheckArgs, compare::CompareArgs, explain::ExplainArgs};
use super::failure::Failure;
use crate::{
    config::{Settings, error::ConfigErrors, read_card},
    domain::{Authenticator, Card, Faults, Json, Object, OnlineScore, Rules},
    wall_clock,
};

/// The name of the compiled-in card in place of a file. A file of that name is `./built-in`.
const BUILT_IN: &str = "built-in";

/// Check, explain or compare scorecards. FILE is a card's file, or `built-in` for the compiled-in card.
#[derive(Debug, Subcommand)]
pub(super) enum CardCommand {
    /// Check a card's file: print its properties, or every fault. Exits with 2 if the card has faults.
    Check(CheckArgs),
    /// Print how a card computes the score of a person. Options are visible to other users of this machine;
    /// --arguments - is not.
    Explain(Box<ExplainArgs>),
    /// Compute the scores of a batch of calls with two cards, and print the changes.
    Compare(CompareArgs),
}

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Clone, Copy, Args)]
struct FormatArgs {
    /// Print JSON (the default unless standard output is a terminal).
    #[arg(long)]
    json: bool,
    /// Print a table (the default on a terminal).
    #[arg(long, conflicts_with = "json")]
    text: bool,
}

// ===== impl FormatArgs =====

impl FormatArgs {
    fn is_json(self) -> bool {
        self.json || !(self.text || stdout().is_terminal())
    }
}

pub(super) fn run(
    command: CardCommand,
    settings: impl FnOnce() -> Result<Settings, Failure>,
) -> Result<(), Failure> {
    match command {
        CardCommand::Check(args) => check::run(&args),
        CardCommand::Explain(args) => explain::run(&args, &settings()?),
        CardCommand::Compare(args) => compare::run(args, &settings()?),
    }
}

/// Reads the cards; fails with the faults of all of them.
fn read<const N: usize>(files: [&Path; N]) -> Result<[Arc<Card>; N], Failure> {
    let mut faults = ConfigErrors::default();
    let mut card = |file: &Path| {
        if file == Path::new(BUILT_IN) { None } else { read_card(file, &mut faults) }
    };
    let cards = files.map(|file| card(file).unwrap_or_else(Card::built_in));
    Ok(faults.or(cards)?)
}

/// The rules by which the service would check a call now.
fn rules(settings: &Settings) -> Result<Rules, Failure> {
    let today = Authenticator::new(settings.auth.policy())?.today(wall_clock::now());
    Ok(Rules { today, max_client_ids: settings.limits.client_ids, explain: settings.scoring.explain })
}

/// The person in `arguments`, checked as the service checks them. The error is the service's text.
fn person(arguments: Json, rules: &Rules) -> Result<OnlineScore, String> {
    let arguments = match arguments {
        Json::Object(arguments) => arguments,
        // As in the envelope.
        Json::Null => Object::default(),
        Json::Bool(_) | Json::Integer(_) | Json::OtherNumber | Json::String(_) | Json::Array(_) => {
            return Err("arguments: must be an object".to_owned());
        }
    };
    OnlineScore::parse(arguments, rules).map_err(|faults: Faults| faults.to_string())
}
