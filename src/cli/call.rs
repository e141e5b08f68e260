//! `call`: signs and sends calls to a running service, one or a file of them.
//!
//! # Layout
//!
//! - `target`: URL, caller with its salt or token, and deadline
//! - `one`: a single call, for people or as JSON
//! - `batch`: a file of calls; `line` reads one of them, `result` writes one, `summary` counts them

mod batch;
pub(super) mod line;
mod one;
mod result;
mod summary;
mod target;

use clap::{Args, Subcommand};

pub(super) use self::target::TOKEN_VARIABLE;
use self::{batch::BatchArgs, one::OneArgs, target::Target};
use super::{arguments, failure::Failure};
use crate::{client, config::Settings, domain::Method};

/// One call, or a file of them.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    override_usage = "scoring-api call [OPTIONS] <METHOD>\n       scoring-api call [OPTIONS] --batch <FILE>",
    subcommand_help_heading = "Methods"
)]
pub(super) struct CallArgs {
    #[command(subcommand)]
    method: Option<MethodArgs>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    batch: BatchArgs,
}

#[derive(Debug, Subcommand)]
enum MethodArgs {
    /// Compute a person's score. Arguments are visible to other users of this machine; --arguments - is not.
    #[command(name = "online_score")]
    OnlineScore(one::ScoreArgs),
    /// Look up the interests of clients.
    #[command(name = "clients_interests")]
    ClientsInterests(one::InterestsArgs),
}

pub(super) fn run(args: CallArgs, settings: &Settings) -> Result<(), Failure> {
    let CallArgs { method, target, batch } = args;
    let connect = || target.client(settings);
    match (method, batch.file) {
        (None, Some(file)) => {
            batch::run(&file, batch.concurrency, connect()?, target.identity_of_lines(settings)?)
        }
        (Some(_), Some(_)) => Err(Failure::Usage("--batch FILE says which methods to call".to_owned())),
        (Some(MethodArgs::OnlineScore(args)), None) => {
            let OneArgs { arguments: given, .. } = &args.one;
            let arguments = arguments::arguments(given.as_ref(), || args.to_json())?;
            let method = client::Method::OnlineScore;
            one::run(&connect()?, &target, settings, method, arguments, &args.one)
        }
        (Some(MethodArgs::ClientsInterests(args)), None) => {
            let OneArgs { arguments: given, .. } = &args.one;
            let arguments = arguments::arguments(given.as_ref(), || args.to_json())?;
            let method = client::Method::ClientsInterests;
            one::run(&connect()?, &target, settings, method, arguments, &args.one)
        }
        (None, None) => {
            let names: Vec<_> = Method::ALL.iter().map(|method| method.as_str()).collect();
            let names = names.join(" or ");
            Err(Failure::Usage(format!("name a method, {names}, or a file of calls with --batch FILE")))
        }
    }
}
