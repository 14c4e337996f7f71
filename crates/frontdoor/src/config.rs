//! Where the door listens, whom it answers, and within which limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use restock_names::Timestamp;
use rustls::ServerConfig;

use crate::kerberos::Kerberos;

/// Everything that is configured.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// The listeners; each is HTTPS, or plain HTTP on a loopback address.
    pub listeners: Vec<ListenerConfig>,
    /// The names and addresses by which clients may ask, beside the address they connected to:
    /// what a `Host` header may hold, without a port and in any case.
    pub names: Vec<String>,
    /// Origins of web pages that may change things, such as `https://console.example`, beside the
    /// service's own.
    pub origins: Vec<String>,
    /// Answers 404 for every refusal of a request that was signed in, as deployed services do.
    pub everything_is_404: bool,
    /// The limits.
    pub limits: DoorLimits,
    /// The keys of Kerberos; without them nobody signs in with it.
    pub kerberos: Option<Kerberos>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// How its connections are protected.
    pub protection: Protection,
    /// What is spoken on it.
    pub doors: Doors,
}

/// The languages that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doors {
    /// The AdminService.
    pub service: bool,
    /// WS-Management, at `/wsman`.
    pub wsman: bool,
    /// CIM-XML, at `/cimom`.
    pub cimom: bool,
}

impl Doors {
    /// All of them.
    pub const ALL: Self = Self { service: true, wsman: true, cimom: true };
}

/// How connections are protected.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Not at all; loopback addresses only.
    None,
    /// Not below HTTP, on any address: only bodies that are sealed with the keys of a sign-in with
    /// NTLM or Kerberos are taken, no password and no token.
    Sealed,
    /// By TLS.
    Tls(Arc<dyn Certificates>),
}

/// Gives the certificate of the moment, so that it can be renewed while connections are accepted.
pub trait Certificates: std::fmt::Debug + Send + Sync {
    /// The configuration for a connection accepted at `now`. Called for each connection: cheap.
    fn server_config(&self, now: Timestamp) -> Result<Presented, CertificateError>;
}

/// What a connection is protected with. Clients may show a certificate of their own, which is not
/// checked against any authority: who may sign in with it is decided by its fingerprint.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The configuration.
    pub config: Arc<ServerConfig>,
    /// The hash of the certificate by its own signature's rule, SHA-256 for the usual ones
    /// (`tls-server-end-point`, RFC 5929).
    pub certificate_hash: Vec<u8>,
}

/// The certificate cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("the certificate of the management listener is not to be had")]
pub struct CertificateError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Limits of the management listeners.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// Connections at once; further ones wait.
    pub connections_max: usize,
    /// Connections at once from one address (one /64 network in IPv6); further ones are closed.
    pub connections_per_address_max: usize,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// From the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// Without a request on an open connection.
    pub idle_timeout: Duration,
    /// Request line and headers, in bytes; more is 431.
    pub header_bytes_max: usize,
    /// Headers of a request; more is 431.
    pub headers_max: usize,
    /// A request's body, in bytes; more is 413.
    pub body_bytes_max: usize,
    /// Bytes a second that a body must bring on the average, after `rate_grace`; fewer is 408.
    pub body_rate_min: u64,
    /// Bytes a second that a client must take while something waits to be sent, over each
    /// `rate_grace`; a slower one is cut off.
    pub write_rate_min: u64,
    /// For how long both rates may be missed.
    pub rate_grace: Duration,
    /// How long running answers may go on at shutdown.
    pub drain_max: Duration,
    /// Rows of a page when a client asks for pages without saying how large.
    pub page_rows: usize,
    /// Rows of the largest page.
    pub page_rows_max: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 128,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            header_bytes_max: 32 * 1024,
            headers_max: 100,
            body_bytes_max: 1 << 20,
            body_rate_min: 1_024,
            write_rate_min: 1_024,
            rate_grace: Duration::from_secs(10),
            drain_max: Duration::from_secs(10),
            page_rows: 1_000,
            page_rows_max: 10_000,
        }
    }
}
