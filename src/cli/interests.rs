//! `interests`: imports, exports, prints and deletes clients' interests in the persistent store.
//!
//! # Layout
//!
//! - `import`, `export`, `get`, `delete`: the subcommands
//! - `ndjson`, `csv`, `batch`: from lines to clients, with all faults by line; pure except for the reading
//! - `record`: a client's line, and its value in the store
//! - `writing`: the progress bar of an import

mod batch;
mod csv;
mod delete;
mod export;
mod get;
mod import;
mod ndjson;
mod record;
mod writing;

use std::time::Duration;

use clap::Subcommand;

use self::{delete::DeleteArgs, get::GetArgs, import::ImportArgs};
use super::{audit, failure::Failure, signals::until_signal};
use crate::{
    config::Settings,
    resolver::Resolver,
    store::{Bulk, Purpose, open_bulk, url::StoreUrl},
};

/// Import, export, print or delete interests.
#[derive(Debug, Subcommand)]
pub(super) enum InterestsCommand {
    /// Write clients' interests into the store: all of a file, or nothing.
    Import(ImportArgs),
    /// Print all clients' interests, a JSON object a line, as `import` reads them.
    Export,
    /// Print the interests of some clients, a JSON object a line.
    Get(GetArgs),
    /// Delete the interests of some clients: of all of them, or of none.
    Delete(DeleteArgs),
}

/// The store of the settings, not opened yet.
#[derive(Debug, Clone)]
struct StorePlace {
    url: StoreUrl,
    connect_timeout: Duration,
    resolver: Resolver,
}

// ===== impl StorePlace =====

impl StorePlace {
    /// Whether changes may be made client by client, where there is no other way.
    fn allows(&self, piecewise: bool) -> Result<(), Failure> {
        if self.url.is_cluster() && !piecewise {
            return Err(Failure::Usage(
                "a Redis Cluster has no transaction over all clients, so a change that fails leaves a part behind, and a \
                 service sees the clients one by one; say --piecewise if that is all right"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn open(&self, purpose: Purpose) -> Result<Box<dyn Bulk>, Failure> {
        open_bulk(&self.url, self.connect_timeout, &self.resolver, purpose)
            .map_err(|source| Failure::Open { url: self.url.to_string(), source })
    }
}

pub(super) fn run(command: InterestsCommand, settings: &Settings) -> Result<(), Failure> {
    let place = StorePlace {
        url: settings.store.url.clone(),
        connect_timeout: settings.store.connect_timeout,
        resolver: Resolver::system(),
    };
    audit::to_stderr(settings);
    until_signal(move |gate| match command {
        InterestsCommand::Import(args) => import::run(&args, &place, gate),
        InterestsCommand::Export => export::run(&place),
        InterestsCommand::Get(args) => get::run(&args, &place),
        InterestsCommand::Delete(args) => delete::run(&args, &place, gate),
    })
}

/// `1 client`, `2 clients`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
