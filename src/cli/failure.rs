//! The errors of the command line, their texts, and the table of exit codes.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use super::{demo::Disproved, signals::Stop};
use crate::{
    app::BuildError,
    client::ClientError,
    config::{Settings, error::ConfigErrors},
    domain::InvalidAuthPolicy,
    store::{BackendError, OpenBulkError, PutError},
};

/// Something did not work.
const FAILED: u8 = 1;

/// The command line or the configuration is at fault: trying again without a change is of no use.
pub(super) const USAGE: u8 = 2;

/// The reason why a subcommand failed. Shown as one line for each fault; never shows a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The settings are at fault, in one or several ways.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// The settings are fine by themselves, but not here: a port is taken.
    #[error("{origin}{source}")]
    Build { origin: String, source: BuildError },
    #[error("auth: {0}")]
    Auth(#[from] InvalidAuthPolicy),
    /// Arguments that clap cannot judge.
    #[error("{0}")]
    Usage(String),
    /// The process lacks something that every process needs.
    #[error("cannot start: {0}")]
    Start(#[source] io::Error),
    #[error("a listener failed: {0}")]
    Serve(#[source] io::Error),
    #[error("store.url = {url:?}: {source}")]
    Open { url: String, source: OpenBulkError },
    #[error("store.url = {url:?}: {source}")]
    Read { url: String, source: BackendError },
    #[error("store.url = {url:?}: {source}")]
    Write { url: String, source: PutError },
    #[error("{}: {source}", file.display())]
    Input { file: PathBuf, source: io::Error },
    /// The fault of each line has been printed already.
    #[error("nothing was {what}, because of {lines}")]
    BadLines { what: &'static str, lines: String },
    #[error("{0} is stored again, because another import wrote meanwhile; run this again")]
    WrittenMeanwhile(String),
    #[error("{0} stored values are malformed")]
    Malformed(usize),
    /// The change is made, and only its verification has failed.
    #[error("{done}, but that could not be verified: {source}")]
    Unverified { done: String, source: Box<Failure> },
    /// A call has no answer.
    #[error("{source} (request id {request_id})")]
    Call { source: ClientError, request_id: String },
    #[error("GET http://{address}{path}: {source}")]
    Probe { address: SocketAddr, path: &'static str, source: io::Error },
    #[error("{failed} of {steps} steps failed")]
    Connect { failed: usize, steps: usize },
    #[error("{failed} of {lines} calls failed")]
    Batch { failed: u64, lines: u64 },
    /// The fault of each line has been printed already.
    #[error("{bad} of {lines} lines are not calls")]
    NotCalls { bad: u64, lines: u64 },
    /// Nothing has been changed.
    #[error("the token could not be printed, so nothing was changed: {0}")]
    TokenNotPrinted(#[source] io::Error),
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Demo(#[from] Disproved),
    #[error("ended by {stop}{consequence}")]
    Stopped { stop: Stop, consequence: &'static str },
}

// ===== impl Failure =====

impl Failure {
    /// Names the place of the setting that is at fault, as the faults of a configuration do.
    pub(super) fn build(source: BuildError, settings: &Settings) -> Self {
        let origin = match &source {
            // The address is at fault rather than its place; `--set` alone would name no key.
            BuildError::Listen { key, .. } => settings.origin(key).filter(|origin| *origin != "--set"),
            BuildError::Tls(error) => settings.origin(error.key),
            BuildError::Auth(_) | BuildError::PublicSalts(_) | BuildError::Metrics(_) => None,
        };
        Self::Build { origin: origin.map(|origin| format!("{origin}: ")).unwrap_or_default(), source }
    }

    /// Prints the faults on standard error, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if !self.is_closed_pipe() {
            for line in self.to_string().lines() {
                complain("error", line);
            }
        }
        ExitCode::from(self.exit_code())
    }

    /// The reader of the output closed it, as `head` does, which is not an error.
    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Auth(_) | Self::Usage(_) => USAGE,
            // The port may be free later, so a supervisor may try again; any other address needs a change.
            Self::Build { source: BuildError::Listen { source, .. }, .. }
                if source.kind() == io::ErrorKind::AddrInUse =>
            {
                FAILED
            }
            Self::Build {
                source:
                    BuildError::Listen { .. }
                    | BuildError::Auth(_)
                    | BuildError::PublicSalts(_)
                    | BuildError::Tls(_),
                ..
            } => USAGE,
            // It is the setting that names a store which cannot be used so.
            Self::Open { source: OpenBulkError::Memory | OpenBulkError::Memcached, .. } => USAGE,
            Self::Output(_) if self.is_closed_pipe() => 0,
            Self::Build { source: BuildError::Metrics(_), .. }
            | Self::Start(_)
            | Self::Serve(_)
            | Self::Open { .. }
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::Input { .. }
            | Self::BadLines { .. }
            | Self::WrittenMeanwhile(_)
            | Self::Unverified { .. }
            | Self::Malformed(_)
            | Self::Call { .. }
            | Self::Probe { .. }
            | Self::Connect { .. }
            | Self::Batch { .. }
            | Self::NotCalls { .. }
            | Self::TokenNotPrinted(_)
            | Self::Demo(_)
            | Self::Output(_) => FAILED,
            Self::Stopped { stop, .. } => stop.exit_code(),
        }
    }
}

/// Writes `kind: message` to standard error.
pub(super) fn complain(kind: &str, message: impl fmt::Display) {
    say(format_args!("{kind}: {message}"));
}

/// Writes one line to standard error, unless it is closed.
pub(super) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
