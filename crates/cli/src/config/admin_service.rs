//! `[admin_service]`, `[provider]` and `[compatibility]`: the doors for management requests and
//! what is told through them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use restock_frontdoor::DoorLimits;
use restock_names::Zone;
use restock_provider::{Compatibility, MethodFailure, ProviderConfig};
use serde::{Deserialize, Deserializer};

use super::values::{address_or_none, duration, duration_text, machine_name, quoted, size, size_text};

/// `[admin_service]`: the AdminService.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminServiceSection {
    /// Address of the HTTPS listener; `None` switches it off.
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of a listener without TLS; loopback only.
    #[serde(deserialize_with = "loopback_or_none")]
    pub(crate) http_listen: Option<SocketAddr>,
    /// Address of a listener without TLS, on any address, for sealed bodies alone.
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) sealed_listen: Option<SocketAddr>,
    /// Names beside the machine's own, `localhost`, and the listener's address.
    pub(crate) names: Vec<String>,
    /// Origins of pages that may change things.
    pub(crate) origins: Vec<String>,
    pub(crate) limits: LimitsSection,
}

/// `[admin_service.limits]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsSection {
    pub(crate) connections_max: usize,
    pub(crate) connections_per_address_max: usize,
    #[serde(deserialize_with = "duration")]
    pub(crate) handshake_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) header_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) idle_timeout: Duration,
    #[serde(deserialize_with = "size")]
    pub(crate) header_size_max: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) body_size_max: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) body_rate_min: u64,
    #[serde(deserialize_with = "size")]
    pub(crate) write_rate_min: u64,
    #[serde(deserialize_with = "duration")]
    pub(crate) rate_grace: Duration,
    pub(crate) page_rows: usize,
    pub(crate) page_rows_max: usize,
}

/// `[provider]`: what the site says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProviderSection {
    /// The name by which clients resolve this machine; empty means its own.
    pub(crate) host: String,
    pub(crate) site_name: String,
    pub(crate) site_version: String,
    #[serde(deserialize_with = "duration")]
    pub(crate) query_deadline: Duration,
}

/// `[compatibility]`: where Restock differs from deployed sites on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompatibilitySection {
    pub(crate) method_failure: MethodFailureText,
    pub(crate) message_state: MessageStateText,
    pub(crate) everything_is_404: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MethodFailureText {
    #[default]
    Error,
    ReturnValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MessageStateText {
    #[default]
    Deployed,
    Documented,
}

impl Default for AdminServiceSection {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8725)),
            http_listen: None,
            sealed_listen: None,
            names: Vec::new(),
            origins: Vec::new(),
            limits: LimitsSection::default(),
        }
    }
}

impl Default for LimitsSection {
    fn default() -> Self {
        let limits = DoorLimits::default();
        Self {
            connections_max: limits.connections_max,
            connections_per_address_max: limits.connections_per_address_max,
            handshake_timeout: limits.handshake_timeout,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            header_size_max: limits.header_bytes_max as u64,
            body_size_max: limits.body_bytes_max as u64,
            body_rate_min: limits.body_rate_min,
            write_rate_min: limits.write_rate_min,
            rate_grace: limits.rate_grace,
            page_rows: limits.page_rows,
            page_rows_max: limits.page_rows_max,
        }
    }
}

impl Default for ProviderSection {
    fn default() -> Self {
        let config = ProviderConfig::default();
        Self {
            host: String::new(),
            site_name: config.site_name,
            site_version: config.version,
            query_deadline: config.query_deadline,
        }
    }
}

/// Nothing, or a loopback address.
pub(super) fn loopback_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    let address = address_or_none(d)?;
    match address {
        Some(address) if !address.ip().is_loopback() => Err(serde::de::Error::custom(format!(
            "{address} is not a loopback address: without TLS passwords would travel readable; 127.0.0.1 is one"
        ))),
        other => Ok(other),
    }
}

