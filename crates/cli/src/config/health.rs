//! `[health]`: how the library of a site or DP is kept in health.

use std::num::NonZeroUsize;
use std::time::Duration;

use restock_content::library::{CleanConfig, HealthConfig};
use serde::Deserialize;

use super::values::{duration, duration_text, size, size_text};

/// `[health]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HealthSection {
    /// Versions of each package that are kept.
    pub(crate) versions_kept: NonZeroUsize,
    /// Time from one cleaning to the next.
    #[serde(deserialize_with = "duration")]
    pub(crate) clean_period: Duration,
    /// What was stored more recently is left alone.
    #[serde(deserialize_with = "duration")]
    pub(crate) clean_grace: Duration,
    /// Everything stored is read and checked within this time.
    #[serde(deserialize_with = "duration")]
    pub(crate) scrub_period: Duration,
    /// Bytes of the file system that content leaves free.
    #[serde(deserialize_with = "size")]
    pub(crate) reserve: u64,
}

impl Default for HealthSection {
    fn default() -> Self {
        let HealthConfig { clean, scrub_period, reserve_bytes } = HealthConfig::default();
        Self {
            versions_kept: NonZeroUsize::new(clean.versions_kept).unwrap_or(NonZeroUsize::MIN),
            clean_period: clean.period,
            clean_grace: clean.grace,
            scrub_period,
            reserve: reserve_bytes,
        }
    }
}

impl HealthSection {
    pub(super) fn config(&self) -> HealthConfig {
        HealthConfig {
            clean: CleanConfig {
                period: self.clean_period,
                grace: self.clean_grace,
                versions_kept: self.versions_kept.get(),
            },
            scrub_period: self.scrub_period,
            reserve_bytes: self.reserve,
        }
    }

    pub(super) fn template(&self) -> String {
        format!(
            "\
[health]
# Versions of each package that are kept, the newest included; to one of them a package can be rolled back.
versions_kept = {}
# What no kept version refers to is deleted this often, unless it was stored within the grace.
clean_period = \"{}\"
clean_grace = \"{}\"
# Everything stored is read from the disk and checked within this time.
scrub_period = \"{}\"
# Room on the file system that content leaves free, a twentieth of it at most. What does not fit waits.
reserve = \"{}\"
",
            self.versions_kept,
            duration_text(self.clean_period),
            duration_text(self.clean_grace),
            duration_text(self.scrub_period),
            size_text(self.reserve),
        )
    }
}
