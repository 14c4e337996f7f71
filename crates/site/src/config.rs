//! What a site can be told.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use restock_content::library::HealthConfig;
use restock_content::snapshot::FILE_BYTES_MAX;
use restock_names::Zone;
use restock_sitedb::state::RetryPolicy;
use restock_transfer::{LinkLimits, PullOptions, SiteUrl, UpstreamLinkConfig};

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
    /// A source with a larger file, holes included, is refused.
    pub file_bytes_max: u64,
    /// Whose clock schedules in local time mean; UTC when nobody says.
    pub zone: Zone,
    /// A loop that nobody wakes looks by itself this often.
    pub wake_period: Duration,
    /// For how long a run is believed alive that does not renew its lease.
    pub lease: Duration,
    /// The name people give the site; empty keeps the one it has.
    pub name: String,
    /// The name of the machine it runs on; empty keeps the one it has.
    pub server_name: String,
    /// Where its link listens, as other sites reach it; none keeps what it has.
    pub url: Option<SiteUrl>,
    /// How the connection to the site above is kept up.
    pub upstream: UpstreamLinkConfig,
    /// How content is fetched from a neighbour.
    pub pull: PullOptions,
    /// Versions that are fetched from neighbours at once.
    pub fetches_at_once: usize,
    /// For how long content is held that only passes through to other sites.
    pub draft_lease: Duration,
    /// After a restore or a promotion no version is made before every distribution point and
    /// neighbour has been heard, or this long has passed.
    pub restore_wait: Duration,
    /// How its library is cleaned and scrubbed.
    pub health: HealthConfig,
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
            file_bytes_max: FILE_BYTES_MAX,
            zone: Zone::utc(),
            wake_period: Duration::from_secs(30),
            lease: Duration::from_secs(120),
            name: String::new(),
            server_name: String::new(),
            url: None,
            upstream: UpstreamLinkConfig::default(),
            // The loop tries again by itself, and shows why: a pull gives up soon.
            pull: PullOptions { attempts_max: 3, ..PullOptions::default() },
            fetches_at_once: 3,
            draft_lease: Duration::from_secs(24 * 60 * 60),
            restore_wait: Duration::from_secs(10 * 60),
            health: HealthConfig::default(),
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

    /// Where the enrolment at the site above is kept.
    pub(crate) fn join(&self) -> PathBuf {
        self.data.join("join")
    }

    /// The SQLite file, also when the database is elsewhere.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.data.join("site.db")
    }
}