impl AdminServiceSection {
    /// The names that the certificate carries and a `Host` may hold.
    ///
    /// `host`: the name by which clients resolve this machine. `others`: addresses of the other
    /// doors.
    pub(crate) fn all_names(&self, host: &str, others: &[Option<SocketAddr>]) -> Vec<String> {
        let own = [host.to_owned(), machine_name(), "localhost".to_owned()];
        let own_addresses = [self.listen, self.http_listen, self.sealed_listen];
        let bound = own_addresses.iter().chain(others).flatten().map(SocketAddr::ip);
        let loopback = ["127.0.0.1".to_owned(), "::1".to_owned()];
        let bound = bound.filter(|ip| !ip.is_unspecified()).map(|ip| ip.to_string());
        let mut names: Vec<String> =
            self.names.iter().cloned().chain(own).chain(bound).chain(loopback).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The limits as the listeners take them.
    pub(crate) fn limits(&self) -> DoorLimits {
        let limits = &self.limits;
        let usize_of = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
        DoorLimits {
            connections_max: limits.connections_max.max(1),
            connections_per_address_max: limits.connections_per_address_max.max(1),
            handshake_timeout: limits.handshake_timeout,
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            header_bytes_max: usize_of(limits.header_size_max),
            body_bytes_max: usize_of(limits.body_size_max),
            body_rate_min: limits.body_rate_min,
            write_rate_min: limits.write_rate_min,
            rate_grace: limits.rate_grace,
            page_rows: limits.page_rows.max(1),
            page_rows_max: limits.page_rows_max.max(1),
            ..DoorLimits::default()
        }
    }

    pub(super) fn template(&self) -> String {
        let limits = &self.limits;
        let address = |address: Option<SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
        format!(
            "\
[admin_service]
# Address of the AdminService, HTTPS with a certificate of the site's own CA. Empty switches it off.
listen = \"{}\"
# Address of the same service without TLS: loopback only. Empty: none.
http_listen = \"{}\"
# Address of a listener without TLS, also for others, that takes no password and no token: only bodies
# sealed with the keys of a sign-in with NTLM or Kerberos. WS-Management clients look at port 5985. Empty: none.
sealed_listen = \"{}\"
# Names by which clients ask, beside this machine's own name, localhost and the addresses above.
names = {}
# Origins of web pages that may change things, such as \"https://console.example\".
origins = {}

[admin_service.limits]
# Connections in all, and from one address.
connections_max = {}
connections_per_address_max = {}
# Time for a TLS handshake, for a request's head, and without a request on an open connection.
handshake_timeout = \"{}\"
header_timeout = \"{}\"
idle_timeout = \"{}\"
# Largest head and body of a request.
header_size_max = \"{}\"
body_size_max = \"{}\"
# Bytes a second that a request's body must bring and that a reader must take, and for how long
# both may be missed.
body_rate_min = \"{}\"
write_rate_min = \"{}\"
rate_grace = \"{}\"
# Rows of a page for clients that ask for pages: unless they say how many, and at most.
page_rows = {}
page_rows_max = {}
",
            address(self.listen),
            address(self.http_listen),
            address(self.sealed_listen),
            list(&self.names),
            list(&self.origins),
            limits.connections_max,
            limits.connections_per_address_max,
            duration_text(limits.handshake_timeout),
            duration_text(limits.header_timeout),
            duration_text(limits.idle_timeout),
            size_text(limits.header_size_max),
            size_text(limits.body_size_max),
            size_text(limits.body_rate_min),
            size_text(limits.write_rate_min),
            duration_text(limits.rate_grace),
            limits.page_rows,
            limits.page_rows_max,
        )
    }
}

impl ProviderSection {
    /// The name by which clients resolve this machine.
    pub(crate) fn host(&self) -> String {
        if self.host.is_empty() { machine_name() } else { self.host.clone() }
    }

    /// What the provider is started with. `names`: those of the AdminService, which paths may begin
    /// with too; so may the machine's own when `host` is short.
    pub(crate) fn config(
        &self,
        compatibility: CompatibilitySection,
        names: &[String],
        zone: Zone,
        install_dir: &str,
    ) -> ProviderConfig {
        let host = self.host();
        let machine = (!host.contains('.')).then(machine_name);
        ProviderConfig {
            other_names: names.iter().cloned().chain(machine).collect(),
            host,
            site_name: self.site_name.clone(),
            version: self.site_version.clone(),
            zone,
            install_dir: install_dir.to_owned(),
            compatibility: Compatibility {
                method_failure: match compatibility.method_failure {
                    MethodFailureText::Error => MethodFailure::Error,
                    MethodFailureText::ReturnValue => MethodFailure::ReturnValue,
                },
                message_state_documented: compatibility.message_state == MessageStateText::Documented,
            },
            query_deadline: self.query_deadline,
        }
    }

    pub(super) fn template(&self) -> String {
        format!(
            "\
[provider]
# Name by which clients resolve this machine, in paths of objects. Empty: this machine's own name.
host = {}
# Name and version that the site shows (SMS_Site). An empty name: the site code.
site_name = {}
site_version = {}
# How long one query may run.
query_deadline = \"{}\"
",
            quoted(&self.host),
            quoted(&self.site_name),
            quoted(&self.site_version),
            duration_text(self.query_deadline),
        )
    }
}

impl CompatibilitySection {
    pub(super) fn template(self) -> String {
        format!(
            "\
[compatibility]
# A method that fails: \"error\" fails the call; \"return-value\" answers a ReturnValue other than 0.
method_failure = \"{}\"
# MessageState of a failure: \"deployed\" (4, as sites answer) or \"documented\" (3).
message_state = \"{}\"
# Answer every refusal of a signed-in request with HTTP 404, as deployed services do.
everything_is_404 = {}
",
            match self.method_failure {
                MethodFailureText::Error => "error",
                MethodFailureText::ReturnValue => "return-value",
            },
            match self.message_state {
                MessageStateText::Deployed => "deployed",
                MessageStateText::Documented => "documented",
            },
            self.everything_is_404,
        )
    }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}
