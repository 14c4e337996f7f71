//! `[wsman]` and `[cimom]`: the doors for WS-Management and WBEM clients.

use std::net::SocketAddr;

use restock_frontdoor::Doors;
use serde::Deserialize;

use super::admin_service::loopback_or_none;
use super::values::address_or_none;

/// One of the two doors. Names, origins and limits are those of `[admin_service]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DoorSection {
    /// Served on the listeners of `[admin_service]` too.
    pub(crate) shared: bool,
    /// Address of an HTTPS listener of its own.
    #[serde(deserialize_with = "address_or_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of a listener of its own without TLS; loopback only.
    #[serde(deserialize_with = "loopback_or_none")]
    pub(crate) http_listen: Option<SocketAddr>,
}

impl Default for DoorSection {
    fn default() -> Self {
        Self { shared: true, listen: None, http_listen: None }
    }
}

/// What distinguishes the doors in the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DoorWords {
    section: &'static str,
    what: &'static str,
    path: &'static str,
    /// The ports that clients take by themselves, with and without TLS.
    ports: (u16, u16),
}

/// `[wsman]`
pub(crate) const WSMAN: DoorWords =
    DoorWords { section: "wsman", what: "WS-Management", path: "/wsman", ports: (5986, 5985) };
/// `[cimom]`
pub(crate) const CIMOM: DoorWords =
    DoorWords { section: "cimom", what: "CIM-XML", path: "/cimom", ports: (5989, 5988) };

impl DoorSection {
    pub(super) fn template(&self, words: DoorWords) -> String {
        let DoorWords { section, what, path, ports: (tls, plain) } = words;
        let address = |address: Option<SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
        format!(
            "\
[{section}]
# {what}, at {path} on the listeners of [admin_service].
shared = {}
# Address of an HTTPS listener of its own; clients look at port {tls}. Empty: none.
listen = \"{}\"
# Address of one without TLS, loopback only; clients look at port {plain}. Empty: none.
http_listen = \"{}\"
",
            self.shared,
            address(self.listen),
            address(self.http_listen),
        )
    }
}

/// What the listeners of `[admin_service]` speak.
pub(crate) fn shared_doors(wsman: &DoorSection, cimom: &DoorSection) -> Doors {
    Doors { service: true, wsman: wsman.shared, cimom: cimom.shared }
}
