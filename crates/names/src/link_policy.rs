//! What becomes of the symbolic links in a package's source.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a snapshot does with the symbolic links it meets, chosen for each package.
///
/// Whatever the policy, nothing outside the source folder is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkPolicy {
    /// A link is an entry of the package, with its target as it is written.
    #[default]
    Keep,
    /// Links are left out.
    Skip,
    /// A link ends the snapshot.
    Refuse,
    /// A link becomes a copy of the file or folder it leads to; one that leads out of the source,
    /// to nothing or in a circle ends the snapshot.
    Follow,
}

/// Why a text names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no link policy: keep, skip, refuse or follow is wanted")]
pub struct LinkPolicyError(String);

impl LinkPolicy {
    /// All policies, the default first.
    pub const ALL: [Self; 4] = [Self::Keep, Self::Skip, Self::Refuse, Self::Follow];

    /// The word people write and the database keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Skip => "skip",
            Self::Refuse => "refuse",
            Self::Follow => "follow",
        }
    }
}

impl FromStr for LinkPolicy {
    type Err = LinkPolicyError;

    fn from_str(text: &str) -> Result<Self, LinkPolicyError> {
        let found = Self::ALL.into_iter().find(|policy| policy.as_str() == text);
        found.ok_or_else(|| LinkPolicyError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for LinkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::LinkPolicy;

    #[test]
    fn a_policy_is_read_from_its_own_word() {
        for policy in LinkPolicy::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let error = "Follow".parse::<LinkPolicy>().expect_err("small letters");
        assert_eq!(error.to_string(), "\"Follow\" is no link policy: keep, skip, refuse or follow is wanted");
    }
}
