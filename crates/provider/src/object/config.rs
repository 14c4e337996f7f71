//! What configuration tells the provider, and how it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use restock_cim::Schema;
use restock_names::{Clock, SiteCode, Zone};
use restock_sitedb::{Database, DatabaseError};

use crate::classes::declarations;
use crate::classes::views::VIEWS;
use crate::{Provider, Refusal};

/// How long a query may run unless configured otherwise.
const QUERY_DEADLINE: Duration = Duration::from_secs(30);

/// `LastRefreshTime` of a package before its first refresh: 1970-04-10 06:35 by the site's clock.
const PACKAGE_NEVER_REFRESHED: i64 = 8_577_300_000_000;
/// `LastRefreshTime` of a distribution point likewise: 1990-01-01 00:00.
const POINT_NEVER_REFRESHED: i64 = 631_152_000_000_000;

/// How a method that fails answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MethodFailure {
    /// The call fails, and the error shows the `ReturnValue` it would have had.
    #[default]
    Error,
    /// The call succeeds and answers a `ReturnValue` other than 0.
    ReturnValue,
}

/// Where Restock differs from deployed sites or from their documents on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compatibility {
    /// How a method that fails answers.
    pub method_failure: MethodFailure,
    /// A failure shows as `MessageState` 3 as documented, instead of 4 as deployed sites answer.
    pub message_state_documented: bool,
}

/// What the provider must know beside the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderConfig {
    /// The name by which clients resolve this machine.
    pub host: String,
    /// Further names of this server that a path may begin with.
    pub other_names: Vec<String>,
    /// `SMS_Site.SiteName`; the site code when empty.
    pub site_name: String,
    /// `SMS_Site.Version`, of the form `5.00.xxxx.yyyy`.
    pub version: String,
    /// The site's time zone.
    pub zone: Zone,
    /// `SMS_Site.InstallDir`.
    pub install_dir: String,
    /// Switches.
    pub compatibility: Compatibility,
    /// How long one query may run.
    pub query_deadline: Duration,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            other_names: Vec::new(),
            site_name: String::new(),
            version: "5.00.9128.1000".to_owned(),
            zone: Zone::utc(),
            install_dir: String::new(),
            compatibility: Compatibility::default(),
            query_deadline: QUERY_DEADLINE,
        }
    }
}

impl Provider {
    /// The provider over `database`, ready for the object API: views are installed, and what views
    /// must know of the configuration is written.
    ///
    /// `own_folders` are the site's data, key and log folders, which no source root may touch.
    /// Errors: the site was not initialised, or its database could not be changed.
    pub async fn start(
        database: Database,
        clock: Arc<dyn Clock>,
        own_folders: Vec<PathBuf>,
        config: ProviderConfig,
    ) -> Result<Self, Refusal> {
        let provider = Self::with_config(database, clock, own_folders, config);
        let site = provider.site_code().await?;
        provider.write_facts(site).await?;
        provider.database.install_views(VIEWS, declarations::schema()).await?;
        Ok(provider)
    }

    /// The name by which clients resolve this machine.
    pub fn host(&self) -> &str {
        &self.config.host
    }

    /// Writes what views must know, in place of what an earlier start wrote.
    async fn write_facts(&self, site: SiteCode) -> Result<(), Refusal> {
        let config = &self.config;
        let site_name = if config.site_name.is_empty() { site.to_string() } else { config.site_name.clone() };
        let build = config.version.split('.').nth(2).filter(|build| build.parse::<u32>().is_ok());
        let facts = [
            ("site_name", site_name),
            ("server_name", config.host.clone()),
            ("provider_host", config.host.clone()),
            ("version", config.version.clone()),
            ("build_number", build.unwrap_or("0").to_owned()),
            ("time_zone", config.zone.name().to_owned()),
            ("install_dir", config.install_dir.clone()),
        ];
        let settings = [
            ("message_state_failed", if config.compatibility.message_state_documented { 3 } else { 4 }),
            ("package_last_refresh_default", config.zone.local_to_utc(PACKAGE_NEVER_REFRESHED).0),
            ("point_last_refresh_default", config.zone.local_to_utc(POINT_NEVER_REFRESHED).0),
        ];
        self.database
            .transact("write_facts", move |tx| {
                Box::pin(async move {
                    for (name, value) in &facts {
                        tx.put_fact(name, value).await?;
                    }
                    for (name, value) in settings {
                        tx.put_setting(name, value).await?;
                    }
                    Ok::<_, DatabaseError>(())
                })
            })
            .await?;
        Ok(())
    }

    /// The declared classes.
    pub fn schema(&self) -> &'static Schema {
        declarations::schema()
    }

    /// What it was started with.
    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    /// The site's code.
    ///
    /// Errors: `SITE_INCOMPLETE`, or the database cannot be read.
    pub async fn site_code(&self) -> Result<SiteCode, Refusal> {
        if let Some(site) = self.site.get() {
            return Ok(*site);
        }
        let site = self.database.read("site_code", |tx| Box::pin(async move { tx.site().await })).await?;
        let missing = || Refusal::provider("SITE_INCOMPLETE", "the site was not initialised to its end");
        let site: SiteCode = site.ok_or_else(missing)?.code;
        Ok(*self.site.get_or_init(|| site))
    }
}
