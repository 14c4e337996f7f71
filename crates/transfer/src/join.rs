//! How a site joins the one above it: it shows a token and is given a certificate.
//!
//! Before anything is sent, the far end must show a chain up to the authority whose fingerprint the
//! token carries.
//!
//! Source: docs/formats/link.md, "Enrolment".

use std::path::Path;
use std::sync::Arc;

use crate::enrol::{EnrolError, redeem};
use crate::site_message::JoiningSite;
use crate::token::TokenKind;
use crate::{EnrolmentToken, SiteTrust, SiteUpstream, SiteUrl};

/// Enrols the site whose keys are `trust`, and whose own link listens at `own_url`, at the site at
/// `url`, and keeps the enrolment in `folder`.
///
/// Errors: [`EnrolError`]. After a failure it can be called again: the key is the site's own, so a
/// parent whose answer was lost recognises it.
pub async fn join(
    url: &SiteUrl,
    token: &EnrolmentToken,
    folder: &Path,
    trust: &Arc<SiteTrust>,
    own_url: &SiteUrl,
) -> Result<SiteUpstream, EnrolError> {
    if token.kind() != TokenKind::Site {
        return Err(EnrolError::NotForSite);
    }
    let own = trust.site();
    if token.site() == own || token.name().as_str() != own.as_str() {
        return Err(EnrolError::OtherSite { token: token.name().to_string(), at: token.site(), own });
    }
    SiteUpstream::prepare(folder)?;
    let keys = trust.key_list();
    let site = JoiningSite {
        root_key: keys.root.0.to_vec(),
        key_list: keys.encode(),
        authority: trust.authority_fingerprint(),
        url: own_url.clone(),
    };
    let enrolment = redeem(url, token, trust.link_request()?, Some(site)).await?;
    Ok(SiteUpstream::save(folder, trust, token.site(), enrolment)?)
}
