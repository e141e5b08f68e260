//! The version of this build, and the commit that it was built from.

use prometheus::{IntGaugeVec, Opts, Registry};

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, in twelve hex digits, or as the build was told; `unknown` for a build outside a repository.
pub const REVISION: &str = env!("SCORING_REVISION");

/// Both, for `--version`.
pub const VERSION_AND_REVISION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("SCORING_REVISION"), ")");

/// Registers `scoring_build_info`.
///
/// # Errors
///
/// If it is already registered.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    let help = "The version of the service, and the commit that it was built from; always 1.";
    let info = IntGaugeVec::new(Opts::new("scoring_build_info", help), &["version", "revision"])?;
    info.with_label_values(&[VERSION, REVISION]).set(1);
    registry.register(Box::new(info))
}
