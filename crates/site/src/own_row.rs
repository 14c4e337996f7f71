//! What the site tells the others about itself: its row among the sites, kept up to date.

use restock_content::statement::KeyList;
use restock_names::SiteCode;
use restock_sitedb::announced::Announced;
use restock_sitedb::hierarchy::{STATUS_ACTIVE, SiteRow, SiteType};
use restock_sitedb::package::Package;
use restock_sitedb::version::Version;
use restock_sitedb::{DatabaseError, Tx};
use restock_transfer::SiteTrust;

use crate::keys::hex;
use crate::message::{chain, distmgr};
use crate::{Site, SiteConfig, SiteError};

/// How a site is made, beside its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it may have.
    pub site_type: SiteType,
    /// What people call it; its code when empty.
    pub name: String,
    /// The machine it runs on.
    pub server_name: String,
}

impl Default for Made {
    fn default() -> Self {
        Self::from(SiteType::Primary)
    }
}

impl From<SiteType> for Made {
    fn from(site_type: SiteType) -> Self {
        Self { site_type, name: String::new(), server_name: String::new() }
    }
}

/// What configuration and keys say about the site.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    own: SiteCode,
    site_type: Option<SiteType>,
    name: String,
    server_name: String,
    url: Option<String>,
    keys: KeyList,
    ca_fingerprint: String,
}

impl Facts {
    pub(crate) fn of(config: &SiteConfig, trust: &SiteTrust) -> Self {
        Self {
            own: trust.site(),
            site_type: None,
            name: config.name.clone(),
            server_name: config.server_name.clone(),
            url: config.url.as_ref().map(ToString::to_string),
            keys: (*trust.key_list()).clone(),
            ca_fingerprint: trust.authority_fingerprint().to_string(),
        }
    }

    /// The same with what is told once, when the site is made.
    pub(crate) fn made(self, made: Made) -> Self {
        let or = |told: String, other: String| if told.is_empty() { other } else { told };
        Self {
            site_type: Some(made.site_type),
            name: or(made.name, self.name),
            server_name: or(made.server_name, self.server_name),
            ..self
        }
    }
}

/// Lets the site's row say what `facts` do.
pub(crate) async fn keep(tx: &mut Tx, facts: Facts) -> Result<(), DatabaseError> {
    if let Some(site_type) = facts.site_type {
        tx.set_site_type(site_type).await?;
    }
    let before = tx.site_row(facts.own).await?;
    let mut row = before.clone().unwrap_or_else(|| SiteRow {
        code: facts.own,
        parent: None,
        site_type: SiteType::Primary,
        name: facts.own.to_string(),
        server_name: String::new(),
        url: String::new(),
        software: String::new(),
        root_public_key: String::new(),
        key_list: Vec::new(),
        ca_fingerprint: String::new(),
        status: STATUS_ACTIVE,
    });
    row.site_type = tx.site_type().await?;
    if !facts.name.is_empty() {
        row.name = facts.name;
    }
    if !facts.server_name.is_empty() {
        row.server_name = facts.server_name;
    }
    row.url = facts.url.unwrap_or(row.url);
    row.software = concat!("restock ", env!("CARGO_PKG_VERSION")).to_owned();
    row.root_public_key = hex(&facts.keys.root.0);
    row.ca_fingerprint = facts.ca_fingerprint;
    row.status = STATUS_ACTIVE;
    // The keys of other sites in the list are no news to them: it goes out when its own keys change.
    let told = KeyList::decode(&row.key_list).ok();
    if told.is_none_or(|told| told.keys != facts.keys.keys || told.root != facts.keys.root) {
        row.key_list = facts.keys.encode();
    }
    if before.as_ref() != Some(&row) {
        tx.put_site(&row).await?;
    }
    Ok(())
}

impl Site {
    /// Lets the site's row among the sites follow configuration and keys.
    pub(crate) async fn introduce(&self) -> Result<(), SiteError> {
        let facts = Facts::of(self.config(), self.trust());
        let kept: Result<(), DatabaseError> = self
            .database()
            .transact("introduce", move |tx| Box::pin(async move { keep(tx, facts).await }))
            .await;
        Ok(kept?)
    }

    /// Gives versions that were published before sites announced them their statements, so that
    /// neighbours to come can fetch them.
    pub(crate) async fn announce_stored(&self) -> Result<(), SiteError> {
        let own = self.code();
        let silent: Result<Vec<Version>, DatabaseError> = self
            .database()
            .read("unannounced", move |tx| Box::pin(async move { unannounced(tx, own).await }))
            .await;
        for version in silent? {
            let (library, content) = (std::sync::Arc::clone(self.library()), version.content);
            let found = tokio::task::spawn_blocking(move || library.statement(&content))
                .await
                .map_err(|_panic| SiteError::Panicked("reading a statement"))?;
            let statement = match found {
                Ok(Some(statement)) => statement,
                Ok(None) => continue,
                Err(error) => {
                    distmgr!(error, package.id = %content.package, "{content} is not announced: {}", chain(&error));
                    continue;
                }
            };
            let announced = Announced::new(version, statement.site, statement.encode());
            let done: Result<(), DatabaseError> = self
                .database()
                .transact("announce", move |tx| {
                    Box::pin(async move {
                        if tx.announced(announced.version.content.package).await?.is_none() {
                            tx.put_announced(&announced).await?;
                        }
                        Ok(())
                    })
                })
                .await;
            done?;
        }
        Ok(())
    }
}

/// The newest versions of packages of this site that nobody announced.
async fn unannounced(tx: &mut Tx, own: SiteCode) -> Result<Vec<Version>, DatabaseError> {
    let mut silent = Vec::new();
    let is_ours = |package: &Package| package.source_site == own && package.stored_version.0 > 0;
    for package in tx.packages().await?.into_iter().filter(is_ours) {
        if tx.announced(package.id).await?.is_none() {
            silent.extend(tx.newest_version(package.id).await?);
        }
    }
    Ok(silent)
}
