//! The one row about the site itself.

use restock_names::{Epoch, SiteCode, Timestamp};

use crate::admin::TYPE_SITE;
use crate::hierarchy::{STATUS_ACTIVE, SiteRow, SiteType};
use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

/// What the site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Its code.
    pub code: SiteCode,
    /// Raised by a restore or a promotion.
    pub epoch: Epoch,
    /// SHA-256 of the certificate of its CA, in hex.
    pub ca_fingerprint: String,
    /// Its root public key, in hex.
    pub root_public_key: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Tx {
    /// The site; `None` before `site init` has ended.
    pub async fn site(&mut self) -> Result<Option<Site>, DatabaseError> {
        let row = self
            .row("SELECT site_code, epoch, ca_fingerprint, root_public_key, created_at FROM site", bind![])
            .await?;
        row.map(|row: Row| {
            Ok(Site {
                code: row.parse("site_code")?,
                epoch: row.epoch("epoch")?,
                ca_fingerprint: row.text("ca_fingerprint")?,
                root_public_key: row.text("root_public_key")?,
                created_at: row.time("created_at")?,
            })
        })
        .transpose()
    }

    /// Makes the site's row: the last step of `site init`.
    pub async fn insert_site(&mut self, site: &Site) -> Result<(), DatabaseError> {
        self.execute(
            "INSERT INTO site (one, site_code, epoch, ca_fingerprint, root_public_key, created_at)
             VALUES (1, $1, $2, $3, $4, $5)",
            bind![site.code, site.epoch, &site.ca_fingerprint, &site.root_public_key, site.created_at],
        )
        .await?;
        for built_in in [
            "UPDATE roles SET created_at = $1, modified_at = $1 WHERE is_built_in = 1",
            "UPDATE scopes SET created_at = $1, modified_at = $1 WHERE is_built_in = 1",
        ] {
            self.execute(built_in, bind![site.created_at]).await?;
        }
        // What makes it one of the sites of a hierarchy: `put_site` tells more of it later.
        let row = SiteRow {
            code: site.code,
            parent: None,
            site_type: SiteType::Primary,
            name: site.code.to_string(),
            server_name: String::new(),
            url: String::new(),
            software: String::new(),
            root_public_key: site.root_public_key.clone(),
            key_list: Vec::new(),
            ca_fingerprint: site.ca_fingerprint.clone(),
            status: STATUS_ACTIVE,
        };
        self.put_site(&row).await?;
        self.scope_by_default(TYPE_SITE, site.code.as_str()).await
    }
}
