//! Sockets for management requests: the AdminService, WS-Management and CIM-XML.
//!
//! [`ManagementDoor::start`] binds the listeners of a [`DoorConfig`]; each request is signed in,
//! read by the codecs of `restock-wire`, carried out by the object API of `restock-provider`, and
//! answered in the language of its door.
//!
//! What it does not do: it has no SQL, decides no rights, opens no files, and knows no
//! certificate authority ([`Certificates`] brings what TLS needs).
//! Source: docs/formats/adminservice.md, docs/formats/cimxml.md; RFC 9110, RFC 9112.

mod authenticate;
mod cimom;
mod collection;
mod config;
mod content;
mod contexts;
mod correlation;
mod documents;
mod framing;
mod handler;
mod host;
mod kerberos;
mod listen;
mod negotiate;
mod page;
mod prefer;
mod qualifiers;
mod refused;
mod route;
mod service;
mod socket;
mod wsman;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use restock_names::Clock;
use restock_provider::account::Accounts;
use restock_provider::{Provider, Refusal};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{
    CertificateError, Certificates, DoorConfig, DoorLimits, Doors, ListenerConfig, Presented, Protection,
};
pub use framing::fuzz_one as fuzz_framing;
pub use kerberos::{ChannelBinding, Kerberos, KerberosError};

use cimom::Cimom;
use documents::Documents;
use handler::Handler;
use host::Known;
use listen::{Accepting, PerAddress};
use page::Seal;
use qualifiers::Handles;
use refused::Mapping;
use wsman::WsMan;

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// Passwords would travel readable.
    #[error(
        "LISTENER_NOT_LOOPBACK: {0} cannot be served without TLS; plain HTTP listens on a loopback address such as 127.0.0.1"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, or not of this machine.
    #[error("failed to listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    /// The machine gave no randomness.
    #[error("failed to make a key for page tokens")]
    Randomness(#[source] getrandom::Error),
    /// The site is not to be read.
    #[error("failed to read which site this is")]
    Site(#[source] Box<Refusal>),
}

/// The running listeners.
#[derive(Debug)]
pub struct ManagementDoor {
    addresses: Vec<SocketAddr>,
}

impl ManagementDoor {
    /// Binds the listeners and serves until `cancel`; then running answers get
    /// [`DoorLimits::drain_max`] to end.
    pub async fn start(
        config: DoorConfig,
        provider: Provider,
        accounts: Accounts,
        clock: Arc<dyn Clock>,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, DoorError> {
        for listener in &config.listeners {
            if matches!(listener.protection, Protection::None) && !listener.address.ip().is_loopback() {
                return Err(DoorError::NotLoopback(listener.address));
            }
        }
        let site = provider.site_code().await.map_err(|refusal| DoorError::Site(Box::new(refusal)))?;
        let schema = provider.schema();
        let handler = Arc::new(Handler {
            known: Known::new(&config.names, &config.origins),
            documents: Documents::new(schema),
            mapping: Mapping { schema, everything_is_404: config.everything_is_404 },
            seal: Arc::new(Seal::new().map_err(DoorError::Randomness)?),
            cimom: Cimom::default(),
            wsman: WsMan::default(),
            handles: Handles::default(),
            kerberos: config.kerberos,
            ntlm_names: negotiate::names(provider.host(), site.as_str()),
            namespace: format!(r"root\sms\site_{site}"),
            provider,
            accounts,
            clock,
            limits: config.limits,
        });
        let limits = handler.limits();
        let connections = Arc::new(Semaphore::new(limits.connections_max));
        let per_address = Arc::new(PerAddress::new(limits.connections_per_address_max));
        let (mut addresses, mut accepting) = (Vec::new(), Vec::new());
        for ListenerConfig { address, protection, doors } in config.listeners {
            let failed = |source| DoorError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            addresses.push(listener.local_addr().map_err(failed)?);
            accepting.push(Accepting {
                listener,
                protection,
                doors,
                handler: Arc::clone(&handler),
                connections: Arc::clone(&connections),
                addresses: Arc::clone(&per_address),
                tracker: tracker.clone(),
                cancel: cancel.clone(),
            });
        }
        for listener in accepting {
            tracker.spawn(listener.run());
        }
        Ok(Self { addresses })
    }

    /// The addresses bound, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}
