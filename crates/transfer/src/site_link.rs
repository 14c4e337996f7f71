//! The site's end: a listener that enrols machines, keeps control connections and serves pulls, for
//! distribution points and for sites below.
//!
//! Rights are not decided here: [`SiteSide`] is asked who is enrolled, whether a token holds and
//! what a point may fetch.
//!
//! Source: docs/formats/link.md.

mod below;
mod control;
mod enrolment;
mod side;

pub use side::{EnrolRequest, EnrolSiteRequest, Puller, SiteEnrolled, SiteSide};

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use restock_content::library::Library;
use restock_names::{DistributionPointName, SiteCode};
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::deltas::Deltas;
use crate::drafts;
use crate::error::chain;
use crate::message::Message;
use crate::serve::{self, Serving, Wish};
use crate::site_message::SiteHello;
use crate::stream::{WRITE_TIMEOUT, Writer};
use crate::tls::Known;
use crate::{
    Fingerprint, Hello, Holder, Identity, LinkError, Links, PROTOCOL, Refusal, Run, SiteTrust, stream,
};

/// How often a site sends its head on a connection that stays.
const HEAD_EVERY: Duration = Duration::from_secs(3600);

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
    /// A peer that takes less than 64 KiB of what is written to it in this time is given up.
    pub stall: Duration,
}

