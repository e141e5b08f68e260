//! `check-config`: prints the settings in effect. Loading them has already checked that they are valid.

use super::{failure::Failure, output};
use crate::config::Settings;

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    Ok(output::print(settings.effective_toml())?)
}
