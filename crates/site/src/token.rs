//! Enrolment tokens: made here, redeemed through the link.

use std::time::Duration;

use restock_names::{Digest, DistributionPointName, Timestamp};
use restock_sitedb::hierarchy::SiteType;
use restock_sitedb::token::Token;
use restock_sitedb::{DatabaseError, Tx};
use restock_transfer::{Fingerprint, Refusal, TokenKind};
use serde::{Deserialize, Serialize};

use crate::{Site, SiteError};

const LIFE_MIN: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A token that was made. Its text is shown once and never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// What the administrator carries to the machine that is to join.
    pub token: String,
    /// `dp` or `site`.
    pub kind: String,
    /// The name it joins under.
    pub name: String,
    /// It is refused from then on.
    pub expires_at: Timestamp,
}

fn word(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::DistributionPoint => "dp",
        TokenKind::Site => "site",
    }
}

impl Site {
    /// Makes a token by which one machine may join under `name`, once, within `valid`.
    ///
    /// Errors: [`SiteError::TokenLife`], [`SiteError::Type`], the database, no randomness.
    pub async fn create_token(
        &self,
        kind: TokenKind,
        name: &DistributionPointName,
        valid: Duration,
    ) -> Result<TokenMade, SiteError> {
        if !(LIFE_MIN..=LIFE_MAX).contains(&valid) {
            return Err(SiteError::TokenLife);
        }
        if kind == TokenKind::DistributionPoint && self.site_type().await? == SiteType::Central {
            return Err(SiteError::Type("a central site has no distribution points"));
        }
        let token = self.trust().new_token(kind, name)?;
        let now = self.clock().now();
        let kept = Token {
            hash: token.hash(),
            kind: word(kind).to_owned(),
            name: name.to_string(),
            created_at: now,
            expires_at: now.after(valid),
            used_at: None,
            used_by: None,
        };
        let made = TokenMade {
            token: token.to_string(),
            kind: kept.kind.clone(),
            name: kept.name.clone(),
            expires_at: kept.expires_at,
        };
        let done: Result<(), DatabaseError> = self
            .database()
            .transact("create_token", move |tx| Box::pin(async move { tx.insert_token(&kept).await }))
            .await;
        done?;
        Ok(made)
    }
}

/// A token as its bearer shows it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// SHA-256 of its secret.
    pub(crate) hash: Digest,
    /// What the bearer wants to be.
    pub(crate) kind: TokenKind,
    /// The name it wants.
    pub(crate) name: String,
    /// Its public key.
    pub(crate) key: Fingerprint,
    /// Whether that key is enrolled under the name already: an answer was lost and it asks again. One
    /// that was removed meanwhile needs another token.
    pub(crate) is_enrolled: bool,
}

/// Redeems a token; the caller enrols its bearer in the same transaction.
///
/// The outer error is the database's; the inner one a refusal that changed nothing.
pub(crate) async fn redeem(
    tx: &mut Tx,
    shown: &Shown,
    now: Timestamp,
) -> Result<Result<(), Refusal>, DatabaseError> {
    let checked = check(tx, shown, now).await?;
    // Who is enrolled and shows a fresh token has used that one too.
    if checked.is_ok() {
        tx.use_token(shown.hash, shown.key.0, now).await?;
    }
    Ok(checked)
}

/// Says whether a token would be redeemed, and changes nothing.
pub(crate) async fn check(
    tx: &mut Tx,
    shown: &Shown,
    now: Timestamp,
) -> Result<Result<(), Refusal>, DatabaseError> {
    let Some(token) = tx.token(shown.hash).await? else {
        return Ok(Err(Refusal::new("TOKEN_UNKNOWN", "this site made no such token")));
    };
    if token.kind != word(shown.kind) || token.name != shown.name {
        let text = format!("the token is for {} {}, not for {}", token.kind, token.name, shown.name);
        return Ok(Err(Refusal::new("TOKEN_NAME", text)));
    }
    if token.expires_at <= now {
        return Ok(Err(Refusal::new("TOKEN_EXPIRED", format!("the token ended at {}", token.expires_at))));
    }
    let may_be_shown = token.used_by.is_none_or(|key| key == shown.key.0 && shown.is_enrolled);
    if !may_be_shown {
        return Ok(Err(Refusal::new("TOKEN_USED", "the token was used already")));
    }
    Ok(Ok(()))
}
