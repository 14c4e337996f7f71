//! The site's end: a listener that enrols machines, keeps control connections and serves pulls.
//!
//! Rights are not decided here: [`SiteSide`] is asked who is enrolled, whether a token holds and
//! what a point may fetch.
//!
//! Source: docs/formats/link.md.

mod control;
mod enrolment;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::Library;
use restock_names::{ContentVersion, Digest, DistributionPointName, Timestamp};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::error::chain;
use crate::message::Message;
use crate::stream::Writer;
use crate::token::TokenKind;
use crate::{
    Connection, Fingerprint, Hello, Identity, LinkError, Links, PROTOCOL, Progress, Refusal, Report, Run,
    SiteTrust, serve, stream,
};

/// What a site decides and remembers about its points. The link calls it from many tasks.
pub trait SiteSide: Send + Sync + 'static {
    /// Is `fingerprint` the key enrolled for `name`, and the point not removed? Asked once for each
    /// connection.
    fn is_enrolled(
        &self,
        name: &DistributionPointName,
        fingerprint: Fingerprint,
    ) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// Redeems a token and enrols the key, in one transaction.
    ///
    /// Refusals: `TOKEN_UNKNOWN`, `TOKEN_USED`, `TOKEN_EXPIRED`, `TOKEN_NAME`. The same token with
    /// the same key again, after a lost answer, may be accepted.
    fn enrol(&self, request: EnrolRequest) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A control connection is up, and jobs can be sent to it: notes what the point says about itself
    /// and sends its open jobs again. The point's reports are taken after this returned; an older
    /// connection of it may still be ending.
    fn connected(
        &self,
        name: &DistributionPointName,
        connection: Connection,
        hello: Hello,
        remote: SocketAddr,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// The control connection is gone. No newer one had taken its place then; one may have since.
    fn disconnected(&self, name: &DistributionPointName) -> impl Future<Output = ()> + Send;

    /// Takes a report. `Ok` means that it is durable: only then it is acknowledged. The same report
    /// may come again.
    ///
    /// A transient refusal makes the point send it again, any other makes it forget the report.
    fn report(
        &self,
        name: &DistributionPointName,
        report: Report,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Notes how far a job is. Must not wait.
    fn progress(&self, name: &DistributionPointName, progress: Progress);

    /// May the point fetch this version now: is it targeted, and the version current or being
    /// distributed?
    fn authorise_pull(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A pull connection has ended, having moved this many bytes. Must not wait.
    fn pull_ended(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
        wire_sent: u64,
        wire_received: u64,
    ) {
        tracing::debug!(point = %name, package.id = %content.package, wire_sent, wire_received, "pull connection ended");
    }
}

/// A machine that wants to become a distribution point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolRequest {
    /// SHA-256 of the token's secret.
    pub token_hash: Digest,
    /// What it wants to be.
    pub kind: TokenKind,
    /// The name it wants.
    pub name: DistributionPointName,
    /// SHA-256 of its public key.
    pub fingerprint: Fingerprint,
    /// When its certificate ends; it is renewed before.
    pub expires_at: Timestamp,
    /// Where it connects from.
    pub remote: SocketAddr,
}

/// Where a site listens, and its limits.
#[derive(Debug, Clone)]
pub struct SiteLinkConfig {
    /// The address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// See [`LinkLimits`].
    pub limits: LinkLimits,
}

/// What one listener allows.
#[derive(Debug, Clone, Copy)]
pub struct LinkLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections that are not identified yet, at once.
    pub handshakes: usize,
    /// Pull connections at once; each has a thread while it runs.
    pub pulls: usize,
    /// From the connection to the end of TLS, and from there to the first message.
    pub handshake: Duration,
    /// A control connection that says nothing for this long is closed; points ping every 20 s.
    pub idle: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshakes: 256,
            pulls: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
        }
    }
}

/// A running listener. It ends with the token it was started with.
#[derive(Debug)]
pub struct SiteLink {
    address: SocketAddr,
}

/// What every connection of a listener shares.
#[derive(Debug)]
pub(crate) struct Shared<S> {
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) library: Arc<Library>,
    pub(crate) side: Arc<S>,
    pub(crate) links: Links,
    pub(crate) limits: LinkLimits,
    pub(crate) run: Run,
    pub(crate) pulls: Semaphore,
    /// One enrolment at a time; a refused one holds it for a moment, so that guessing is slow.
    pub(crate) enrolments: tokio::sync::Mutex<()>,
}

