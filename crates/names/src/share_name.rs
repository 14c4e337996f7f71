//! The name of the folder in which distribution points keep a package's files beside their library.

use std::fmt;
use std::str::FromStr;

use crate::{Escaped, PackageId};

/// The longest name in bytes.
const BYTES_MAX: usize = 200;

/// A folder's name: 1-200 bytes, no separator, no control character, no dot at the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShareName(Box<str>);

/// Why a text is no name of a share. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("SHARE_NAME_INVALID: {} cannot be the name of a package's folder: {problem}", Escaped(.name.as_bytes()))]
pub struct ShareNameError {
    /// The beginning of the text.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl ShareName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Refuses a name of the form of a package ID other than `package`'s: folders without a name of
    /// their own are called so.
    pub fn for_package(self, package: &PackageId) -> Result<Self, ShareNameError> {
        match self.0.parse::<PackageId>() {
            Ok(other) if other != *package => Err(refused(&self.0, "it is the ID of another package")),
            _ => Ok(self),
        }
    }
}

fn refused(name: &str, problem: &'static str) -> ShareNameError {
    ShareNameError { name: name.chars().take(80).collect(), problem }
}

impl FromStr for ShareName {
    type Err = ShareNameError;

    fn from_str(text: &str) -> Result<Self, ShareNameError> {
        if text.is_empty() || text.len() > BYTES_MAX {
            return Err(refused(text, "1 to 200 bytes are wanted"));
        }
        if text.starts_with('.') {
            return Err(refused(text, "it begins with a dot"));
        }
        if text.contains(['/', '\\']) || text.chars().any(char::is_control) {
            return Err(refused(text, "separators and control characters are not allowed"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0.as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::ShareName;

    #[test]
    fn a_name_is_one_folder_that_nobody_else_has() {
        let own = "XYZ00001".parse().expect("an ID");
        let read = |text: &str| text.parse::<ShareName>().and_then(|name| name.for_package(&own));
        for good in ["Apps$", "XYZ00001", "Ünï", "a b", "XYZ0000"] {
            assert_eq!(read(good).expect(good).as_str(), good);
        }
        for bad in ["", ".", "..", ".restock", "a/b", "a\\b", "a\nb", "XYZ00002", &"x".repeat(201)] {
            let error = read(bad).expect_err(bad).to_string();
            assert!(error.starts_with("SHARE_NAME_INVALID: ") && !error.contains('\n'), "{error}");
        }
    }
}
