//! Enrolling a machine: the site's half.

use std::net::SocketAddr;
use std::time::Duration;

use restock_content::statement::PublicKey;
use restock_names::{DistributionPointName, SiteCode};
use rustls::pki_types::CertificateDer;

use super::{EnrolRequest, EnrolSiteRequest, Shared, SiteSide};
use crate::authority::LEAF_LIFE;
use crate::enrolment::check_key_list;
use crate::message::Message;
use crate::site_message::JoiningSite;
use crate::token::{TokenKind, hash_of_secret};
use crate::{Fingerprint, Refusal};

/// How long a refusal takes: two a second at most, from all machines together.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);

/// What a machine asks for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) remote: SocketAddr,
    /// The authority by which it knows this site.
    pub(super) authority: CertificateDer<'static>,
    pub(super) secret: Vec<u8>,
    pub(super) name: DistributionPointName,
    pub(super) request: Vec<u8>,
}

/// Answers one machine.
pub(super) async fn answer<S: SiteSide>(
    shared: &Shared<S>,
    asked: Asked,
    site: Option<JoiningSite>,
) -> Message {
    let _turn = shared.enrolments.lock().await;
    let answer = match site {
        None => enrol(shared, asked).await,
        Some(site) => enrol_site(shared, asked, site).await,
    };
    match answer {
        Ok(enrolled) => enrolled,
        Err(refusal) => {
            tokio::time::sleep(REFUSAL_DELAY).await;
            Message::Refused(refusal)
        }
    }
}

/// Signs a certificate for the machine if its token holds.
///
/// The certificate is made before the token is redeemed and thrown away when it is not: a redeemed
/// token always has an answer.
async fn enrol<S: SiteSide>(shared: &Shared<S>, asked: Asked) -> Result<Message, Refusal> {
    let Asked { remote, authority, secret, name, request } = asked;
    let now = shared.run.clock.now();
    let issued = shared.trust.issue(&name, &request, now).and_then(|certificate| {
        let fingerprint = Fingerprint::of_key_in(&certificate)?;
        Ok((certificate, fingerprint))
    });
    let (certificate, fingerprint) = issued.map_err(|error| {
        tracing::info!(point = %name, %remote, %error, "certificate request refused");
        Refusal::new("ENROL_REQUEST", "the certificate request is not valid")
    })?;
    let enrolment = EnrolRequest {
        token_hash: hash_of_secret(&secret),
        kind: TokenKind::DistributionPoint,
        name: name.clone(),
        fingerprint,
        expires_at: now.after(LEAF_LIFE),
        remote,
    };
    shared.side.enrol(enrolment).await.inspect_err(|refusal| {
        tracing::info!(point = %name, %remote, code = refusal.code, "enrolment refused");
    })?;
    tracing::info!(point = %name, %remote, fingerprint = %fingerprint, "distribution point enrolled");
    Ok(enrolled(shared, &certificate, &authority))
}

/// Signs a certificate for a site below if its token holds.
///
/// What it says of itself is checked before the token is looked up: the key list must be signed by
/// its root key and be of the site whose code the token names, and that is not this site.
async fn enrol_site<S: SiteSide>(
    shared: &Shared<S>,
    asked: Asked,
    joining: JoiningSite,
) -> Result<Message, Refusal> {
    let Asked { remote, authority, secret, name, request } = asked;
    let refused = |text: &str| {
        tracing::info!(site = %name, %remote, text, "enrolment of a site refused");
        Refusal::new("ENROL_REQUEST", text)
    };
    let site: SiteCode = name
        .as_str()
        .parse()
        .ok()
        .filter(|site| *site != shared.trust.site())
        .ok_or_else(|| refused("the name is not the code of another site"))?;
    let root_key = joining.root_key.try_into().map_err(|_length| refused("the root key has not 32 bytes"))?;
    let root_key = PublicKey(root_key);
    let key_list = check_key_list(&joining.key_list, site, &root_key)
        .map_err(|error| refused(&format!("the key list is not accepted: {error}")))?;
    let now = shared.run.clock.now();
    let issued = shared.trust.issue_to_site(site, &request, now).and_then(|certificate| {
        let fingerprint = Fingerprint::of_key_in(&certificate)?;
        Ok((certificate, fingerprint))
    });
    let (certificate, fingerprint) =
        issued.map_err(|_error| refused("the certificate request is not valid"))?;
    let enrolment = EnrolSiteRequest {
        token_hash: hash_of_secret(&secret),
        site,
        fingerprint,
        expires_at: now.after(LEAF_LIFE),
        root_key,
        key_list,
        authority: joining.authority,
        url: joining.url,
        remote,
    };
    shared.side.enrol_site(enrolment).await.inspect_err(|refusal| {
        tracing::info!(%site, %remote, code = refusal.code, "enrolment of a site refused");
    })?;
    tracing::info!(%site, %remote, %fingerprint, "site enrolled");
    // Whoever was connected under this code with another key is so no more.
    shared.links.disconnect_site(site);
    Ok(enrolled(shared, &certificate, &authority))
}

fn enrolled<S>(
    shared: &Shared<S>,
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
) -> Message {
    let keys = shared.trust.key_list();
    Message::Enrolled {
        site: shared.trust.site(),
        certificate: certificate.to_vec(),
        authority: authority.to_vec(),
        root_key: keys.root.0.to_vec(),
        key_list: keys.encode(),
        authorities: shared.trust.authority_list().map_or_else(Vec::new, |list| list.encode()),
    }
}
