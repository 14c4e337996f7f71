//! Who is at the other end: identities in certificates, key fingerprints, the address of a site.

use std::fmt;
use std::str::FromStr;

use restock_names::{Digest, DistributionPointName, SiteCode};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;

/// The default port of a site's link.
const PORT_DEFAULT: u16 = 8720;

/// Whom a certificate names, as the one URI in its subject alternative names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// `restock://XYZ/site`
    Site(SiteCode),
    /// `restock://XYZ/dp/NAME`
    DistributionPoint(SiteCode, DistributionPointName),
}

/// Why a certificate or a URI names no identity. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The bytes are not a certificate.
    #[error("IDENTITY: the peer's certificate cannot be read")]
    Certificate,
    /// No URI, or more than one.
    #[error("IDENTITY: the peer's certificate has {0} URIs, one is wanted")]
    Count(usize),
    /// A URI of another form.
    #[error("IDENTITY: {0:?} is not an identity: restock://SITE/site or restock://SITE/dp/NAME is wanted")]
    Form(String),
}

impl Identity {
    /// The identity a certificate carries.
    ///
    /// Errors: [`IdentityError`]. The signature is the TLS layer's matter.
    pub fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_broken| IdentityError::Certificate)?;
        let names = parsed.subject_alternative_name().map_err(|_broken| IdentityError::Certificate)?;
        let uris: Vec<&str> = names
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        match uris[..] {
            [uri] => uri.parse(),
            _ => Err(IdentityError::Count(uris.len())),
        }
    }

    /// The site the identity belongs to.
    pub fn site(&self) -> SiteCode {
        match self {
            Self::Site(site) | Self::DistributionPoint(site, _) => *site,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => write!(f, "restock://{site}/site"),
            Self::DistributionPoint(site, name) => write!(f, "restock://{site}/dp/{name}"),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let parse = || {
            let (site, role) = text.strip_prefix("restock://")?.split_once('/')?;
            let site = site.parse().ok()?;
            match role.split_once('/') {
                None if role == "site" => Some(Self::Site(site)),
                Some(("dp", name)) => Some(Self::DistributionPoint(site, name.parse().ok()?)),
                _ => None,
            }
        };
        // Only the canonical form: one identity has one spelling.
        parse()
            .filter(|identity| identity.to_string() == text)
            .ok_or_else(|| IdentityError::Form(text.chars().take(120).collect()))
    }
}

/// SHA-256 of an enrolled public key (its SubjectPublicKeyInfo in DER), or of a whole certificate
/// where that is said. Shown as 64 lower-case hex digits.
///
/// An enrolled identity is the pair (name, key fingerprint): certificates are renewed, the key stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub Digest);

impl Fingerprint {
    /// The fingerprint of all of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(crate::tls::sha256(bytes))
    }

    /// The fingerprint of a certificate's public key.
    pub fn of_key_in(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let (_, parsed) =
            x509_parser::parse_x509_certificate(certificate).map_err(|_broken| IdentityError::Certificate)?;
        Ok(Self::of(parsed.tbs_certificate.subject_pki.raw))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Fingerprint {
    type Err = restock_names::DigestError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Where a site's link listens: `restock://host:8720`.
///
/// Parsed with or without the scheme and with or without the port; IPv6 addresses in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SiteUrl {
    host: String,
    port: u16,
}

/// Why a text is not the address of a site's link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the address of a site's link: restock://HOST:PORT is wanted, such as restock://site.example:8720"
)]
pub struct SiteUrlError(String);

impl SiteUrl {
    /// The address of a listener on this machine or another.
    pub fn of_address(address: std::net::SocketAddr) -> Self {
        let host = match address {
            std::net::SocketAddr::V4(v4) => v4.ip().to_string(),
            std::net::SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        Self { host, port: address.port() }
    }

    /// `host:port`, as a resolver takes it.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for SiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restock://{}:{}", self.host, self.port)
    }
}

impl FromStr for SiteUrl {
    type Err = SiteUrlError;

    fn from_str(text: &str) -> Result<Self, SiteUrlError> {
        let parse = || {
            let rest = match text.split_once("://") {
                None => text,
                Some(("restock", rest)) => rest,
                Some(_) => return None,
            };
            let rest = rest.strip_suffix('/').unwrap_or(rest);
            let (host, port) = match rest.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
                _ => (rest, PORT_DEFAULT),
            };
            let is_host = (1..=253).contains(&host.len())
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b))
                && (host.starts_with('[') == host.contains(':'));
            (is_host && port != 0).then(|| Self { host: host.to_owned(), port })
        };
        parse().ok_or_else(|| SiteUrlError(text.chars().take(120).collect()))
    }
}

impl TryFrom<String> for SiteUrl {
    type Error = SiteUrlError;
    fn try_from(text: String) -> Result<Self, SiteUrlError> {
        text.parse()
    }
}

impl From<SiteUrl> for String {
    fn from(url: SiteUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, SiteUrl};

    #[test]
    fn an_identity_has_one_spelling() {
        for good in ["restock://XYZ/site", "restock://XYZ/dp/DP01"] {
            assert_eq!(good.parse::<Identity>().unwrap().to_string(), good);
        }
        for bad in [
            "restock://xyz/site",
            "restock://XYZ/dp/dp01",
            "restock://XYZ/dp/",
            "restock://XYZ/dp/A/B",
            "restock://XYZ",
            "restock://XYZ/site/",
            "https://XYZ/site",
            "",
        ] {
            assert!(bad.parse::<Identity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn site_addresses_are_read_in_their_short_forms() {
        for (text, shown) in [
            ("site.example", "restock://site.example:8720"),
            ("127.0.0.1:99", "restock://127.0.0.1:99"),
            ("restock://a-b:1/", "restock://a-b:1"),
            ("[::1]:7", "restock://[::1]:7"),
            ("[::1]", "restock://[::1]:8720"),
        ] {
            assert_eq!(text.parse::<SiteUrl>().unwrap().to_string(), shown);
        }
        for bad in ["", "https://x", "a b", "x:0", "x:70000", "::1", "x/y"] {
            assert!(bad.parse::<SiteUrl>().is_err(), "{bad}");
        }
    }
}
