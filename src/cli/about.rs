//! `completions` and `man`: generated from the definition of the command line; `completions` adds the settings' keys, and
//! `manual` examples and variables.

mod completions;
mod manual;

use clap::{Args, Command};
use clap_complete::Shell;

use super::{failure::Failure, output};

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell to complete for.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The subcommand to describe, such as call online_score; scoring-api itself by default.
    #[arg(value_name = "COMMAND")]
    path: Vec<String>,
}

pub(super) fn completions(args: &CompletionsArgs, command: Command) -> Result<(), Failure> {
    Ok(output::print(&completions::script(args.shell, command)?)?)
}

pub(super) fn man(args: &ManArgs, command: Command) -> Result<(), Failure> {
    let page = manual::page(find(command, &args.path)?, &args.path.join(" "))?;
    Ok(output::print(&String::from_utf8_lossy(&page))?)
}

/// The subcommand at `path`.
fn find(mut found: Command, path: &[String]) -> Result<Command, Failure> {
    // Gives each subcommand its full name, as in scoring-api-call-online_score.
    found.build();
    for name in path {
        let Some(next) = found.find_subcommand(name) else {
            return Err(Failure::Usage(format!("{} has no subcommand {name:?}", found.get_name())));
        };
        found = next.clone();
    }
    Ok(found)
}
