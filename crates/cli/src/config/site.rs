//! The configuration of a site.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use restock_content::snapshot::FILE_BYTES_MAX;
use restock_names::Zone;
use restock_site::SiteConfig;
use restock_sitedb::state::RetryPolicy;
use restock_transfer::SiteUrl;
use serde::{Deserialize, Deserializer};

use super::Role;
use super::admin_service::{AdminServiceSection, CompatibilitySection, ProviderSection};
use super::doors::{self, DoorSection};
use super::health::HealthSection;
use super::kerberos::KerberosSection;
use super::values::{
    LogSettings, MetricsSettings, address, duration, duration_text, quoted, reachable, size, size_text,
};

/// `restock.toml` in the data folder of a site.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SiteSettings {
    /// Always [`Role::Site`].
    pub(crate) role: Role,
    pub(crate) link: LinkSection,
    pub(crate) database: DatabaseSection,
    pub(crate) refresh: RefreshSection,
    pub(crate) transfer: TransferSection,
    pub(crate) schedule: ScheduleSection,
    pub(crate) sites: SitesSection,
    pub(crate) health: HealthSection,
    pub(crate) admin_service: AdminServiceSection,
    pub(crate) wsman: DoorSection,
    pub(crate) cimom: DoorSection,
    pub(crate) kerberos: KerberosSection,
    pub(crate) provider: ProviderSection,
    pub(crate) compatibility: CompatibilitySection,
    pub(crate) metrics: SiteMetrics,
    pub(crate) logs: LogSettings,
}

/// `[link]`: where distribution points connect.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LinkSection {
    /// Address of the TLS listener.
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// What DPs are told to connect to; empty means the listener's address.
    #[serde(deserialize_with = "site_url")]
    pub(crate) url: String,
}

/// A URL that a distribution point can connect to, or nothing.
fn site_url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    match text.parse::<SiteUrl>() {
        Err(e) if !text.is_empty() => Err(serde::de::Error::custom(e)),
        _ => Ok(text),
    }
}

/// Nothing, or the URL of a PostgreSQL server.
fn database_url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    if text.is_empty() || text.starts_with("postgres://") || text.starts_with("postgresql://") {
        return Ok(text);
    }
    // The text may carry a password: it is not repeated.
    Err(serde::de::Error::custom(
        "the database URL does not begin with postgres://; leave it empty for SQLite",
    ))
}

/// `[database]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DatabaseSection {
    /// Connection URL of PostgreSQL; empty means SQLite in the data folder.
    #[serde(deserialize_with = "database_url")]
    pub(crate) url: String,
}

/// `[refresh]`: reading sources.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RefreshSection {
    #[serde(deserialize_with = "duration")]
    pub(crate) retry_delay: Duration,
    pub(crate) retry_count: u32,
    pub(crate) packages_at_once: NonZeroUsize,
    pub(crate) threads: usize,
    pub(crate) entries_max: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) file_bytes_max: u64,
}

/// `[transfer]`: bringing content to DPs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TransferSection {
    #[serde(deserialize_with = "duration")]
    pub(crate) retry_delay: Duration,
    pub(crate) retry_count: u32,
}

/// `[schedule]`: when packages are refreshed by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScheduleSection {
    /// Zone of the site's local times; empty means that of the machine.
    #[serde(deserialize_with = "time_zone")]
    pub(crate) time_zone: String,
}

/// `[sites]`: what concerns other sites of the hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SitesSection {
    /// Versions that are fetched from neighbours at once.
    pub(crate) fetches_at_once: NonZeroUsize,
    /// Bytes a second below which a neighbour is left; 0 is no limit.
    pub(crate) rate_min: u64,
    /// For how long content is held that only passes through.
    #[serde(deserialize_with = "duration")]
    pub(crate) draft_lease: Duration,
    /// How long a restored site waits for its points and neighbours before it makes a version.
    #[serde(deserialize_with = "duration")]
    pub(crate) restore_wait: Duration,
}

/// Nothing, or the name of a time zone.
fn time_zone<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    match Zone::named(&text) {
        Err(e) if !text.is_empty() => Err(serde::de::Error::custom(e)),
        _ => Ok(text),
    }
}

/// `[metrics]` with the default of a site.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct SiteMetrics(pub(crate) MetricsSettings);

impl Default for SiteSettings {
    fn default() -> Self {
        Self {
            role: Role::Site,
            link: LinkSection::default(),
            database: DatabaseSection::default(),
            refresh: RefreshSection::default(),
            transfer: TransferSection::default(),
            schedule: ScheduleSection::default(),
            sites: SitesSection::default(),
            health: HealthSection::default(),
            admin_service: AdminServiceSection::default(),
            wsman: DoorSection::default(),
            cimom: DoorSection::default(),
            kerberos: KerberosSection::default(),
            provider: ProviderSection::default(),
            compatibility: CompatibilitySection::default(),
            metrics: SiteMetrics::default(),
            logs: LogSettings::default(),
        }
    }
}

impl Default for LinkSection {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8720), url: String::new() }
    }
}

impl Default for RefreshSection {
    fn default() -> Self {
        Self {
            retry_delay: Duration::from_secs(1_800),
            retry_count: 100,
            packages_at_once: const { NonZeroUsize::new(3).expect("three is not zero") },
            threads: 0,
            entries_max: 20_000_000,
            file_bytes_max: FILE_BYTES_MAX,
        }
    }
}

