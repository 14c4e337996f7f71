//! Signing in with Kerberos, where this program was built with the feature `kerberos`.
//!
//! [`Kerberos`] stands for the keys of the keytab. It turns a client's token into an [`Accepted`]: who
//! asks, for which service, until when, the answer that shows the client this server has the key, and
//! the keys that bodies are sealed with.
//!
//! The system's GSS-API library reads keytab, tickets and authenticators and keeps the replay cache,
//! whose places `KRB5_KTNAME` and `KRB5RCACHENAME` say. Calls of it touch files, so they run on threads
//! of their own, and few at once.
//!
//! What it does not do: it knows no account and no HTTP, is no client, and forwards nobody's tickets.
//! Without the feature there is no way to make a [`Kerberos`], and nothing of the library is linked.
//! Source: docs/rights.md, "Kerberos"; RFC 4120, 3.2; RFC 4121; RFC 2743, 2.2.2.

#![cfg_attr(
    not(feature = "kerberos"),
    allow(dead_code, unused_variables, reason = "without the feature nobody has keys to come here with")
)]

#[cfg(not(feature = "kerberos"))]
mod absent;
#[cfg(feature = "kerberos")]
mod gss;

#[cfg(not(feature = "kerberos"))]
use absent as engine;
#[cfg(feature = "kerberos")]
use gss as engine;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub(crate) use engine::Context;

/// Tokens that are looked at at once; further ones wait.
const ACCEPTS_MAX: usize = 8;
/// The longest token, in bytes. Those that carry the groups of somebody with hundreds have some 48 KiB.
const TOKEN_BYTES_MAX: usize = 64 * 1024;
/// Services whose tickets are taken, by the first part of their names.
const SERVICES: [&str; 3] = ["HTTP", "WSMAN", "HOST"];

/// Whether a ticket is bound to the TLS connection it comes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// It must be.
    Required,
    /// A binding that was sent must be right; clients that send none are taken.
    WhenSent,
}

/// Why nobody can sign in with Kerberos. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KerberosError {
    /// The feature is not there.
    #[error("KERBEROS_NOT_BUILT: this program was built without Kerberos")]
    NotBuilt,
    /// There is no keytab, or nothing in it.
    #[error("KERBEROS_KEYTAB: the library gives no keys: {0}")]
    Keys(String),
}

/// The keys of the keytab, and what is asked of clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kerberos {
    keys: engine::Keys,
    binding: ChannelBinding,
    places: Arc<Semaphore>,
}

/// Why a token is refused. The text begins with the stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TicketRefusal {
    /// It is none.
    #[error("KERBEROS_FORMAT: this is no token of Kerberos, or one that needs more than one answer")]
    Format,
    /// It is for somebody else.
    #[error(
        "KERBEROS_SERVICE: the ticket is for another service than this one; ask for HTTP or WSMAN at a name of this service"
    )]
    Service,
    /// Before or after its time.
    #[error("KERBEROS_EXPIRED: the ticket is not valid at this time")]
    Expired,
    /// The clocks differ.
    #[error("KERBEROS_SKEW: the client's clock and this server's differ by more than is allowed")]
    Skew,
    /// The same token again.
    #[error("KERBEROS_REPLAY: this token was used before")]
    Replayed,
    /// It belongs to another connection, or to none.
    #[error("EPA_REQUIRED: over TLS a ticket is bound to the server's certificate (tls-server-end-point)")]
    ChannelBinding,
    /// Without TLS everything is sealed.
    #[error("KERBEROS_WEAK: without TLS only sealed bodies are taken; agree on sealing, replay and order")]
    Weak,
    /// Any other reason; what the library says of it goes into the log.
    #[error("KERBEROS_REFUSED: the ticket was not made with this server's key, or was changed")]
    Other(String),
}

