//! Site codes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Three characters A-Z or 0-9, unique in a hierarchy, never changed.
///
/// Parsed in any letter case, kept in upper case. Words that Windows or the product reserve
/// (AUX, CON, NUL, PRN, SMS, ENV) are refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteCode([u8; 3]);

/// Why a text is not a site code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteCodeError {
    /// Wrong length or characters.
    #[error("{0:?} is not a site code: three characters A-Z or 0-9 are wanted")]
    Form(String),
    /// A reserved word.
    #[error("{0} is a reserved word and cannot be a site code")]
    Reserved(String),
}

impl SiteCode {
    /// The text in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a site code is ASCII")
    }

    /// The three bytes, as formats store them.
    pub fn as_bytes(&self) -> [u8; 3] {
        self.0
    }
}

impl FromStr for SiteCode {
    type Err = SiteCodeError;

    fn from_str(text: &str) -> Result<Self, SiteCodeError> {
        let form = || SiteCodeError::Form(text.chars().take(40).collect());
        let upper = text.to_ascii_uppercase();
        let bytes: [u8; 3] = upper.as_bytes().try_into().ok().ok_or_else(form)?;
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(form());
        }
        if ["AUX", "CON", "NUL", "PRN", "SMS", "ENV"].contains(&upper.as_str()) {
            return Err(SiteCodeError::Reserved(upper));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for SiteCode {
    type Error = SiteCodeError;
    fn try_from(text: String) -> Result<Self, SiteCodeError> {
        text.parse()
    }
}

impl From<SiteCode> for String {
    fn from(code: SiteCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for SiteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::SiteCode;
    use crate::PackageId;

    #[test]
    fn site_codes_follow_their_rules() {
        assert_eq!("xyz".parse::<SiteCode>().expect("valid").as_str(), "XYZ");
        for bad in ["", "AB", "ABCD", "A-B", "Ä1", "con", "SMS"] {
            assert!(bad.parse::<SiteCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn package_ids_carry_their_site() {
        let id: PackageId = "xyz0000a".parse().expect("valid");
        assert_eq!((id.as_str(), id.site().as_str()), ("XYZ0000A", "XYZ"));
        assert_eq!(PackageId::new(id.site(), 10), Some(id));
        assert_eq!(PackageId::new(id.site(), 0x10_0000), None);
        for bad in ["AB'1", "XYZ0000G", "XYZ000001", "SMS00001"] {
            assert!(bad.parse::<PackageId>().is_err(), "{bad}");
        }
    }
}
