//! Settings of metrics.

use serde::Deserialize;

/// `[metrics]`: metrics that cost extra.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Whether the calls of each registered partner are counted; false by default.
    pub partners: bool,
}
