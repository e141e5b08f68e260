//! `check-config`: prints the settings in effect. Loading them has already checked that they are valid. With
//! `--connect`: tries the stores that they name.

mod connect;

use clap::Args;

use super::{failure::Failure, output};
use crate::config::Settings;

#[derive(Debug, Args)]
pub(super) struct CheckConfigArgs {
    /// Instead of printing the settings, connect to each store once: TLS, log-in, and the right to each kind of command
    /// that the service uses. Prints a table; exits with 1 if a store fails. Creates a missing file of an embedded store.
    #[arg(long)]
    connect: bool,
}

pub(super) fn run(args: &CheckConfigArgs, settings: &Settings) -> Result<(), Failure> {
    if args.connect { connect::run(settings) } else { Ok(output::print(settings.effective_toml())?) }
}
