//! The configuration of a distribution point.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_content::transfer::JumpPolicy;
use restock_dp::{DistributionPointConfig, ListenerConfig, TlsFiles, TlsListenerConfig};
use restock_transfer::PullOptions;
use serde::Deserialize;

use super::Role;
use super::health::HealthSection;
use super::values::{
    LogSettings, MetricsSettings, address, address_or_none, duration, duration_text, machine_name, quoted,
    reachable,
};

/// `restock.toml` in the data folder of a distribution point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DpSettings {
    /// Always [`Role::Dp`].
    pub(crate) role: Role,
    pub(crate) serve: ServeSection,
    pub(crate) share: ShareSection,
    pub(crate) pull: PullSection,
    pub(crate) health: HealthSection,
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
    /// Address of the TLS listener; none: there is none.
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) tls_listen: Option<SocketAddr>,
    /// Certificate and chain of the TLS listener, and its key, in PEM.
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
    /// What clients are told; empty means the listener's address.
    pub(crate) url: String,
    /// Names by which clients ask, beside this machine's own and that of `url`.
    pub(crate) hosts: Vec<String>,
    /// Serves every package without a right; allowed on loopback only.
    pub(crate) anonymous_on_loopback: bool,
    pub(crate) connections_max: NonZeroUsize,
    pub(crate) connections_per_address_max: NonZeroUsize,
    #[serde(deserialize_with = "duration")]
    pub(crate) header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) idle_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) stall_max: Duration,
    /// Bytes a second that a reader must take.
    pub(crate) write_rate_min: u64,
}

/// `[share]`: packages as plain folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShareSection {
    /// Where the folders lie; empty means `share` in the data folder.
    pub(crate) folder: PathBuf,
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
            share: ShareSection::default(),
            pull: PullSection::default(),
            health: HealthSection::default(),
            metrics: DpMetrics::default(),
            logs: LogSettings::default(),
        }
    }
}

impl Default for ServeSection {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8721),
            tls_listen: None,
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
            url: String::new(),
            hosts: Vec::new(),
            anonymous_on_loopback: false,
            connections_max: const { NonZeroUsize::new(1_024).expect("not zero") },
            connections_per_address_max: const { NonZeroUsize::new(256).expect("not zero") },
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            stall_max: Duration::from_secs(60),
            write_rate_min: 1_024,
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
        if let Some(address) = self.serve.tls_listen {
            // Paths are relative to the data folder.
            let certificate = data.join(&self.serve.tls_certificate);
            let files = TlsFiles { certificate, key: data.join(&self.serve.tls_key) };
            config.serve.tls_listeners = vec![TlsListenerConfig { address, files }];
        }
        config.serve.hosts = self.hosts();
        let limits = &mut config.serve.limits;
        limits.connections_max = self.serve.connections_max.get();
        limits.connections_per_address_max = self.serve.connections_per_address_max.get();
        limits.header_timeout = self.serve.header_timeout;
        limits.idle_timeout = self.serve.idle_timeout;
        limits.stall_max = self.serve.stall_max;
        limits.write_rate_min = self.serve.write_rate_min;
        config.serve_urls = vec![format!("{}/", self.url(self.serve.listen))];
        if !self.share.folder.as_os_str().is_empty() {
            config.share.clone_from(&self.share.folder);
        }
        config.packages_at_once = self.pull.packages_at_once.get();
        config.pull.connections = self.pull.connections.get();
        config.pull.rate_min = self.pull.rate_min;
        config.jump.versions_max = self.pull.version_jump_max;
        config.health = self.health.config();
        config
    }

    /// The names by which clients may ask.
    fn hosts(&self) -> Vec<String> {
        let machine = machine_name();
        let short = machine.split('.').next().unwrap_or_default().to_owned();
        // What stands between `//` and the path, without a port.
        let authority = self.serve.url.split("//").nth(1).and_then(|rest| rest.split('/').next());
        let of_url = authority.map(|authority| match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default().to_owned(),
            None => authority.split(':').next().unwrap_or_default().to_owned(),
        });
        let names = self.serve.hosts.iter().cloned().chain(of_url).chain([machine, short]);
        names.filter(|name| !name.is_empty()).collect()
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
# Where it is served over TLS, also to those who show a content token (restock content-token create).
# Empty: nowhere. Certificate with its chain and key are PEM files; they are read again when they change.
tls_listen = \"{}\"
tls_certificate = {}
tls_key = {}
# What clients are told. Empty: the address above.
url = {}
# Names by which clients may ask, beside this machine's names, the one in url and the address they
# connect to; a request for another name gets 421. \"*\": any name.
hosts = [{}]
# Serve every package, public or not. Only for a listener on loopback.
anonymous_on_loopback = {}
# Connections at once, in all and of one address.
connections_max = {}
connections_per_address_max = {}
# Time for a request's headers, and for a further request to begin on an open connection.
header_timeout = \"{}\"
idle_timeout = \"{}\"
# A reader that over this time takes fewer bytes a second is cut off.
stall_max = \"{}\"
write_rate_min = {}

[share]
# Where packages that ask for it are kept as plain folders too, for a file server beside. Empty: the
# folder share in the data folder. It must be on one file system, and is the distribution point's own.
folder = {}

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
{}
{}",
            self.serve.listen,
            self.serve.tls_listen.map(|address| address.to_string()).unwrap_or_default(),
            quoted(&self.serve.tls_certificate.to_string_lossy()),
            quoted(&self.serve.tls_key.to_string_lossy()),
            quoted(&self.serve.url),
            self.serve.hosts.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "),
            self.serve.anonymous_on_loopback,
            self.serve.connections_max,
            self.serve.connections_per_address_max,
            duration_text(self.serve.header_timeout),
            duration_text(self.serve.idle_timeout),
            duration_text(self.serve.stall_max),
            self.serve.write_rate_min,
            quoted(&self.share.folder.to_string_lossy()),
            self.pull.connections,
            self.pull.packages_at_once,
            self.pull.rate_min,
            self.pull.version_jump_max,
            self.health.template(),
            self.metrics.0.template(),
            self.logs.template(),
        )
    }
}