impl Default for LinkLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshakes: 256,
            pulls: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stall: WRITE_TIMEOUT,
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
    pub(crate) pulls: Arc<Semaphore>,
    pub(crate) deltas: Arc<Deltas>,
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
        let pulls = Arc::new(Semaphore::new(limits.pulls));
        let (run_here, enrolments) = (run.clone(), tokio::sync::Mutex::default());
        let deltas = Arc::default();
        let shared = Arc::new(Shared {
            trust,
            library,
            side,
            links,
            limits,
            run: run_here,
            pulls,
            deltas,
            enrolments,
        });
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
                    let peer = OnceLock::new();
                    let ended = shared.run.cancel.clone().run_until_cancelled_owned(async {
                        let (_connection, handshake) = permits;
                        serve_connection(tcp, remote, &shared, handshake, &peer).await
                    });
                    if let Some(Err(error)) = ended.await {
                        tell(remote, peer.get(), &error);
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

/// Logs why a connection ended: as a warning when somebody is not who it should be or does not keep to
/// the protocol. `peer` is who its certificate says it is.
fn tell(remote: SocketAddr, peer: Option<&Identity>, error: &LinkError) {
    let is_suspect = match error {
        // Whoever only looks whether the port is open says nothing at all.
        LinkError::Handshake { source, .. } => {
            source.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
        }
        LinkError::CertificateTime { .. } | LinkError::Identity { .. } | LinkError::Certificate(_) => true,
        LinkError::TooLong { .. } | LinkError::Format(_) | LinkError::Unexpected(_) => true,
        LinkError::Protocol { .. } | LinkError::Trust(_) => true,
        LinkError::Refused(refusal) => {
            ["IDENTITY", "SENDER_MISMATCH", "KEY_LIST", "LINK_PROTOCOL"].contains(&refusal.code.as_str())
        }
        _ => false,
    };
    let (cause, peer) = (chain(error), peer.map(tracing::field::display));
    match error {
        _ if is_suspect => tracing::warn!(%remote, peer, cause, "link connection refused"),
        LinkError::Timeout { .. } => tracing::info!(%remote, peer, cause, "link connection given up"),
        _ => tracing::debug!(%remote, peer, cause, "link connection ended"),
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
    claimed: &OnceLock<Identity>,
) -> Result<(), LinkError> {
    let after = shared.limits.handshake;
    let show = |known: &Known| shared.trust.shown(known, shared.run.clock.now());
    let stream::Accepted { mut reader, mut writer, certificate, authority } =
        stream::accept(tcp, show, after).await?;
    writer.set_patience(shared.limits.stall);
    let first = async {
        let peer = match certificate {
            Some(certificate) => {
                let identity = Identity::of_certificate(&certificate)?;
                Some(identify(shared, claimed.get_or_init(|| identity), &certificate).await?)
            }
            None => None,
        };
        Ok((peer, reader.message("say what it wants", after).await?))
    };
    let (peer, first) = match first.await {
        Ok(first) => first,
        Err(error) => return refuse(writer, error).await,
    };
    drop(handshake);
    match (peer, first) {
        (None, Message::Enrol { protocol: PROTOCOL, secret, name, request, site }) => {
            let asked = enrolment::Asked { remote, authority, secret, name, request };
            let answer = enrolment::answer(shared, asked, site).await;
            writer.message(&answer).await?;
            writer.close().await;
            Ok(())
        }
        (Some(Peer::Point(name)), Message::Hello(hello)) if hello.protocol == PROTOCOL => {
            Box::pin(control::serve(shared, name, hello, remote, reader, writer)).await
        }
        (Some(Peer::Site(site)), Message::SiteHello(hello)) if hello.protocol == PROTOCOL => {
            Box::pin(below::serve(shared, site, hello, remote, reader, writer)).await
        }
        (Some(peer), Message::PullHello { protocol: PROTOCOL, content, base }) => {
            let token = match &peer {
                Peer::Point(name) => shared.links.token(name),
                Peer::Site(site) => site.all.clone(),
            };
            let puller = Puller::from(peer);
            let wish = Wish { content, base };
            let pull = Box::pin(serve::serve_pull(shared.serving(), &puller, wish, reader, writer));
            token.run_until_cancelled(pull).await.unwrap_or(Err(LinkError::Stopped))
        }
        (Some(Peer::Point(name)), Message::DraftHello { protocol: PROTOCOL, content, from }) => {
            let token = shared.links.token(&name);
            let asked = (content, from);
            let following = Box::pin(drafts::serve_draft(shared.serving(), &name, asked, reader, writer));
            token.run_until_cancelled(following).await.unwrap_or(Err(LinkError::Stopped))
        }
        (Some(Peer::Site(site)), Message::ServeHello { protocol: PROTOCOL, ticket, content }) => {
            let from = (Holder::Site(site.site), site.all);
            below::hand_over(shared, from, ticket, &content, reader, writer).await
        }
        (Some(Peer::Point(name)), Message::ServeHello { protocol: PROTOCOL, ticket, content }) => {
            let cut = shared.links.token(&name);
            let from = (Holder::Point(name), cut);
            below::hand_over(shared, from, ticket, &content, reader, writer).await
        }
        (None, Message::Hello(_) | Message::PullHello { .. } | Message::SiteHello(_)) => {
            let text = "a certificate is wanted; without one a machine can only enrol";
            refuse(writer, Refusal::new("IDENTITY", text).into()).await
        }
        (
            _,
            Message::Hello(Hello { protocol, .. })
            | Message::PullHello { protocol, .. }
            | Message::DraftHello { protocol, .. }
            | Message::SiteHello(SiteHello { protocol, .. })
            | Message::ServeHello { protocol, .. }
            | Message::Enrol { protocol, .. },
        ) if protocol != PROTOCOL => {
            let text = format!("protocol {protocol} is not spoken here, {PROTOCOL} is");
            refuse(writer, Refusal::new("LINK_PROTOCOL", text).into()).await
        }
        (Some(peer @ Peer::Point(_)), Message::SiteHello(_)) => {
            refuse(writer, in_another_role("a site below this one", &peer)).await
        }
        (Some(peer @ Peer::Site(_)), Message::Hello(_)) => {
            refuse(writer, in_another_role("a distribution point", &peer)).await
        }
        _ => refuse(writer, LinkError::Unexpected("a first message that has no place here")).await,
    }
}

/// Who is at the other end, enrolled here under that name with that key.
#[derive(Debug)]
pub(crate) enum Peer {
    Point(DistributionPointName),
    Site(SitePeer),
}

/// A site below this one.
#[derive(Debug)]
pub(crate) struct SitePeer {
    pub(crate) site: SiteCode,
    pub(crate) enrolled: SiteEnrolled,
    /// Ends every connection of the site when it is disconnected; taken before the site was looked up.
    pub(crate) all: CancellationToken,
}

impl From<Peer> for Puller {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Point(name) => Self::Point(name),
            Peer::Site(peer) => Self::Site(peer.site),
        }
    }
}

