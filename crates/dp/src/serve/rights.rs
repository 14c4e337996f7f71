//! Who asks, and what they may read.
//!
//! A right is a content token, or the certificate of an enrolled holder on a TLS listener. Tokens
//! that were verified are remembered for a minute, so that a client which shows one with every
//! request costs one signature a minute.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use restock_content::statement::{ContentToken, KeyList};
use restock_names::{Clock, PackageId, Timestamp};
use restock_transfer::{DpIdentity, parse_content_token};

use super::head::Head;

/// Tokens remembered; when there are more, all are forgotten.
const TOKENS_MAX: usize = 1_024;
/// How long a verified token is remembered.
const REMEMBERED: Duration = Duration::from_secs(60);
/// The longest `Authorization` that is read, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 8 * 1024;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Anybody: only public packages.
    Anonymous,
    /// On a listener that is set to serve every package.
    Trusted,
    /// A holder enrolled at the site, by its certificate.
    Holder,
    /// Who shows a content token.
    Token(Arc<ContentToken>),
}

impl Caller {
    /// Whether a package that is not public may be read.
    pub(crate) fn may_read(&self, package: &PackageId) -> bool {
        match self {
            Self::Anonymous => false,
            Self::Trusted | Self::Holder => true,
            Self::Token(token) => token.covers(package),
        }
    }
}

/// Where the keys are that sign content tokens.
#[derive(Debug, Clone)]
pub enum ContentKeys {
    /// The newest key list of an enrolled distribution point's site.
    Enrolled(Arc<DpIdentity>),
    /// This list.
    Listed(Arc<KeyList>),
}

impl ContentKeys {
    fn list(&self) -> KeyList {
        match self {
            Self::Enrolled(identity) => identity.key_list(),
            Self::Listed(list) => KeyList::clone(list),
        }
    }
}

/// Verifies what a request shows.
#[derive(Debug)]
pub(crate) struct Rights {
    keys: ContentKeys,
    clock: Arc<dyn Clock>,
    verified: Mutex<HashMap<String, (Arc<ContentToken>, Instant)>>,
}

impl Rights {
    pub(crate) fn new(keys: ContentKeys, clock: Arc<dyn Clock>) -> Self {
        Self { keys, clock, verified: Mutex::default() }
    }

    /// Who sends `head`, when without it they are `otherwise`.
    pub(crate) fn caller(&self, head: &Head, otherwise: &Caller) -> Caller {
        let Some(shown) = head.only("authorization") else { return otherwise.clone() };
        if !matches!(otherwise, Caller::Anonymous) || shown.len() > AUTHORIZATION_BYTES_MAX {
            return otherwise.clone();
        }
        let token = token_in(shown).and_then(|text| self.token(&text));
        token.map_or(Caller::Anonymous, Caller::Token)
    }

    fn token(&self, text: &str) -> Option<Arc<ContentToken>> {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        if let Some(token) = self.remembered(text, now, at) {
            return Some(token);
        }
        let token = match parse_content_token(text) {
            Ok(token) => Arc::new(token),
            Err(error) => {
                tracing::debug!(target: "smsdpprov", %error, "a content token gives no right");
                return None;
            }
        };
        if let Err(error) = token.verify(&self.keys.list(), now) {
            let id: String = token.id.iter().map(|b| format!("{b:02x}")).collect();
            tracing::debug!(target: "smsdpprov", token = %id, error = %error, "a content token gives no right");
            return None;
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= TOKENS_MAX {
            verified.clear();
        }
        verified.insert(text.to_owned(), (Arc::clone(&token), at));
        Some(token)
    }

    fn remembered(&self, text: &str, now: Timestamp, at: Instant) -> Option<Arc<ContentToken>> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, since) = verified.get(text)?;
        let is_fresh = at.saturating_duration_since(*since) < REMEMBERED;
        (is_fresh && token.expires_at > now).then(|| Arc::clone(token))
    }
}

/// The token in an `Authorization` header: a bearer's, or the password of Basic.
fn token_in(header: &[u8]) -> Option<String> {
    let (scheme, value) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_user, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Caller, ContentKeys, REMEMBERED, Rights, token_in};
    use crate::serve::head::tests::head;
    use restock_content::statement::{ContentToken, KeyList, SigningKey};
    use restock_names::{Clock, ManualClock, PackageId, Timestamp};
    use restock_transfer::content_token_text;

    #[test]
    fn a_token_is_a_bearers_or_a_password() {
        assert_eq!(token_in(b"Bearer rct_x").as_deref(), Some("rct_x"));
        assert_eq!(token_in(b"basic YTpyY3RfeA==").as_deref(), Some("rct_x"));
        for other in [&b"Basic YQ=="[..], b"Basic ?", b"Digest x", b"rct_x", b"Bearer\xff x"] {
            assert_eq!(token_in(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_token_gives_its_packages_until_its_time_is_over() {
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000_000_000)));
        let key = SigningKey::from_bytes(&[2; 32]);
        let site = "XYZ".parse().expect("valid");
        let keys = KeyList::sign(site, 1, vec![key.public()], &SigningKey::from_bytes(&[1; 32]));
        let rights = Rights::new(ContentKeys::Listed(Arc::new(keys)), clock.clone());
        let package = |text: &str| text.parse::<PackageId>().expect("valid");
        let times = (clock.now(), clock.now().after(REMEMBERED * 3));
        let sign = |key: &SigningKey| {
            let packages = Some(vec![package("XYZ00001")]);
            content_token_text(&ContentToken::sign(site, [7; 16], times, packages, key))
        };
        let may_read = |text: &str, id: &str| {
            let head = head(&[("Authorization", &format!("Bearer {text}"))]);
            rights.caller(&head, &Caller::Anonymous).may_read(&package(id))
        };
        let (good, forged) = (sign(&key), sign(&SigningKey::from_bytes(&[3; 32])));
        for _ in 0..3 {
            assert!(may_read(&good, "XYZ00001") && !may_read(&good, "XYZ00002"));
            assert!(!may_read(&forged, "XYZ00001") && !may_read("rct_", "XYZ00001"));
            clock.advance(REMEMBERED / 2 + Duration::from_secs(1));
        }
        clock.advance(REMEMBERED * 2);
        assert!(!may_read(&good, "XYZ00001"), "its time is over");
        let none = head(&[]);
        assert!(rights.caller(&none, &Caller::Trusted).may_read(&package("XYZ00002")));
    }
}
