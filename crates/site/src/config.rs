//! What a site can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use restock_names::Zone;
use restock_sitedb::state::RetryPolicy;
use restock_transfer::LinkLimits;

/// The port distribution points connect to.
const LINK_PORT: u16 = 8720;

/// A site's configuration.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// The data folder: `keys/`, `library/` and, with SQLite, `site.db`.
    pub data: PathBuf,
    /// Other folders of the site, such as logs, that no source may touch.
    pub own_folders: Vec<PathBuf>,
    /// `postgres://…`; `None` for the SQLite file in the data folder.
    pub database_url: Option<String>,
    /// Where distribution points connect; port 0 takes a free one.
    pub link_listen: SocketAddr,
    /// Limits of that listener.
    pub link_limits: LinkLimits,
    /// How failed refresh attempts are repeated: 30 minutes, 100 attempts.
    pub refresh_retry: RetryPolicy,
    /// How failed distribution attempts are repeated: 30 minutes, 100 attempts.
    pub transfer_retry: RetryPolicy,
    /// Packages that are refreshed at once.
    pub packages_at_once: usize,
    /// Threads of one snapshot; 0 for one per core.
    pub threads: usize,
    /// A source with more entries is refused.
    pub entries_max: u64,
    /// Whose clock schedules in local time mean; UTC when nobody says.
    pub zone: Zone,
    /// A loop that nobody wakes looks by itself this often.
    pub wake_period: Duration,
    /// For how long a run is believed alive that does not renew its lease.
    pub lease: Duration,
}

impl SiteConfig {
    /// The defaults with everything in `data`.
    pub fn new(data: PathBuf) -> Self {
        Self {
            data,
            own_folders: Vec::new(),
            database_url: None,
            link_listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, LINK_PORT)),
            link_limits: LinkLimits::default(),
            refresh_retry: RetryPolicy::default(),
            transfer_retry: RetryPolicy::default(),
            packages_at_once: 3,
            threads: 0,
            entries_max: 20_000_000,
            zone: Zone::utc(),
            wake_period: Duration::from_secs(30),
            lease: Duration::from_secs(120),
        }
    }

    /// Folders no source may touch: the data folder and the others of the site.
    pub fn folders(&self) -> Vec<PathBuf> {
        std::iter::once(&self.data).chain(&self.own_folders).cloned().collect()
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.data.join("library")
    }
}
