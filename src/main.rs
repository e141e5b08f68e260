//! Parses the command line and runs one subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    scoring_api::cli::run(std::env::args_os())
}