impl TicketRefusal {
    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Format => "KERBEROS_FORMAT",
            Self::Service => "KERBEROS_SERVICE",
            Self::Expired => "KERBEROS_EXPIRED",
            Self::Skew => "KERBEROS_SKEW",
            Self::Replayed => "KERBEROS_REPLAY",
            Self::ChannelBinding => "EPA_REQUIRED",
            Self::Weak => "KERBEROS_WEAK",
            Self::Other(_) => "KERBEROS_REFUSED",
        }
    }
}

/// Somebody whose ticket is right. Whether they have an account is not known.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// `anna@EXAMPLE.COM`, as the library writes it.
    pub(crate) client: String,
    /// `HTTP/site.example@EXAMPLE.COM`.
    pub(crate) service: String,
    /// How long the ticket is valid yet.
    pub(crate) valid_for: Duration,
    /// Bound to the connection.
    pub(crate) is_bound: bool,
    /// Bodies can be sealed, and a sealed body is opened once and in its order alone.
    pub(crate) can_seal: bool,
    /// What the client is answered, when it asked the server to show its key.
    pub(crate) reply: Option<Vec<u8>>,
    /// The keys.
    pub(crate) context: Context,
}

impl Kerberos {
    /// Opens the keytab.
    ///
    /// Errors: [`KerberosError`]; a keytab that is not to be read or has no entry.
    pub fn open(binding: ChannelBinding) -> Result<Self, KerberosError> {
        let keys = engine::Keys::open()?;
        Ok(Self { keys, binding, places: Arc::new(Semaphore::new(ACCEPTS_MAX)) })
    }

    /// Looks at a client's token.
    ///
    /// `binding`: what a ticket on this connection is bound to; `None` without TLS. `is_own_host`:
    /// whether a host, by name or address, is this service.
    pub(crate) async fn accept(
        &self,
        token: Vec<u8>,
        binding: Option<Vec<u8>>,
        is_own_host: impl Fn(&str) -> bool,
    ) -> Result<Accepted, TicketRefusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TicketRefusal::Format);
        }
        let stopped = |error: &dyn std::fmt::Display| TicketRefusal::Other(error.to_string());
        let is_tls = binding.is_some();
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| stopped(&error))?;
        let keys = self.keys.clone();
        let accepted = tokio::task::spawn_blocking(move || {
            let accepted = keys.accept(&token, binding.as_deref());
            drop(place);
            accepted
        });
        let accepted = accepted.await.map_err(|error| stopped(&error))??;
        if !is_own_service(&accepted.service, is_own_host) {
            return Err(TicketRefusal::Service);
        }
        if is_tls && !accepted.is_bound && self.binding == ChannelBinding::Required {
            return Err(TicketRefusal::ChannelBinding);
        }
        if !is_tls && !accepted.can_seal {
            return Err(TicketRefusal::Weak);
        }
        Ok(accepted)
    }
}

/// True for `HTTP/HOST@REALM` and its like with a host that is this service: a keytab may hold keys
/// of other services of the machine, whose tickets are not meant for this one.
fn is_own_service(principal: &str, is_own_host: impl Fn(&str) -> bool) -> bool {
    let name = principal.rsplit_once('@').map_or(principal, |(name, _realm)| name);
    let Some((service, host)) = name.split_once('/') else { return false };
    SERVICES.iter().any(|known| service.eq_ignore_ascii_case(known)) && is_own_host(host)
}

#[cfg(test)]
mod tests {
    use super::is_own_service;

    #[test]
    fn tickets_are_for_this_service_by_one_of_its_names() {
        let is_own = |principal| is_own_service(principal, |host| host == "site.example");
        for principal in ["HTTP/site.example@EXAMPLE.COM", "wsman/site.example@X", "host/site.example"] {
            assert!(is_own(principal), "{principal}");
        }
        for principal in [
            "HTTP/other.example@EXAMPLE.COM",
            "cifs/site.example@EXAMPLE.COM",
            "HTTP@site.example",
            "site.example@EXAMPLE.COM",
            "HTTP/site.example/more@EXAMPLE.COM",
            "",
        ] {
            assert!(!is_own(principal), "{principal}");
        }
    }
}
