//! Why a connection cannot be made or kept.

use std::io;
use std::time::Duration;

use crate::{IdentityError, Refusal, SiteUrl, TrustError};

/// Why a link fails. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The listener's address cannot be taken.
    #[error("LINK_BIND: failed to listen on {address}")]
    Bind { address: std::net::SocketAddr, source: io::Error },
    /// No connection to the site.
    #[error("LINK_CONNECT: failed to connect to {url}")]
    Connect { url: SiteUrl, source: io::Error },
    /// TLS did not come about: another authority, an old version, a plain port.
    #[error("LINK_TLS: failed to agree on TLS with {peer}")]
    Handshake { peer: String, source: io::Error },
    /// The far end's certificate is not valid at this time: one of the two clocks is wrong.
    #[error(
        "CERT_TIME: the certificate of {peer} is not valid now: it is {now} here, the certificate is valid {valid}"
    )]
    CertificateTime { peer: String, now: restock_names::Timestamp, valid: String },
    /// A site below this one, or a point of it, that content is wanted from.
    #[error("LINK_DOWN: {holder} is not connected")]
    NotConnected { holder: crate::Holder },
    /// A point of an older release, which sends nothing to its site.
    #[error("LINK_DOWN: distribution point {0} does not serve its site")]
    ServesNothing(restock_names::DistributionPointName),
    /// The far end is not who it should be.
    #[error("IDENTITY: {wanted} was expected, {found} answers")]
    Identity { wanted: String, found: String },
    /// The far end's certificate names nobody.
    #[error(transparent)]
    Certificate(#[from] IdentityError),
    /// The far end speaks another protocol.
    #[error("LINK_PROTOCOL: the peer speaks {theirs}, {ours} is wanted")]
    Protocol { ours: String, theirs: String },
    /// Reading or writing failed.
    #[error("LINK_IO: failed to {operation}")]
    Io { operation: &'static str, source: io::Error },
    /// The far end closed the connection.
    #[error("LINK_CLOSED: the peer closed the connection")]
    Closed,
    /// The connection ended inside a frame.
    #[error("LINK_TRUNCATED: the connection ended inside a frame")]
    Truncated,
    /// A frame above the limit.
    #[error("CONTENT_TOO_LONG: a frame of {length} bytes, at most {limit} are allowed")]
    TooLong { length: u64, limit: usize },
    /// A frame that cannot be read.
    #[error("LINK_FORMAT: {0}")]
    Format(String),
    /// A message that has no place here.
    #[error("LINK_UNEXPECTED: {0}")]
    Unexpected(&'static str),
    /// Nothing happened for too long.
    #[error("LINK_TIMEOUT: the peer did not {what} within {} s", .after.as_secs())]
    Timeout { what: &'static str, after: Duration },
    /// A holder sends, but hardly anything.
    #[error(
        "LINK_RATE: the holder sent {bytes} bytes of what it owes in {:.1} s, at least {rate_min} bytes a second are wanted",
        .after.as_secs_f64()
    )]
    TooSlow { bytes: u64, after: Duration, rate_min: u64 },
    /// The far end said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Keys or certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// This end is shutting down.
    #[error("LINK_STOPPED: the link is shut down")]
    Stopped,
}

impl LinkError {
    /// The stable code.
    pub fn code(&self) -> &str {
        match self {
            Self::Bind { .. } => "LINK_BIND",
            Self::Connect { .. } => "LINK_CONNECT",
            Self::Handshake { .. } => "LINK_TLS",
            Self::CertificateTime { .. } => "CERT_TIME",
            Self::NotConnected { .. } | Self::ServesNothing(_) => "LINK_DOWN",
            Self::Identity { .. } | Self::Certificate(_) => "IDENTITY",
            Self::Protocol { .. } => "LINK_PROTOCOL",
            Self::Io { .. } => "LINK_IO",
            Self::Closed => "LINK_CLOSED",
            Self::Truncated => "LINK_TRUNCATED",
            Self::TooLong { .. } => "CONTENT_TOO_LONG",
            Self::Format(_) => "LINK_FORMAT",
            Self::Unexpected(_) => "LINK_UNEXPECTED",
            Self::Timeout { .. } => "LINK_TIMEOUT",
            Self::TooSlow { .. } => "LINK_RATE",
            Self::Refused(refusal) => &refusal.code,
            Self::Trust(_) => "TRUST",
            Self::Stopped => "LINK_STOPPED",
        }
    }

    /// Is it worth trying again?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Handshake { .. } | Self::Io { .. } | Self::Closed => true,
            Self::Truncated | Self::Timeout { .. } | Self::TooSlow { .. } => true,
            Self::CertificateTime { .. } | Self::NotConnected { .. } => true,
            Self::Refused(refusal) => refusal.is_transient,
            Self::Bind { .. } | Self::Identity { .. } | Self::Certificate(_) | Self::Protocol { .. } => false,
            Self::ServesNothing(_) => false,
            Self::TooLong { .. } | Self::Format(_) | Self::Unexpected(_) | Self::Trust(_) | Self::Stopped => {
                false
            }
        }
    }

    /// Names the operation an I/O error broke.
    pub(crate) fn io(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { operation, source }
    }
}

/// An error and its causes in one line, for a report to the other end.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent error shows its source's text already.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
