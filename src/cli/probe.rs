//! `probe`: asks a service on this host for its health, for monitors that can only run a command, such as Docker.

use std::io;

use clap::Args;

use super::{
    admin::{Admin, is_ok},
    failure::Failure,
};
use crate::config::Settings;

#[derive(Debug, Args)]
pub(super) struct ProbeArgs {
    /// Ask only whether the process is alive, not whether it is ready.
    #[arg(long)]
    live: bool,
}

/// Asks the operators' listener named in the settings. Prints nothing if the service is well.
pub(super) fn run(args: &ProbeArgs, settings: &Settings) -> Result<(), Failure> {
    let admin = Admin::of(settings)?;
    let path = if args.live { "/healthz" } else { "/readyz" };
    let line = admin.status_line(path)?;
    if is_ok(&line) {
        Ok(())
    } else {
        Err(admin.failure(path, io::Error::other(format!("answered {line:?}"))))
    }
}
