//! What a command reports when it could not do its work: kind, message, hints.
//!
//! The kind decides the exit code, the message is printed once with its whole chain of causes,
//! and hints become "Try:" lines. Failures also cross the control socket, so they serialise.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::output::guarded;

/// The kinds of failure, each with its exit code. 0 is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// The work was tried and failed.
    Failed,
    /// The command line or the configuration cannot be meant.
    Usage,
    /// Some of what was asked is done, some is not.
    Partly,
    /// What the command names does not exist.
    NotFound,
    /// The time given by `--timeout` is over; the work goes on.
    TimedOut,
    /// The request is understood and refused; nothing changed.
    Refused,
}

impl Kind {
    /// The exit code of the process.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Partly => 3,
            Self::NotFound => 4,
            Self::TimedOut => 5,
            Self::Refused => 6,
        }
    }
}

/// One failure as it is shown to people and programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// The stable code, where there is one: `SOURCE_NOT_FOUND`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// What failed, with its causes, already escaped.
    pub(crate) message: String,
    /// `ErrorCode` of a refusal by a class or method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<u32>,
    /// The request in logs and audit records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) correlation: Option<String>,
    /// What to do next, one command or sentence each.
    #[serde(default, rename = "try", skip_serializing_if = "Vec::is_empty")]
    pub(crate) hints: Vec<String>,
}

impl Failure {
    /// A failure of `kind` with this message.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        let code = leading_code(&message);
        Self { kind, code, message, error_code: None, correlation: None, hints: Vec::new() }
    }

    /// The work was tried and failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The arguments or the configuration cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The request is refused.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// What failed, followed by every cause of `error`, once.
    pub(crate) fn caused(kind: Kind, what: impl fmt::Display, error: &dyn std::error::Error) -> Self {
        Self::new(kind, format!("{what}: {}", chain(error)))
    }

    /// The same failure with a "Try:" line.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The text people read: the message, then the hints.
    pub(crate) fn text(&self, style: crate::output::Style) -> String {
        let mut text = format!("{} {}\n", style.bad("error:"), guarded(&self.message));
        for hint in &self.hints {
            text.push_str(&format!("{} {}\n", style.strong("Try:"), guarded(hint)));
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// The texts of an error and its causes, joined by ": ", without repeating a cause that the text
/// before it already ends with.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let part = next.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = next.source();
    }
    text
}

/// `SOURCE_NOT_FOUND: …` carries its code in front.
fn leading_code(message: &str) -> Option<String> {
    let (code, _) = message.split_once(':')?;
    let is_code = code.len() > 3
        && code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_code.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Failure, Kind, chain};
    use crate::output::Style;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to open the library")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_failure_prints_its_chain_once_and_ends_with_what_to_try() {
        let error = Outer(std::io::Error::other("no space left"));
        let failure = Failure::caused(Kind::Failed, "site init", &error).hint("free some space");
        assert_eq!(
            failure.text(Style::plain()),
            "error: site init: failed to open the library: no space left\nTry: free some space\n"
        );
        assert_eq!(chain(&std::io::Error::other("x")), "x");
    }

    #[test]
    fn a_stable_code_is_read_from_the_message() {
        assert_eq!(Failure::failed("SOURCE_EMPTY: it is empty").code.as_deref(), Some("SOURCE_EMPTY"));
        assert_eq!(Failure::failed("cannot open x: denied").code, None);
    }

    #[test]
    fn each_kind_has_its_exit_code() {
        let kinds = [Kind::Failed, Kind::Usage, Kind::Partly, Kind::NotFound, Kind::TimedOut, Kind::Refused];
        assert_eq!(kinds.map(Kind::exit_code), [1, 2, 3, 4, 5, 6]);
    }
}