impl Default for SitesSection {
    fn default() -> Self {
        Self {
            fetches_at_once: const { NonZeroUsize::new(3).expect("three is not zero") },
            rate_min: restock_transfer::PullOptions::default().rate_min,
            draft_lease: Duration::from_secs(24 * 60 * 60),
            restore_wait: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for TransferSection {
    fn default() -> Self {
        Self { retry_delay: Duration::from_secs(1_800), retry_count: 100 }
    }
}

impl Default for SiteMetrics {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8723);
        Self(MetricsSettings { listen: Some(listen) })
    }
}

impl SiteSettings {
    /// What the site itself is started with.
    pub(crate) fn config(&self, data: &Path) -> SiteConfig {
        let mut config = SiteConfig::new(data.to_owned());
        config.database_url = (!self.database.url.is_empty()).then(|| self.database.url.clone());
        config.link_listen = self.link.listen;
        let RefreshSection { retry_delay, retry_count, .. } = self.refresh;
        config.refresh_retry = RetryPolicy { delay: retry_delay, count: retry_count };
        config.packages_at_once = self.refresh.packages_at_once.get();
        config.threads = self.refresh.threads;
        config.entries_max = self.refresh.entries_max;
        config.file_bytes_max = self.refresh.file_bytes_max;
        let TransferSection { retry_delay, retry_count } = self.transfer;
        config.transfer_retry = RetryPolicy { delay: retry_delay, count: retry_count };
        config.zone = self.zone();
        config.name.clone_from(&self.provider.site_name);
        config.server_name = self.provider.host();
        // A name that no link takes is refused when it is read.
        config.url = self.url().parse().ok();
        config.fetches_at_once = self.sites.fetches_at_once.get();
        config.pull.rate_min = self.sites.rate_min;
        config.draft_lease = self.sites.draft_lease;
        config.restore_wait = self.sites.restore_wait;
        config.health = self.health.config();
        if !self.logs.folder.is_empty() {
            config.own_folders.push(data.join(&self.logs.folder));
        }
        config
    }

    /// The zone of the site's local times.
    pub(crate) fn zone(&self) -> Zone {
        // A name is checked when it is read; an empty one is the machine's zone.
        Zone::named(&self.schedule.time_zone).unwrap_or_else(|_empty| Zone::system())
    }

    /// What the provider is started with.
    pub(crate) fn provider_config(&self, data: &Path) -> restock_provider::ProviderConfig {
        let names = &self.admin_service.names;
        self.provider.config(self.compatibility, names, self.zone(), &data.to_string_lossy())
    }

    /// What DPs are told to connect to: `link.url`, or the listener's address, or this machine's
    /// name when the listener takes every address.
    pub(crate) fn url(&self) -> String {
        if !self.link.url.is_empty() {
            return self.link.url.clone();
        }
        format!("restock://{}", reachable(self.link.listen))
    }

    /// The file with every key and what it is for.
    pub(crate) fn template(&self) -> String {
        format!(
            "\
# Configuration of a Restock site. Every key shows its value; a key that is missing has its default.
# Durations: 90s, 10m, 1h30m. Sizes: bytes or KiB, MiB, GiB. Restart the site after a change.

# What this data folder belongs to. Do not change it.
role = \"site\"

[link]
# Where distribution points and other sites connect (mutual TLS with the site's own CA).
listen = \"{}\"
# What distribution points and other sites are told to connect to. Empty: the address above.
url = {}

[database]
# postgres://USER@HOST/NAME. Empty: SQLite in the data folder.
url = {}

[refresh]
# A source that cannot be read is tried again after this time, this often.
retry_delay = \"{}\"
retry_count = {}
# Packages whose source is read at the same time, and threads that read (0: one per core).
packages_at_once = {}
threads = {}
# A source with more files, folders and links than this is refused.
entries_max = {}
# A source with a larger file than this, holes included, is refused.
file_bytes_max = \"{}\"

[transfer]
# A distribution point that failed is tried again after this time, this often.
retry_delay = \"{}\"
retry_count = {}

[schedule]
# Zone of the site's local times, such as Europe/Berlin. Empty: that of the machine.
time_zone = {}

[sites]
# Versions that are fetched from the sites next to this one at the same time.
fetches_at_once = {}
# A connection to a site that brings fewer bytes a second of what is owed, over a minute, is made again, and
# the fetch is begun anew after eight of them. 0: any rate will do.
rate_min = {}
# For how long content is held that only passes through this site to others.
draft_lease = \"{}\"
# A site restored from a backup makes no version before it has heard from every distribution point
# and neighbour, or this long has passed. As long what it does not know of stays at its distribution points.
restore_wait = \"{}\"

{}
{}
{}
{}
{}
{}
{}
{}
{}",
            self.link.listen,
            quoted(&self.link.url),
            quoted(&self.database.url),
            duration_text(self.refresh.retry_delay),
            self.refresh.retry_count,
            self.refresh.packages_at_once,
            self.refresh.threads,
            self.refresh.entries_max,
            size_text(self.refresh.file_bytes_max),
            duration_text(self.transfer.retry_delay),
            self.transfer.retry_count,
            quoted(&self.schedule.time_zone),
            self.sites.fetches_at_once,
            self.sites.rate_min,
            duration_text(self.sites.draft_lease),
            duration_text(self.sites.restore_wait),
            self.health.template(),
            self.admin_service.template(),
            self.wsman.template(doors::WSMAN),
            self.cimom.template(doors::CIMOM),
            self.kerberos.template(),
            self.provider.template(),
            self.compatibility.template(),
            self.metrics.0.template(),
            self.logs.template(),
        )
    }
}
