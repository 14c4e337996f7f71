//! What `site init --parent` and `site join` share.

use std::sync::Arc;

use restock_names::{Clock, SiteCode};
use restock_site::{Joined, Site, SiteConfig};
use restock_transfer::{EnrolmentToken, SiteUrl, TokenKind};

use crate::config::SiteSettings;
use crate::control::site_failure;
use crate::failure::{Failure, Kind};

/// Checks that a token can let site `code` in. Nothing is sent.
///
/// Errors: kind refused, `TOKEN_KIND` or `TOKEN_NAME`.
pub(super) fn check_token(token: &EnrolmentToken, code: SiteCode) -> Result<(), Failure> {
    let (name, above) = (token.name(), token.site());
    let refusal = if token.kind() != TokenKind::Site {
        format!("TOKEN_KIND: the token enrols distribution point {name} at site {above}, not a site")
    } else if name.as_str() != code.as_str() {
        format!("TOKEN_NAME: the token lets site {name} join site {above}; this is site {code}")
    } else {
        return Ok(());
    };
    Err(Failure::refused(refusal).hint(new_token(code, above)))
}

fn new_token(code: impl std::fmt::Display, above: SiteCode) -> String {
    format!("restock token create {code} --kind site, at site {above}, makes a new token")
}

/// Where other sites reach this one.
pub(super) fn own_url(settings: &SiteSettings) -> Result<SiteUrl, Failure> {
    let url = settings.url();
    url.parse().map_err(|e| {
        Failure::caused(Kind::Usage, format!("other sites cannot connect to {url}"), &e)
            .hint("--url restock://NAME:PORT")
    })
}

/// Joins the site of `config`, which does not run, to the one at `url`.
pub(super) async fn join(
    config: &SiteConfig,
    url: &SiteUrl,
    token: &EnrolmentToken,
    own_url: &SiteUrl,
    clock: Arc<dyn Clock>,
) -> Result<Joined, Failure> {
    let joined = Site::join(config, url, &token.to_string(), own_url, clock).await;
    joined.map_err(|error| {
        let mut failure = site_failure(error);
        if failure.code.as_deref().is_some_and(|code| code.starts_with("TOKEN_")) {
            failure.kind = Kind::Refused;
        }
        if failure.hints.is_empty() {
            failure.hints.push(match failure.code.as_deref() {
                Some(code) if code.starts_with("TOKEN_") => new_token(token.name(), token.site()),
                Some("IDENTITY") => format!("check that site {} is the one at {url}", token.site()),
                _ => format!("check that site {} runs and that {url} reaches it", token.site()),
            });
        }
        failure
    })
}
