//! `card check`: checks a card's file, and prints its properties.

use std::path::PathBuf;

use clap::Args;

use super::read;
use crate::cli::{failure::Failure, output};

/// The card.
#[derive(Debug, Args)]
pub(in crate::cli) struct CheckArgs {
    /// The card's file.
    file: PathBuf,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let [card] = read([&args.file])?;
    let range = card.range();
    Ok(output::print(&format!(
        "version:         {}\ndigest:          {}\ncharacteristics: {}\nlowest score:    {}\nhighest score:   {}\n",
        card.version(),
        card.digest(),
        card.characteristics(),
        range.lowest,
        range.highest,
    ))?)
}
