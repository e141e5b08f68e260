//! `check-config`: what the settings come to. That they are valid has been found out by loading them.

use super::{failure::Failure, output};
use crate::config::Settings;

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    Ok(output::print(settings.effective_toml())?)
}
