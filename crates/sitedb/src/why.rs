//! Why something waits: a rule for programs, a sentence for people.

use restock_names::Timestamp;
use serde::{Deserialize, Serialize};

/// The reason a state that waits is what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// A stable code, such as `SOURCE_NOT_FOUND` or `WAITING_FOR_SNAPSHOT`.
    pub rule: String,
    /// One sentence with the objects in it.
    pub text: String,
    /// When it is tried again, if a time is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What a person could do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Why {
    /// A reason without time or remedy.
    pub fn new(rule: impl Into<String>, text: impl Into<String>) -> Self {
        Self { rule: rule.into(), text: text.into(), until: None, fix: None }
    }

    /// The same reason with what would fix it.
    #[must_use]
    pub fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same reason with the time of the next attempt.
    #[must_use]
    pub fn with_until(mut self, until: Option<Timestamp>) -> Self {
        self.until = until;
        self
    }
}
