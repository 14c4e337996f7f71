//! Sections and value types that sites and DPs share.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::units;

/// `[logs]`: what is logged, where, and how much is kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,restock_transfer=debug`.
    #[serde(deserialize_with = "level")]
    pub(crate) level: String,
    /// Folder of the log files; empty means DATA/logs.
    pub(crate) folder: String,
    /// Size in bytes at which `distmgr.log` becomes `distmgr.lo_`, and so on.
    #[serde(deserialize_with = "size")]
    pub(crate) size_max: u64,
    /// Size in bytes at which the JSON log is rotated.
    #[serde(deserialize_with = "size")]
    pub(crate) json_size_max: u64,
    /// Rotated JSON logs kept.
    pub(crate) json_kept: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            folder: String::new(),
            size_max: 250_000,
            json_size_max: 16 << 20,
            json_kept: 4,
        }
    }
}

impl LogSettings {
    pub(super) fn template(&self) -> String {
        format!(
            "\
[logs]
# error, warn, info, debug or trace; parts can differ: \"info,restock_transfer=debug\".
level = {}
# Folder of the log files. Empty: the folder logs in the data folder.
folder = {}
# Size at which x.log becomes x.lo_ (one older file is kept).
size_max = \"{}\"
# Size at which restock.jsonl is rotated, and how many older files are kept.
json_size_max = \"{} MiB\"
json_kept = {}
",
            quoted(&self.level),
            quoted(&self.folder),
            self.size_max,
            self.json_size_max >> 20,
            self.json_kept
        )
    }
}

/// `[metrics]`: where Prometheus reads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricsSettings {
    /// `None` switches the endpoint off.
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) listen: Option<SocketAddr>,
}

impl MetricsSettings {
    pub(super) fn template(&self) -> String {
        format!(
            "\
[metrics]
# Address of the Prometheus endpoint, /metrics. Loopback unless you decide otherwise: it asks for
# no credentials. Empty switches it off. A taken port is replaced by a free one, with a warning.
listen = \"{}\"
",
            self.listen.map(|a| a.to_string()).unwrap_or_default()
        )
    }
}

/// A log level or filter that can be read.
fn level<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    match tracing_subscriber::EnvFilter::builder().parse(&text) {
        Ok(_) => Ok(text),
        Err(e) => Err(serde::de::Error::custom(format!("{text:?} is not a log level: {e}"))),
    }
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    units::parse_duration(&String::deserialize(d)?).map_err(serde::de::Error::custom)
}

pub(super) fn size<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    units::parse_size(&String::deserialize(d)?).map_err(serde::de::Error::custom)
}

pub(super) fn address<'de, D: Deserializer<'de>>(d: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(d)?;
    text.parse().map_err(|_invalid| {
        serde::de::Error::custom(format!(
            "{text:?} is not an address: IP:PORT is wanted, such as 127.0.0.1:8720"
        ))
    })
}

pub(super) fn address_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(d)?;
    if text.is_empty() {
        return Ok(None);
    }
    address(serde::de::value::StringDeserializer::<D::Error>::new(text)).map(Some)
}

/// The address others can use: this machine's name in place of "every address".
pub(super) fn reachable(bound: SocketAddr) -> String {
    if bound.ip().is_unspecified() {
        format!("{}:{}", machine_name(), bound.port())
    } else {
        bound.to_string()
    }
}

/// The name that this machine gives itself.
pub(super) fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Sizes as the template writes them: the largest unit that divides them.
pub(super) fn size_text(bytes: u64) -> String {
    for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{} {unit}", bytes / size);
        }
    }
    bytes.to_string()
}

/// Durations as the template writes them: the largest unit that divides them.
pub(super) fn duration_text(value: Duration) -> String {
    let ms = value.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}