fn in_another_role(wanted: &str, peer: &Peer) -> LinkError {
    let found = match peer {
        Peer::Point(name) => format!("distribution point {name}"),
        Peer::Site(peer) => format!("site {}", peer.site),
    };
    LinkError::Identity { wanted: wanted.to_owned(), found }
}

/// Who the certificate names, if that key is enrolled under that name here.
async fn identify<S: SiteSide>(
    shared: &Shared<S>,
    identity: &Identity,
    certificate: &CertificateDer<'static>,
) -> Result<Peer, LinkError> {
    let fingerprint = Fingerprint::of_key_in(certificate)?;
    match identity.clone() {
        Identity::DistributionPoint(site, name) if site == shared.trust.site() => {
            if shared.side.is_enrolled(&name, fingerprint).await? {
                shared.note_moved(identity, certificate).await?;
                return Ok(Peer::Point(name));
            }
            let text = format!("{name} is not enrolled with this key");
            Err(Refusal::new("IDENTITY", text).into())
        }
        // The site's own certificate is of the same authority: it is nobody below.
        Identity::Site(site) if site != shared.trust.site() => {
            let all = shared.links.site_token(site);
            match shared.side.is_site_enrolled(site, fingerprint).await? {
                Some(enrolled) => {
                    shared.note_moved(identity, certificate).await?;
                    Ok(Peer::Site(SitePeer { site, enrolled, all }))
                }
                None => {
                    let text = format!("site {site} is not enrolled with this key");
                    Err(Refusal::new("IDENTITY", text).into())
                }
            }
        }
        other => {
            let wanted = format!("a distribution point of {} or a site below it", shared.trust.site());
            Err(LinkError::Identity { wanted, found: other.to_string() })
        }
    }
}

impl<S: SiteSide> Shared<S> {
    /// While the authority is changed: who shows a certificate of the new one has moved.
    async fn note_moved(
        &self,
        identity: &Identity,
        certificate: &CertificateDer<'static>,
    ) -> Result<(), LinkError> {
        if !self.trust.awaits(identity) {
            return Ok(());
        }
        let identity = identity.clone();
        let (trust, certificate, now) = (Arc::clone(&self.trust), certificate.clone(), self.run.clock.now());
        let noting = self.run.tracker.spawn_blocking(move || trust.note_moved(identity, &certificate, now));
        Ok(noting.await.unwrap_or(Ok(()))?)
    }

    /// The authorities that count, for who is enrolled here; empty while there was never another.
    pub(crate) fn authority_list(&self) -> Vec<u8> {
        self.trust.authority_list().map_or_else(Vec::new, |list| list.encode())
    }

    /// This site's head, made anew.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.trust.head(self.run.clock.now()).encode()
    }

    /// What serving content takes.
    pub(crate) fn serving(&self) -> Serving<'_, S> {
        Serving {
            side: &self.side,
            library: &self.library,
            run: &self.run,
            idle: self.limits.idle,
            pulls: &self.pulls,
            deltas: &self.deltas,
        }
    }
}

/// Tells the peer why, then ends with the reason.
pub(crate) async fn refuse(mut writer: Writer, error: LinkError) -> Result<(), LinkError> {
    let refusal = match &error {
        LinkError::Refused(refusal) => refusal.clone(),
        // An error of our own is not described to strangers.
        LinkError::Trust(_) | LinkError::Io { .. } | LinkError::Closed => return Err(error),
        other => Refusal {
            code: other.code().to_owned(),
            text: other.to_string().split_once(": ").map_or("", |(_, text)| text).to_owned(),
            // A peer that was too slow may ask again, and so may one whose site is going down.
            is_transient: other.is_transient() || matches!(other, LinkError::Stopped),
        },
    };
    match writer.message(&Message::Refused(refusal)).await {
        Ok(()) => writer.close().await,
        // The reason stays what it is.
        Err(gone) => tracing::trace!(cause = chain(&gone), "the peer does not hear why"),
    }
    Err(error)
}
