//! Where content is served: distribution points and their NAL paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::SiteCode;

/// The name of a distribution point, unique in its site: a host name or a label.
///
/// Limits: 1-64 characters, letters, digits, `.`, `-`, `_`, beginning with a letter or digit.
/// Compared without letter case (kept in upper case, as NAL paths show it).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistributionPointName(String);

/// Why a text does not name a distribution point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a distribution point: 1-64 letters, digits, '.', '-' or '_' are wanted, a letter or digit first"
)]
pub struct DistributionPointNameError(String);

impl DistributionPointName {
    /// The name in upper case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DistributionPointName {
    type Err = DistributionPointNameError;

    fn from_str(text: &str) -> Result<Self, DistributionPointNameError> {
        let ok = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
            && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if ok {
            Ok(Self(text.to_ascii_uppercase()))
        } else {
            Err(DistributionPointNameError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for DistributionPointName {
    type Error = DistributionPointNameError;
    fn try_from(text: String) -> Result<Self, DistributionPointNameError> {
        text.parse()
    }
}

impl From<DistributionPointName> for String {
    fn from(name: DistributionPointName) -> Self {
        name.0
    }
}

impl fmt::Display for DistributionPointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DistributionPointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The network path by which scripts name a distribution point:
/// `["Display=\\DP01\"]MSWNET:["SMS_SITE=XYZ"]\\DP01\`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NalPath(String);

impl NalPath {
    /// The NAL path of `point` at `site`.
    pub fn new(site: SiteCode, point: &DistributionPointName) -> Self {
        Self(format!(r#"["Display=\\{point}\"]MSWNET:["SMS_SITE={site}"]\\{point}\"#))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
