//! A site's end of the link to the site above it: the control connection kept up, changes exchanged,
//! content served that the site above wants.
//!
//! Source: docs/formats/link.md, "Between sites".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use restock_content::library::Library;
use restock_names::ContentVersion;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

use crate::deltas::Deltas;
use crate::error::chain;
use crate::message::Message;
use crate::replicate::{self, End, Talk};
use crate::serve::{Serving, Wish, serve_pull};
use crate::site_link::{Puller, SiteSide, refuse};
use crate::site_message::SiteHello;
use crate::stream::connect;
use crate::{Backoff, LinkError, Links, PROTOCOL, Run, SiteUpstream};

/// How a site keeps its connection to the one above.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamLinkConfig {
    /// Delays between attempts.
    pub retry: Backoff,
    /// How often the site above is asked for a sign of life.
    pub ping: Duration,
    /// A site that says nothing for this long is given up.
    pub idle: Duration,
    /// Versions served to the site above at once; a wish beyond is not granted, and made again.
    pub pulls: usize,
}

impl Default for UpstreamLinkConfig {
    fn default() -> Self {
        Self {
            retry: Backoff::default(),
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            pulls: 32,
        }
    }
}

/// How long the site above may take to answer the first message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a running connection looks at the age of the certificate.
const RENEWAL_EVERY: Duration = Duration::from_secs(6 * 3600);

/// A handle on a running link. Clones share it.
#[derive(Debug, Clone)]
pub struct UpstreamLink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_connected: AtomicBool,
    reconnect: Notify,
}

impl UpstreamLink {
    /// Connects, and connects again whenever the connection is lost, until the run is cancelled.
    ///
    /// `links` is the registry of the site's own listener: [`Links::wake_sites`] wakes this link too.
    pub fn start<S: SiteSide>(
        config: UpstreamLinkConfig,
        upstream: Arc<SiteUpstream>,
        library: Arc<Library>,
        side: Arc<S>,
        links: Links,
        run: &Run,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let pulls = Arc::new(Semaphore::new(config.pulls));
        let at = Arc::clone(&shared);
        let (deltas, run_here) = (Arc::default(), run.clone());
        let client =
            Client { config, upstream, library, side, links, shared: at, pulls, deltas, run: run_here };
        let client = Arc::new(client);
        run.tracker.spawn(async move {
            let cancel = client.run.cancel.clone();
            cancel.run_until_cancelled(client.keep_up()).await;
            client.shared.is_connected.store(false, Ordering::Relaxed);
        });
        Self { shared }
    }

    /// Is the connection up?
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected.load(Ordering::Relaxed)
    }

    /// Ends the connection, or the wait for the next attempt; a new attempt begins at once.
    pub fn reconnect(&self) {
        self.shared.reconnect.notify_one();
    }
}

#[derive(Debug)]
struct Client<S> {
    config: UpstreamLinkConfig,
    upstream: Arc<SiteUpstream>,
    library: Arc<Library>,
    side: Arc<S>,
    links: Links,
    shared: Arc<Shared>,
    pulls: Arc<Semaphore>,
    deltas: Arc<Deltas>,
    run: Run,
}

