//! Making certificates: a site's authority, the leaves it signs, requests for them.
//!
//! P-256 throughout. A leaf carries one URI (the identity) and, for the site, one DNS name that
//! clients ask for instead of a host name, so that a site can be reached under any address.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use restock_names::{SiteCode, Timestamp};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::{Fingerprint, Identity, TrustError};

const DAY: Duration = Duration::from_secs(86_400);
/// How long a leaf is valid.
pub(crate) const LEAF_LIFE: Duration = DAY.saturating_mul(60);
/// When a leaf is renewed: at two thirds of its life.
const LEAF_RENEW_AFTER: Duration = DAY.saturating_mul(40);
/// How long an authority is valid.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(3_653);
/// Certificates begin this long before they are made, for machines whose clocks are behind.
const BACKDATE: Duration = DAY;

/// A site's own certificate authority.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A new key pair on P-256.
pub(crate) fn new_key() -> Result<KeyPair, TrustError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed("generate a key"))
}

/// The name a site's certificate carries and its clients ask for.
pub(crate) fn site_server_name(site: SiteCode) -> String {
    format!("{}.site.restock.internal", site.as_str().to_ascii_lowercase())
}

/// True when a certificate has lived two thirds of its life, or cannot be read.
pub(crate) fn is_due(certificate: &CertificateDer<'_>, now: Timestamp) -> bool {
    x509_parser::parse_x509_certificate(certificate).map_or(true, |(_, parsed)| {
        let begins = Timestamp(parsed.validity().not_before.timestamp().saturating_mul(1_000_000));
        now.since(begins) >= BACKDATE + LEAF_RENEW_AFTER || now < begins
    })
}

/// True when a certificate carries the signature of an authority's key.
pub(crate) fn is_issued_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let leaf = x509_parser::parse_x509_certificate(certificate);
    let authority = x509_parser::parse_x509_certificate(authority);
    match (leaf, authority) {
        (Ok((_, leaf)), Ok((_, authority))) => leaf.verify_signature(Some(authority.public_key())).is_ok(),
        _ => false,
    }
}

impl Authority {
    /// Makes an authority for `site`; the key is returned for keeping.
    pub(crate) fn create(site: SiteCode, now: Timestamp) -> Result<(Self, String), TrustError> {
        let key = new_key()?;
        let pem = key.serialize_pem();
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("Restock {site} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, now, AUTHORITY_LIFE);
        let certificate =
            params.self_signed(&key).map_err(failed("sign the authority's certificate"))?.der().clone();
        Ok((Self { issuer: Issuer::new(params, key), certificate }, pem))
    }

    /// The authority whose key and certificate were kept.
    pub(crate) fn load(key_pem: &str, certificate: CertificateDer<'static>) -> Result<Self, TrustError> {
        let key = KeyPair::from_pem(key_pem).map_err(failed("read the authority's key"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(failed("read the authority's certificate"))?;
        Ok(Self { issuer, certificate })
    }

    /// SHA-256 of the authority's certificate.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Signs the leaf a site's own listener shows, over `key`.
    pub(crate) fn issue_for_listener(
        &self,
        site: SiteCode,
        key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        self.issue(&Identity::Site(site), key, now, true)
    }

    /// Signs a leaf for `identity` over `key`. Only one for a listener carries a name to ask for.
    fn issue(
        &self,
        identity: &Identity,
        key: &impl PublicKeyData,
        now: Timestamp,
        listens: bool,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&identity.to_string());
        let uri = identity.to_string().try_into().map_err(failed("name a certificate"))?;
        params.subject_alt_names.push(SanType::URI(uri));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if let (Identity::Site(site), true) = (identity, listens) {
            let dns = site_server_name(*site).try_into().map_err(failed("name a certificate"))?;
            params.subject_alt_names.push(SanType::DnsName(dns));
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, now, LEAF_LIFE);
        let certificate = params.signed_by(key, &self.issuer).map_err(failed("sign a certificate"))?;
        Ok(certificate.der().clone())
    }

    /// Signs a leaf for a listener under `names`, DNS names and addresses; it carries no identity.
    ///
    /// Errors: a name that no certificate can carry.
    pub(crate) fn issue_for_names(
        &self,
        names: &[String],
        key: &impl PublicKeyData,
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(names.first().map_or("Restock", String::as_str));
        for host in names {
            let is_name = host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if is_name => {
                    SanType::DnsName(host.clone().try_into().map_err(failed("name a certificate"))?)
                }
                Err(_) => return Err(failed("name a certificate")(rcgen::Error::InvalidNameType)),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, now, LEAF_LIFE);
        let certificate = params.signed_by(key, &self.issuer).map_err(failed("sign a certificate"))?;
        Ok(certificate.der().clone())
    }

    /// Signs a client's leaf for `identity` over the key of a request.
    ///
    /// Nothing else of the request is used. Errors: a request that is not signed by its own key.
    pub(crate) fn issue_for_request(
        &self,
        identity: &Identity,
        request: &[u8],
        now: Timestamp,
    ) -> Result<CertificateDer<'static>, TrustError> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
            .map_err(failed("read a certificate request"))?;
        self.issue(identity, &request.public_key, now, false)
    }
}

/// A request for a certificate over `key`, in DER: proof that its sender holds the key.
pub(crate) fn request_for(key: &KeyPair) -> Result<Vec<u8>, TrustError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(key).map_err(failed("sign a certificate request"))?;
    Ok(request.der().to_vec())
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn set_life(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let now = Duration::from_micros(u64::try_from(now.0).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATE);
    params.not_after = epoch + now + life;
}

fn failed(operation: &'static str) -> impl Fn(rcgen::Error) -> TrustError {
    move |source| TrustError::Certificate { operation, source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use restock_names::{Clock, SystemClock};

    use super::{Authority, is_due, is_issued_by, new_key, request_for};
    use crate::{Fingerprint, Identity};

    #[test]
    fn a_leaf_names_its_identity_keeps_its_key_and_is_due_at_two_thirds() {
        let now = SystemClock.now();
        let (authority, pem) = Authority::create("XYZ".parse().unwrap(), now).unwrap();
        let authority = Authority::load(&pem, authority.certificate().clone()).unwrap();
        let identity: Identity = "restock://XYZ/dp/DP01".parse().unwrap();
        let key = new_key().unwrap();
        let request = request_for(&key).unwrap();
        let leaf = authority.issue_for_request(&identity, &request, now).unwrap();
        let renewed = authority.issue_for_request(&identity, &request, now).unwrap();
        assert_eq!(Identity::of_certificate(&leaf).unwrap(), identity);
        assert_ne!(leaf, renewed);
        let (other, _) = Authority::create("XYZ".parse().unwrap(), now).unwrap();
        assert!(is_issued_by(&leaf, authority.certificate()) && !is_issued_by(&leaf, other.certificate()));
        assert_eq!(Fingerprint::of_key_in(&leaf).unwrap(), Fingerprint::of_key_in(&renewed).unwrap());
        let day = Duration::from_secs(86_400);
        assert!(!is_due(&leaf, now.after(39 * day)));
        assert!(is_due(&leaf, now.after(41 * day)));
        let mut forged = request;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(authority.issue_for_request(&identity, &forged, now).is_err());
    }
}
