//! The configuration of a distribution point.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use restock_content::transfer::JumpPolicy;
use restock_dp::{DistributionPointConfig, ListenerConfig};
use restock_transfer::PullOptions;
use serde::Deserialize;

use super::Role;
use super::values::{LogSettings, MetricsSettings, address, duration, duration_text, quoted, reachable};

/// `restock.toml` in the data folder of a distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DpSettings {
    /// Always [`Role::Dp`].
    pub(crate) role: Role,
    pub(crate) serve: ServeSection,
    pub(crate) pull: PullSection,
    pub(crate) metrics: DpMetrics,
    pub(crate) logs: LogSettings,
}

/// `[serve]`: where content is served over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServeSection {
    /// Address of the HTTP listener.
    #[serde(deserialize_with = "address")]
    pub(crate) listen: SocketAddr,
    /// What clients are told; empty means the listener's address.
    pub(crate) url: String,
    /// Serves every package without a right; allowed on loopback only.
    pub(crate) anonymous_on_loopback: bool,
    pub(crate) connections_max: NonZeroUsize,
    #[serde(deserialize_with = "duration")]
    pub(crate) header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) stall_max: Duration,
}

/// `[pull]`: fetching content from the site.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PullSection {
    /// Connections per package.
    pub(crate) connections: NonZeroUsize,
    /// Packages at the same time.
    pub(crate) packages_at_once: NonZeroUsize,
    /// Bytes a second below which a holder is left; 0 is no limit.
    pub(crate) rate_min: u64,
    /// By how much a version's number may lie above the one that is held.
    pub(crate) version_jump_max: u32,
}

/// `[metrics]` with the default of a distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct DpMetrics(pub(crate) MetricsSettings);

impl Default for DpSettings {
    fn default() -> Self {
        Self {
            role: Role::Dp,
            serve: ServeSection::default(),
            pull: PullSection::default(),
            metrics: DpMetrics::default(),
            logs: LogSettings::default(),
        }
    }
}

impl Default for ServeSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8721),
            url: String::new(),
            anonymous_on_loopback: false,
            connections_max: const { NonZeroUsize::new(1_024).expect("not zero") },
            header_timeout: Duration::from_secs(10),
            stall_max: Duration::from_secs(60),
        }
    }
}

impl Default for PullSection {
    fn default() -> Self {
        let (two, three) = const { (NonZeroUsize::new(2), NonZeroUsize::new(3)) };
        let (pull, jump) = (PullOptions::default(), JumpPolicy::default());
        Self {
            connections: two.expect("not zero"),
            packages_at_once: three.expect("not zero"),
            rate_min: pull.rate_min,
            version_jump_max: jump.versions_max,
        }
    }
}

impl Default for DpMetrics {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8724);
        Self(MetricsSettings { listen: Some(listen) })
    }
}

impl DpSettings {
    /// What the distribution point itself is started with.
    pub(crate) fn config(&self, data: &Path) -> DistributionPointConfig {
        let mut config = DistributionPointConfig::new(data.to_owned());
        let (address, serves_everything) = (self.serve.listen, self.serve.anonymous_on_loopback);
        config.serve.listeners = vec![ListenerConfig { address, serves_everything }];
        config.serve.limits.connections_max = self.serve.connections_max.get();
        config.serve.limits.header_timeout = self.serve.header_timeout;
        config.serve.limits.stall_max = self.serve.stall_max;
        config.serve_urls = vec![format!("{}/", self.url(self.serve.listen))];
        config.packages_at_once = self.pull.packages_at_once.get();
        config.pull.connections = self.pull.connections.get();
        config.pull.rate_min = self.pull.rate_min;
        config.jump.versions_max = self.pull.version_jump_max;
        config
    }

    /// Where clients find content, without a slash at the end: `serve.url`, or the bound address,
    /// or this machine's name when the listener takes every address.
    pub(crate) fn url(&self, bound: SocketAddr) -> String {
        if !self.serve.url.is_empty() {
            return self.serve.url.trim_end_matches('/').to_owned();
        }
        format!("http://{}", reachable(bound))
    }

    /// The file with every key and what it is for.
    pub(crate) fn template(&self) -> String {
        format!(
            "\
# Configuration of a Restock distribution point. Every key shows its value; a key that is missing
# has its default. Sizes: bytes or KiB, MiB, GiB. Restart the distribution point after a change.

# What this data folder belongs to. Do not change it.
role = \"dp\"

[serve]
# Where content is served over plain HTTP: packages marked public, read only.
listen = \"{}\"
# What clients are told. Empty: the address above.
url = {}
# Serve every package, public or not. Only for a listener on loopback.
anonymous_on_loopback = {}
# Connections at once; time for a request's headers; time after which a reader that takes nothing is cut off.
connections_max = {}
header_timeout = \"{}\"
stall_max = \"{}\"

[pull]
# Connections to the site per package that is fetched, and packages fetched at the same time.
connections = {}
packages_at_once = {}
# A connection that brings fewer bytes a second of what is owed, over a minute, is made again, and the
# fetch is begun anew after eight of them. 0: any rate will do.
rate_min = {}
# A version whose number lies further above the one that is held is refused (VERSION_JUMP).
version_jump_max = {}

{}
{}",
            self.serve.listen,
            quoted(&self.serve.url),
            self.serve.anonymous_on_loopback,
            self.serve.connections_max,
            duration_text(self.serve.header_timeout),
            duration_text(self.serve.stall_max),
            self.pull.connections,
            self.pull.packages_at_once,
            self.pull.rate_min,
            self.pull.version_jump_max,
            self.metrics.0.template(),
            self.logs.template(),
        )
    }
}