impl<S: SiteSide> Client<S> {
    async fn keep_up(self: &Arc<Self>) {
        let parent = self.upstream.parent();
        let mut failures = 0_u32;
        loop {
            let mut was_up = false;
            let ended = tokio::select! {
                ended = Box::pin(self.connection(&mut was_up)) => ended,
                () = self.shared.reconnect.notified() => Ok(()),
            };
            self.shared.is_connected.store(false, Ordering::Relaxed);
            let (cause, delay) = match ended {
                // Asked for: at once.
                Ok(()) => (LinkError::Stopped, Duration::ZERO),
                Err(cause) => {
                    failures = if was_up { 1 } else { failures.saturating_add(1) };
                    self.upstream.enrolled().watch_head(self.run.clock.now());
                    (cause, self.config.retry.draw(failures))
                }
            };
            tracing::info!(site = %parent, cause = chain(&cause), "link to the site above is down");
            self.side.site_disconnected(parent, &cause, Some(delay)).await;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.shared.reconnect.notified() => {}
            }
        }
    }

    /// One connection, from connect to its end.
    async fn connection(self: &Arc<Self>, was_up: &mut bool) -> Result<(), LinkError> {
        let (upstream, parent) = (&self.upstream, self.upstream.parent());
        let trust = upstream.trust();
        let (mut reader, mut writer) = connect(upstream.url(), parent, upstream.client_config()).await?;
        let ours = self.side.replica_facts(parent).await?;
        let key_list = trust.key_list_changes();
        let hello = SiteHello::new(upstream.site(), &ours, trust.key_list().encode());
        writer.message(&Message::SiteHello(hello)).await?;
        let theirs = match reader.message("answer the hello", ANSWER_TIMEOUT).await? {
            Message::SiteWelcome(welcome) => welcome,
            Message::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(LinkError::Unexpected("another answer to a hello")),
        };
        if theirs.site != parent {
            let (wanted, found) = (parent.to_string(), theirs.site.to_string());
            return refuse(writer, LinkError::Identity { wanted, found }).await;
        }
        let keys = upstream.accept_key_list(&theirs.key_list)?;
        if !theirs.authorities.is_empty() {
            upstream.accept_authorities(&theirs.authorities)?;
        }
        upstream.enrolled().take_head(&theirs.head, self.run.clock.now());
        self.side.site_connected(parent, theirs.clone(), keys, None).await?;
        *was_up = true;
        self.shared.is_connected.store(true, Ordering::Relaxed);
        tracing::debug!(site = %parent, software = theirs.software, "connected to the site above");
        let end = Above { client: self, renews_at: std::sync::Mutex::new(Instant::now()) };
        let talk = Talk {
            side: &*self.side,
            links: &self.links,
            peer: parent,
            ours,
            theirs,
            idle: self.config.idle,
            tick: self.config.ping,
            key_list,
            // A site above does not go by the authorities of those below it.
            authorities: None,
        };
        let (_keeps_open, mut commands) = mpsc::channel(1);
        replicate::converse(talk, &end, &mut commands, reader, writer).await
    }

    /// Opens a connection on which the site above fetches a version from this one.
    async fn grant(&self, ticket: u64, content: ContentVersion) -> Result<(), LinkError> {
        let (upstream, parent) = (&self.upstream, self.upstream.parent());
        let (mut reader, mut writer) = connect(upstream.url(), parent, upstream.client_config()).await?;
        writer.message(&Message::ServeHello { protocol: PROTOCOL, ticket, content }).await?;
        let wish = match reader.message("ask for the version", ANSWER_TIMEOUT).await? {
            Message::PullHello { protocol: PROTOCOL, content: asked, base } if asked == content => {
                Wish { content, base }
            }
            Message::Refused(refusal) => return Err(refusal.into()),
            _ => return refuse(writer, LinkError::Unexpected("another version than was wanted")).await,
        };
        let serving = Serving {
            side: &self.side,
            library: &self.library,
            run: &self.run,
            idle: self.config.idle,
            pulls: &self.pulls,
            deltas: &self.deltas,
        };
        Box::pin(serve_pull(serving, &Puller::Site(parent), wish, reader, writer)).await
    }
}

/// What the site above says beside changes.
struct Above<'a, S> {
    client: &'a Arc<Client<S>>,
    /// When the certificate's age is looked at.
    renews_at: std::sync::Mutex<Instant>,
}

impl<S: SiteSide> End for Above<'_, S> {
    async fn heard(&self, message: Message) -> Result<Option<Message>, LinkError> {
        let upstream = &self.client.upstream;
        match message {
            Message::Renewed { certificate } => {
                if upstream.accept_renewal(certificate)? {
                    // The site above counts who has come with a certificate of its new authority.
                    self.client.shared.reconnect.notify_one();
                }
            }
            Message::Head { head } => upstream.enrolled().take_head(&head, self.client.run.clock.now()),
            Message::Authorities { authorities } => {
                if upstream.accept_authorities(&authorities)? {
                    let request = upstream.renewal(self.client.run.clock.now())?;
                    return Ok(request.map(|request| Message::Renew { request }));
                }
            }
            Message::KeyList { key_list } => {
                let keys = upstream.accept_key_list(&key_list)?;
                self.client.side.site_key_list(upstream.parent(), keys).await?;
            }
            Message::PullWanted { ticket, content } => {
                if self.client.pulls.available_permits() == 0 {
                    tracing::warn!(%content, "the site above wants more versions at once than are served");
                    return Ok(None);
                }
                let client = Arc::clone(self.client);
                client.run.tracker.clone().spawn(async move {
                    let granting = client.grant(ticket, content);
                    if let Some(Err(error)) = client.run.cancel.run_until_cancelled(granting).await {
                        tracing::info!(%content, cause = chain(&error), "content is not sent to the site above");
                    }
                });
            }
            _ => return Err(LinkError::Unexpected("a message that has no place on a control connection")),
        }
        Ok(None)
    }

    fn due(&self) -> Result<Vec<Message>, LinkError> {
        let now = self.client.run.clock.now();
        self.client.upstream.enrolled().watch_head(now);
        let mut due = vec![Message::Ping];
        let mut renews_at = self.renews_at.lock().expect("no code panics while holding this lock");
        if *renews_at <= Instant::now() {
            *renews_at = Instant::now() + RENEWAL_EVERY;
            if let Some(request) = self.client.upstream.renewal(now)? {
                due.push(Message::Renew { request });
            }
        }
        Ok(due)
    }
}
