//! Packages and their versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::SiteCode;

/// `ABC00001`: the code of the site that created the package and five hex digits.
///
/// Parsed in any letter case, kept and shown in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PackageId([u8; 8]);

/// Why a text is not a package ID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a package ID: a site code and five hex digits are wanted, such as XYZ00001")]
pub struct PackageIdError(String);

impl PackageId {
    /// The largest number a package of one site can have.
    pub const NUMBER_MAX: u32 = 0xf_ffff;

    /// The `number`-th package of `site`; `None` above [`Self::NUMBER_MAX`].
    pub fn new(site: SiteCode, number: u32) -> Option<Self> {
        (number <= Self::NUMBER_MAX).then(|| {
            format!("{site}{number:05X}").parse().expect("a site code and five hex digits are a package ID")
        })
    }

    /// The text in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a package ID is ASCII")
    }

    /// The site whose code the ID carries.
    pub fn site(&self) -> SiteCode {
        self.as_str()[..3].parse().expect("checked when the ID was made")
    }
}

impl FromStr for PackageId {
    type Err = PackageIdError;

    fn from_str(text: &str) -> Result<Self, PackageIdError> {
        let fail = || PackageIdError(text.chars().take(40).collect());
        let upper = text.to_ascii_uppercase();
        let bytes: [u8; 8] = upper.as_bytes().try_into().ok().ok_or_else(fail)?;
        let (site, number) = bytes.split_at(3);
        std::str::from_utf8(site).ok().and_then(|s| s.parse::<SiteCode>().ok()).ok_or_else(fail)?;
        number.iter().all(u8::is_ascii_hexdigit).then_some(Self(bytes)).ok_or_else(fail)
    }
}

impl TryFrom<String> for PackageId {
    type Error = PackageIdError;
    fn try_from(text: String) -> Result<Self, PackageIdError> {
        text.parse()
    }
}

impl From<PackageId> for String {
    fn from(id: PackageId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The version number administrators see; rises by one with each refresh. 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceVersion(pub u32);

impl SourceVersion {
    /// The version after this one; `None` at the end of the range.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for SourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who may publish versions of a package: a later epoch outranks every version of an earlier one.
///
/// Shape: the upper 16 bits count generations, the lower 16 are the number of the site that began it
/// ([`SiteCode::number`]). Generation 0 is the first of the site that created the package. Each
/// restore, promotion and change of owner begins another generation, so two sites that both think they
/// own a package never publish in one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The epoch of a site that was never restored or promoted.
    pub const FIRST: Self = Self(1);
    /// The last generation; [`Epoch::next`] stays there.
    pub const GENERATION_MAX: u32 = 0xffff;

    /// How many restores, promotions and changes of owner came before.
    pub fn generation(self) -> u32 {
        self.0 >> 16
    }

    /// The epoch that `site` begins after this one.
    #[must_use]
    pub fn next(self, site: SiteCode) -> Self {
        let generation = (self.generation() + 1).min(Self::GENERATION_MAX);
        Self(generation << 16 | u32::from(site.number()))
    }

    /// The site whose keys sign versions of `package` in this epoch; `None` when the number is no
    /// site's.
    pub fn signer(self, package: PackageId) -> Option<SiteCode> {
        if self.generation() == 0 {
            return Some(package.site());
        }
        SiteCode::of_number(u16::try_from(self.0 & 0xffff).unwrap_or(u16::MAX))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One content version of one package. The pair (epoch, version) only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentVersion {
    /// The package.
    pub package: PackageId,
    /// The owning site's epoch.
    pub epoch: Epoch,
    /// The source version.
    pub version: SourceVersion,
}

impl fmt::Display for ContentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.package, self.version)
    }
}
