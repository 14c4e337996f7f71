//! Accepts connections and speaks HTTP/1.1 on them, within limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use restock_provider::account::PersonCertificate;
use restock_wire::ntlm::end_point_binding;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Doors, Protection};
use crate::handler::{Handler, Peer};
use crate::socket::{Shared, Socket, Stream, Tls};

/// Wait after a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// Bytes one connection buffers of what is to be sent, and of a head.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long, and how much, a refused client may go on sending before its connection is closed.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 4 << 20;

/// One listener with what its connections need.
pub(crate) struct Accepting {
    pub(crate) listener: TcpListener,
    pub(crate) protection: Protection,
    pub(crate) doors: Doors,
    pub(crate) handler: Arc<Handler>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) addresses: Arc<PerAddress>,
    pub(crate) tracker: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

/// Open connections by address.
#[derive(Debug)]
pub(crate) struct PerAddress {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl PerAddress {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, open: Mutex::new(HashMap::new()) }
    }

    /// `None` when the address has as many as it may.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let network = match address {
            // A machine has a whole /64 to itself.
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)).to_canonical(),
            v4 => v4,
        };
        let network = match address.to_canonical() {
            mapped @ IpAddr::V4(_) => mapped,
            IpAddr::V6(_) => network,
        };
        let mut open = self.open.lock().expect("no code panics while holding this lock");
        let count = open.entry(network).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Entered { all: Arc::clone(self), network })
    }
}

/// A connection that is counted until this is dropped.
struct Entered {
    all: Arc<PerAddress>,
    network: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.all.open.lock().expect("no code panics while holding this lock");
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

impl Accepting {
    /// Accepts until cancelled. Above the limit of connections, new ones wait.
    pub(crate) async fn run(self) {
        loop {
            let accepted = tokio::select! {
                () = self.cancel.cancelled() => return,
                accepted = self.accept() => accepted,
            };
            let (stream, remote, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(target: "adminservice", %error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                    continue;
                }
            };
            let Some(entered) = self.addresses.enter(remote.ip()) else {
                tracing::debug!(target: "adminservice", client = %remote.ip(), "too many connections from one address");
                continue;
            };
            let (handler, protection, cancel) =
                (Arc::clone(&self.handler), self.protection.clone(), self.cancel.clone());
            let doors = self.doors;
            self.tracker.spawn(async move {
                if let Some(protected) = protect(stream, remote, &protection, doors, &handler).await {
                    serve(protected, handler, cancel).await;
                }
                drop((entered, permit));
            });
        }
    }

    async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let (stream, remote) = self.listener.accept().await?;
        // Only now: a listener that waits for clients takes no place from the others.
        let permit = Arc::clone(&self.connections).acquire_owned().await.map_err(std::io::Error::other)?;
        stream.set_nodelay(true)?;
        Ok((stream, remote, permit))
    }
}

/// A connection on which requests can come.
struct Protected {
    stream: Stream,
    peer: Peer,
    /// None without TLS.
    tls: Option<Tls>,
}

/// Does the handshake, where there is one. `None`: the connection came to nothing.
async fn protect(
    stream: TcpStream,
    remote: SocketAddr,
    protection: &Protection,
    doors: Doors,
    handler: &Handler,
) -> Option<Protected> {
    let local = stream.local_addr().ok()?;
    let is_sealed_only = matches!(protection, Protection::Sealed);
    let certificates = match protection {
        Protection::None | Protection::Sealed => {
            let peer = Peer { remote, local, is_tls: false, is_sealed_only, doors };
            return Some(Protected { stream: Stream::Plain(stream), peer, tls: None });
        }
        Protection::Tls(certificates) => certificates,
    };
    let presented = match certificates.server_config(handler.now()) {
        Ok(presented) => presented,
        Err(error) => {
            tracing::error!(target: "adminservice", error = &error as &dyn std::error::Error, "no connection can be protected");
            return None;
        }
    };
    match timeout(handler.limits().handshake_timeout, TlsAcceptor::from(presented.config).accept(stream))
        .await
    {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.and_then(|certificate| PersonCertificate::parse(certificate));
            let hash = &presented.certificate_hash;
            let end_point = [b"tls-server-end-point:", hash.as_slice()].concat();
            let tls = Tls { binding: end_point_binding(hash), end_point, certificate };
            let peer = Peer { remote, local, is_tls: true, is_sealed_only, doors };
            Some(Protected { stream: Stream::Tls(Box::new(stream)), peer, tls: Some(tls) })
        }
        Ok(Err(error)) => {
            // Whoever only looks whether the port is open says nothing at all.
            let says_something = error.kind() == std::io::ErrorKind::InvalidData;
            let (client, code) = (remote, "TLS_HANDSHAKE");
            match says_something {
                true => {
                    tracing::warn!(target: "adminservice", code, %error, %client, "a TLS handshake failed")
                }
                false => {
                    tracing::debug!(target: "adminservice", code, %error, %client, "a TLS handshake failed")
                }
            }
            None
        }
        Err(_elapsed) => None,
    }
}

async fn serve(protected: Protected, handler: Arc<Handler>, cancel: CancellationToken) {
    let limits = handler.limits().clone();
    let Protected { stream, peer, tls } = protected;
    let shared = Arc::new(Shared::new(tls));
    let socket = Socket::new(stream, Arc::clone(&shared), &limits);
    let connection_shared = Arc::clone(&shared);
    let service = service_fn(move |request| {
        let (handler, shared) = (Arc::clone(&handler), Arc::clone(&shared));
        // Boxed: closing by hand needs a connection that can be moved.
        Box::pin(async move { Ok::<_, Infallible>(handler.answer(request, peer, shared).await) })
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The socket below keeps its own deadlines, and counts the headers.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        .max_buf_size(BUFFER_BYTES.max(limits.header_bytes_max))
        .half_close(false)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = connection;
    let mut is_stopping = false;
    let ended = loop {
        let ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx));
        if is_stopping {
            match timeout(limits.drain_max, ended).await {
                Ok(ended) => break ended,
                Err(_elapsed) => {
                    // What is cut off must not look as if it were whole.
                    connection_shared.reset();
                    return;
                }
            }
        }
        tokio::select! {
            ended = ended => break ended,
            () = cancel.cancelled() => {
                is_stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "adminservice", %error, client = %peer.remote.ip(), "connection ended early");
        return;
    }
    let mut socket = connection.into_parts().io.into_inner();
    if tokio::io::AsyncWriteExt::shutdown(&mut socket).await.is_ok() {
        // A client that sees the end may still be writing; it is given a moment.
        let drained = timeout(LINGER_MAX, socket.drain(LINGER_BYTES_MAX)).await;
        drop(drained);
    }
}
