//! The sources of the settings: `--config` and `--set`, before or after any subcommand but `demo`.
//!
//! clap's own global arguments would keep only the values of the innermost level: of `--set a.b=1 token --set c.d=2`
//! the first would be lost without an error. Here each level accepts them, and they add up.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, error::ErrorKind};

use super::failure::Failure;
use crate::config::Settings;

// Not a doc comment: clap would use it as the description of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct Source {
    /// Read settings from this TOML file; config/default.toml documents every key.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Set one key, such as store.url=memory: (may be repeated; wins over file and environment).
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) assignments: Vec<String>,
}

// ===== impl Source =====

impl Source {
    /// Lets `command` and all subcommands below it accept these arguments.
    pub(super) fn accepted_by_all(command: Command) -> Command {
        Self::augment_args(command).mut_subcommands(Self::accepted_by_all)
    }

    /// Leaves these arguments out of the help of `command`, which reads no settings.
    pub(super) fn hidden_in(command: Command) -> Command {
        command.mut_arg("config", |config| config.hide(true)).mut_arg("assignments", |set| set.hide(true))
    }

    /// For a subcommand that reads no settings.
    ///
    /// # Errors
    ///
    /// If an argument was given, since it would have no effect.
    pub(super) fn must_be_absent(&self, subcommand: &str, command: &mut Command) -> Result<(), clap::Error> {
        let given = match self {
            Self { config: Some(_), .. } => "--config <FILE>",
            Self { assignments, .. } if !assignments.is_empty() => "--set <KEY=VALUE>",
            Self { .. } => return Ok(()),
        };
        let message =
            format!("the argument '{given}' cannot be used with '{subcommand}', which reads no settings");
        Err(command.error(ErrorKind::ArgumentConflict, message))
    }

    /// Collects the arguments of all levels, from left to right.
    ///
    /// # Errors
    ///
    /// If there are two files.
    pub(super) fn gather(matches: &ArgMatches, command: &mut Command) -> Result<Self, clap::Error> {
        let mut source = Self::default();
        let mut level = Some(matches);
        while let Some(matches) = level {
            let Self { config, assignments } = Self::from_arg_matches(matches)?;
            if source.config.is_some() && config.is_some() {
                let message = "the argument '--config <FILE>' cannot be used multiple times";
                return Err(command.error(ErrorKind::ArgumentConflict, message));
            }
            source.config = source.config.or(config);
            source.assignments.extend(assignments);
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        Ok(source)
    }

    /// The settings, with the process' environment between file and assignments.
    pub(super) fn load(&self) -> Result<Settings, Failure> {
        Ok(Settings::load(self.config.as_deref(), std::env::vars_os(), &self.assignments)?)
    }

    /// As [`load`](Self::load), but leaves the partners' file and the cards unread.
    pub(super) fn load_without_files(&self) -> Result<Settings, Failure> {
        let (config, environment) = (self.config.as_deref(), std::env::vars_os());
        Ok(Settings::load_without_files(config, environment, &self.assignments)?)
    }
}
