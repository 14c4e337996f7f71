//! How a machine becomes a distribution point: it shows a token and is given a certificate.
//!
//! Before anything is sent, the far end must show a chain up to the authority whose fingerprint the
//! token carries.
//!
//! Source: docs/formats/link.md, "Enrolment".

use std::path::Path;
use std::time::Duration;

use restock_names::SiteCode;

use crate::authority::request_for;
use crate::enrolment::Enrolment;
use crate::message::Message;
use crate::site_message::JoiningSite;
use crate::tls::joining_config;
use crate::token::TokenKind;
use crate::{DpIdentity, EnrolmentToken, Fingerprint, LinkError, PROTOCOL, SiteUrl, TrustError, stream};

/// How long the site may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a machine was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is for another kind of machine.
    #[error("TOKEN_KIND: the token enrols a site, not a distribution point")]
    Kind,
    /// The token is for another kind of machine.
    #[error("TOKEN_KIND: the token enrols a distribution point, not a site")]
    NotForSite,
    /// The token is for another site, or was made by the site that wants to join.
    #[error("TOKEN_NAME: the token lets site {token} join site {at}; this is site {own}")]
    OtherSite { token: String, at: SiteCode, own: SiteCode },
    /// The link: no connection, another site, or the site refused (`TOKEN_USED`, `TOKEN_EXPIRED`, …).
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Keys could not be made or kept.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The site at this address gave another authority than the token names.
    #[error("IDENTITY: the site's authority has fingerprint {found}, the token names {wanted}")]
    Authority { wanted: Fingerprint, found: Fingerprint },
}

/// Enrols this machine at the site at `url` and keeps the identity in `folder`.
///
/// Errors: [`EnrolError`]. After a failure it can be called again with the same folder: the key that
/// was made is kept, so a site whose answer was lost can recognise the machine.
pub async fn enrol(url: &SiteUrl, token: &EnrolmentToken, folder: &Path) -> Result<DpIdentity, EnrolError> {
    if token.kind() != TokenKind::DistributionPoint {
        return Err(EnrolError::Kind);
    }
    let key = DpIdentity::prepare(folder)?;
    let enrolment = redeem(url, token, request_for(&key)?, None).await?;
    Ok(DpIdentity::save(folder, token.site(), token.name(), enrolment)?)
}

/// Shows the token to the site at `url` with a certificate request, and what a site that joins says of
/// itself; gives what the site answered, its authority being the one the token names.
pub(crate) async fn redeem(
    url: &SiteUrl,
    token: &EnrolmentToken,
    request: Vec<u8>,
    site: Option<JoiningSite>,
) -> Result<Enrolment, EnrolError> {
    let config = joining_config(token.authority_fingerprint())?;
    let (mut reader, mut writer) = stream::connect(url, token.site(), config).await?;
    let request = Message::Enrol {
        protocol: PROTOCOL,
        secret: token.secret().to_vec(),
        name: token.name().clone(),
        request,
        site,
    };
    writer.message(&request).await?;
    let answer = reader.message("answer the enrolment", ANSWER_TIMEOUT).await?;
    writer.close().await;
    match answer {
        Message::Enrolled { site: _, certificate, authority, root_key, key_list, authorities } => {
            let found = Fingerprint::of(&authority);
            if found != token.authority_fingerprint() {
                return Err(EnrolError::Authority { wanted: token.authority_fingerprint(), found });
            }
            Ok(Enrolment { url: url.clone(), certificate, authority, root_key, key_list, authorities })
        }
        Message::Refused(refusal) => Err(LinkError::Refused(refusal).into()),
        _ => Err(LinkError::Unexpected("another answer to an enrolment").into()),
    }
}
