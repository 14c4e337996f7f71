//! Content tokens as the text that people and programs carry.
//!
//! Source: docs/formats/content-token.md.

use restock_content::statement::{ContentToken, ContentTokenError};
use restock_names::{PackageId, Timestamp};

use crate::token::{from_base64url, to_base64url};
use crate::{SiteTrust, TrustError};

const PREFIX: &str = "rct_";
/// The text of the largest token has fewer characters.
const TEXT_MAX: usize = 4_096;

impl SiteTrust {
    /// A token of this site for `packages` (`None`: all), with an identifier of its own, that counts
    /// from one moment to another.
    ///
    /// Errors: no randomness.
    pub fn content_token(
        &self,
        packages: Option<Vec<PackageId>>,
        times: (Timestamp, Timestamp),
    ) -> Result<ContentToken, TrustError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|source| TrustError::Random { source })?;
        Ok(ContentToken::sign(self.site(), id, times, packages, self.signing_key()))
    }
}

/// `rct_` and the token's bytes in base64url without padding.
pub fn content_token_text(token: &ContentToken) -> String {
    format!("{PREFIX}{}", to_base64url(&token.encode()))
}

/// Reads a token's text. Neither signature nor time is checked.
pub fn parse_content_token(text: &str) -> Result<ContentToken, ContentTokenError> {
    let bytes = Some(text.trim())
        .filter(|text| text.len() <= TEXT_MAX)
        .and_then(|text| from_base64url(text.strip_prefix(PREFIX)?))
        .ok_or(ContentTokenError::Form)?;
    ContentToken::decode(&bytes)
}

#[cfg(test)]
mod tests {
    use super::{content_token_text, parse_content_token};
    use restock_content::statement::{ContentToken, ContentTokenError, SigningKey};
    use restock_names::Timestamp;

    #[test]
    fn a_text_comes_back_as_its_token_and_another_text_is_none() {
        let key = SigningKey::from_bytes(&[2; 32]);
        let times = (Timestamp(1), Timestamp(2));
        let token = ContentToken::sign("XYZ".parse().expect("valid"), [7; 16], times, None, &key);
        let text = content_token_text(&token);
        assert_eq!(parse_content_token(&format!(" {text}\n")), Ok(token));
        for other in ["", "rct_", "rst_abc", &text[1..], &format!("{text}A"), &"rct_A".repeat(2_000)] {
            assert_eq!(parse_content_token(other), Err(ContentTokenError::Form));
        }
    }
}