impl SiteLink {
    /// Listens and serves until the run is cancelled.
    ///
    /// Errors: [`LinkError::Bind`].
    pub async fn start<S: SiteSide>(
        config: SiteLinkConfig,
        trust: Arc<SiteTrust>,
        library: Arc<Library>,
        side: Arc<S>,
        links: Links,
        run: &Run,
    ) -> Result<Self, LinkError> {
        let bind = |source| LinkError::Bind { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let limits = config.limits;
        let pulls = Semaphore::new(limits.pulls);
        let (run_here, enrolments) = (run.clone(), tokio::sync::Mutex::default());
        let shared =
            Arc::new(Shared { trust, library, side, links, limits, run: run_here, pulls, enrolments });
        run.tracker.spawn(accept_all(listener, shared));
        Ok(Self { address })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn accept_all<S: SiteSide>(listener: TcpListener, shared: Arc<Shared<S>>) {
    let connections = Arc::new(Semaphore::new(shared.limits.connections));
    let handshakes = Arc::new(Semaphore::new(shared.limits.handshakes));
    loop {
        let accepted = tokio::select! {
            () = shared.run.cancel.cancelled() => return,
            accepted = accept_one(&listener, &connections, &handshakes) => accepted,
        };
        match accepted {
            Ok((tcp, remote, permits)) => {
                let shared = Arc::clone(&shared);
                shared.run.tracker.clone().spawn(async move {
                    let ended = shared.run.cancel.clone().run_until_cancelled_owned(async {
                        let (_connection, handshake) = permits;
                        serve_connection(tcp, remote, &shared, handshake).await
                    });
                    if let Some(Err(error)) = ended.await {
                        tracing::debug!(%remote, cause = chain(&error), "link connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end first.
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

type Permit = tokio::sync::OwnedSemaphorePermit;

async fn accept_one(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
    handshakes: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, (Permit, Permit))> {
    let permit = |semaphore: &Arc<Semaphore>| {
        let acquiring = Arc::clone(semaphore).acquire_owned();
        async { acquiring.await.expect("these semaphores are never closed") }
    };
    // Permits first: what is over the limit waits in the kernel's queue.
    let permits = (permit(connections).await, permit(handshakes).await);
    let (tcp, remote) = listener.accept().await?;
    Ok((tcp, remote, permits))
}

async fn serve_connection<S: SiteSide>(
    tcp: TcpStream,
    remote: SocketAddr,
    shared: &Shared<S>,
    handshake: Permit,
) -> Result<(), LinkError> {
    let config = shared.trust.server_config(shared.run.clock.now())?;
    let after = shared.limits.handshake;
    let (mut reader, mut writer, certificate) = stream::accept(tcp, config, after).await?;
    let first = async {
        let name = match certificate {
            Some(certificate) => Some(identify(shared, &certificate).await?),
            None => None,
        };
        Ok((name, reader.message("say what it wants", after).await?))
    };
    let (name, first) = match first.await {
        Ok(first) => first,
        Err(error) => return refuse(writer, error).await,
    };
    drop(handshake);
    match (name, first) {
        (None, Message::Enrol { protocol: PROTOCOL, secret, name, request }) => {
            let answer = enrolment::answer(shared, remote, &secret, name, &request).await;
            writer.message(&answer).await?;
            writer.close().await;
            Ok(())
        }
        (Some(name), Message::Hello(hello)) if hello.protocol == PROTOCOL => {
            Box::pin(control::serve(shared, name, hello, remote, reader, writer)).await
        }
        (Some(name), Message::PullHello { protocol: PROTOCOL, content }) => {
            let token = shared.links.token(&name);
            let pull = Box::pin(serve::serve_pull(shared, &name, &content, reader, writer));
            token.run_until_cancelled(pull).await.unwrap_or(Err(LinkError::Stopped))
        }
        (None, Message::Hello(_) | Message::PullHello { .. }) => {
            let text = "a certificate is wanted; without one a machine can only enrol";
            refuse(writer, Refusal::new("IDENTITY", text).into()).await
        }
        (
            _,
            Message::Hello(Hello { protocol, .. })
            | Message::PullHello { protocol, .. }
            | Message::Enrol { protocol, .. },
        ) if protocol != PROTOCOL => {
            let text = format!("protocol {protocol} is not spoken here, {PROTOCOL} is");
            refuse(writer, Refusal::new("LINK_PROTOCOL", text).into()).await
        }
        _ => refuse(writer, LinkError::Unexpected("a first message that has no place here")).await,
    }
}

/// Who the certificate names, if that key is enrolled under that name here.
async fn identify<S: SiteSide>(
    shared: &Shared<S>,
    certificate: &CertificateDer<'static>,
) -> Result<DistributionPointName, LinkError> {
    let identity = Identity::of_certificate(certificate)?;
    let fingerprint = Fingerprint::of_key_in(certificate)?;
    match identity {
        Identity::DistributionPoint(site, name) if site == shared.trust.site() => {
            if shared.side.is_enrolled(&name, fingerprint).await? {
                return Ok(name);
            }
            let text = format!("{name} is not enrolled with this key");
            Err(Refusal::new("IDENTITY", text).into())
        }
        other => {
            let wanted = format!("a distribution point of {}", shared.trust.site());
            Err(LinkError::Identity { wanted, found: other.to_string() })
        }
    }
}

/// Tells the peer why, then ends with the reason.
pub(crate) async fn refuse(mut writer: Writer, error: LinkError) -> Result<(), LinkError> {
    let refusal = match &error {
        LinkError::Refused(refusal) => refusal.clone(),
        // An error of our own is not described to strangers.
        LinkError::Trust(_) | LinkError::Io { .. } | LinkError::Closed => return Err(error),
        other => Refusal::new(other.code(), other.to_string().split_once(": ").map_or("", |(_, text)| text)),
    };
    writer.message(&Message::Refused(refusal)).await?;
    writer.close().await;
    Err(error)
}
