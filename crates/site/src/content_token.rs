//! Content tokens: made here, verified by distribution points without asking.

use std::time::Duration;

use restock_content::statement::{TOKEN_LIFE_MAX, TOKEN_PACKAGES_MAX};
use restock_names::{PackageId, Timestamp};
use restock_transfer::content_token_text;
use serde::{Deserialize, Serialize};

use crate::{Site, SiteError};

const LIFE_MIN: Duration = Duration::from_secs(60);

/// A content token that was made. Its text is shown once and never stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentTokenMade {
    /// What its holder shows to distribution points of this site.
    pub token: String,
    /// Names it in the logs of distribution points, 32 hex digits.
    pub id: String,
    /// The packages it opens; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<PackageId>>,
    /// It opens nothing from then on.
    pub expires_at: Timestamp,
}

impl Site {
    /// Makes a token that lets its holder read `packages` (`None`: all) at this site's distribution
    /// points for as long as `valid`. It cannot be taken back.
    ///
    /// Errors: [`SiteError::ContentTokenLife`], [`SiteError::ContentTokenPackages`], no randomness.
    pub fn create_content_token(
        &self,
        packages: Option<Vec<PackageId>>,
        valid: Duration,
    ) -> Result<ContentTokenMade, SiteError> {
        if !(LIFE_MIN..=TOKEN_LIFE_MAX).contains(&valid) {
            return Err(SiteError::ContentTokenLife);
        }
        if packages
            .as_ref()
            .is_some_and(|packages| packages.is_empty() || packages.len() > TOKEN_PACKAGES_MAX)
        {
            return Err(SiteError::ContentTokenPackages);
        }
        let now = self.clock().now();
        let token = self.trust().content_token(packages, (now, now.after(valid)))?;
        let id: String = token.id.iter().map(|byte| format!("{byte:02x}")).collect();
        let packages = token.packages.as_ref().map_or(-1, |packages| packages.len() as i64);
        tracing::info!(token = %id, packages, until = %token.expires_at, "a content token was made");
        Ok(ContentTokenMade {
            token: content_token_text(&token),
            id,
            expires_at: token.expires_at,
            packages: token.packages,
        })
    }
}
