//! Enrolling a machine: the site's half.

use std::net::SocketAddr;
use std::time::Duration;

use restock_names::DistributionPointName;

use super::{EnrolRequest, Shared, SiteSide};
use crate::authority::LEAF_LIFE;
use crate::message::Message;
use crate::token::{TokenKind, hash_of_secret};
use crate::{Fingerprint, Refusal};

/// How long a refusal takes: two a second at most, from all machines together.
const REFUSAL_DELAY: Duration = Duration::from_millis(500);

/// Answers one machine.
pub(super) async fn answer<S: SiteSide>(
    shared: &Shared<S>,
    remote: SocketAddr,
    secret: &[u8],
    name: DistributionPointName,
    request: &[u8],
) -> Message {
    let _turn = shared.enrolments.lock().await;
    match enrol(shared, remote, secret, name, request).await {
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
async fn enrol<S: SiteSide>(
    shared: &Shared<S>,
    remote: SocketAddr,
    secret: &[u8],
    name: DistributionPointName,
    request: &[u8],
) -> Result<Message, Refusal> {
    let now = shared.run.clock.now();
    let issued = shared.trust.issue(&name, request, now).and_then(|certificate| {
        let fingerprint = Fingerprint::of_key_in(&certificate)?;
        Ok((certificate, fingerprint))
    });
    let (certificate, fingerprint) = issued.map_err(|error| {
        tracing::info!(point = %name, %remote, %error, "certificate request refused");
        Refusal::new("ENROL_REQUEST", "the certificate request is not valid")
    })?;
    let enrolment = EnrolRequest {
        token_hash: hash_of_secret(secret),
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
    let keys = shared.trust.key_list();
    Ok(Message::Enrolled {
        site: shared.trust.site(),
        certificate: certificate.to_vec(),
        authority: shared.trust.authority_certificate().to_vec(),
        root_key: keys.root.0.to_vec(),
        key_list: keys.encode(),
    })
}
