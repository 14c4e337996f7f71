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

    /// The code read as a number of base 36, at most 46,655: `000` is 0, `00A` is 10, `ZZZ` the last.
    pub fn number(&self) -> u16 {
        self.0.iter().fold(0, |number, byte| {
            let digit = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 };
            number * 36 + u16::from(digit)
        })
    }

    /// The code with this number; `None` when it is none's, or that of a reserved word.
    pub fn of_number(number: u16) -> Option<Self> {
        let digits = [number / 1296, number / 36 % 36, number % 36];
        let text: Option<String> =
            digits.into_iter().map(|digit| char::from_digit(u32::from(digit), 36)).collect();
        text?.parse().ok()
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
    use crate::{Epoch, PackageId};

    #[test]
    fn site_codes_follow_their_rules() {
        assert_eq!("xyz".parse::<SiteCode>().expect("valid").as_str(), "XYZ");
        for bad in ["", "AB", "ABCD", "A-B", "Ä1", "con", "SMS"] {
            assert!(bad.parse::<SiteCode>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_site_code_has_a_number_of_its_own() {
        for code in ["000", "00A", "ABC", "XYZ", "ZZZ"] {
            let code: SiteCode = code.parse().expect("valid");
            assert_eq!(SiteCode::of_number(code.number()), Some(code), "{code}");
        }
        let codes: std::collections::BTreeSet<SiteCode> =
            (0..=u16::MAX).filter_map(SiteCode::of_number).collect();
        assert_eq!(codes.len(), 36 * 36 * 36 - 6, "all but the reserved words");
    }

    #[test]
    fn an_epoch_names_the_site_that_began_it() {
        let (abc, xyz): (SiteCode, SiteCode) = ("ABC".parse().expect("valid"), "XYZ".parse().expect("valid"));
        let package = PackageId::new(abc, 1).expect("in range");
        assert_eq!(Epoch::FIRST.signer(package), Some(abc));
        let moved = Epoch::FIRST.next(xyz);
        assert_eq!((moved.generation(), moved.signer(package)), (1, Some(xyz)));
        assert!(moved > Epoch::FIRST && moved.next(abc) > moved && moved.next(xyz) > moved.next(abc));
        let last = Epoch(u32::MAX).next(abc);
        assert_eq!((last.generation(), last.signer(package)), (Epoch::GENERATION_MAX, Some(abc)));
        assert_eq!(Epoch(0x1_ffff).signer(package), None);
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
