//! Logon names.

use std::fmt;
use std::str::FromStr;

use restock_names::Escaped;

/// The longest logon name in characters.
const CHARS_MAX: usize = 256;

/// The name an account signs in with, such as `anna` or `CORP\anna`. Compared without letter case.
///
/// Limits: 1-256 characters, no control characters, no colon (Basic authentication ends the name
/// there), no space at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountName(String);

/// Why a text is no logon name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} cannot be a logon name: 1-{CHARS_MAX} characters are wanted, without colon, control characters or space at the ends",
    Escaped(.0.as_bytes())
)]
pub struct AccountNameError(String);

impl AccountName {
    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(text: &str) -> Result<Self, AccountNameError> {
        let is_fit = (1..=CHARS_MAX).contains(&text.chars().count())
            && !text.chars().any(|c| c.is_control() || c == ':')
            && text.trim() == text;
        if is_fit {
            Ok(Self(text.to_owned()))
        } else {
            Err(AccountNameError(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
