//! The point's end of the control connection: kept up, jobs handed over, reports kept until they
//! are acknowledged.
//!
//! Source: docs/formats/link.md, "Control connection".

mod outbox;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use restock_content::library::Library;
use restock_names::ContentVersion;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};

use crate::deltas::Deltas;
use crate::message::Message;
use crate::serve::{Parts, Wish, serve_site};
use crate::site_link::refuse;
use crate::stream::{Reader, Writer, connect};
use crate::{Backoff, DpIdentity, Hello, Job, LinkError, PROTOCOL, Progress, Report, Run, Welcome};

use outbox::Outbox;

/// What a distribution point says and does. The link calls it from one task.
pub trait DpSide: Send + Sync + 'static {
    /// What the point says about itself, at each connect.
    fn hello(&self) -> impl Future<Output = HelloFacts> + Send;

    /// The connection is up. The key list in it is already checked and kept.
    fn welcome(&self, welcome: Welcome) -> impl Future<Output = ()> + Send;

    /// Another list of accepted keys has come, and is checked and kept.
    fn keys_changed(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// A job has arrived; it may have arrived before. Must return soon: queue it.
    fn job(&self, job: Job) -> impl Future<Output = ()> + Send;

    /// A version that a job may want later is in the making: it may be followed. Must return soon.
    fn draft(&self, _content: ContentVersion) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// The library from which the point's site may fetch, when it asks, what it has lost itself. A point
    /// without one serves its site nothing.
    fn library(&self) -> Option<Arc<Library>> {
        None
    }

    /// The connection is gone, or could not be made.
    fn disconnected(&self, cause: &LinkError, retry_in: Duration) {
        tracing::info!(
            cause = crate::error::chain(cause),
            retry_ms = retry_in.as_millis() as u64,
            "link to the site is down"
        );
    }
}

/// What [`DpSide::hello`] knows; the link adds the rest of [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelloFacts {
    /// The point's library, as hex digits.
    pub library_id: String,
    /// Where the point serves content.
    pub serve_urls: Vec<String>,
    /// The versions it serves.
    pub held: Vec<ContentVersion>,
}

/// How a point keeps its connection.
#[derive(Debug, Clone, Copy)]
pub struct DpLinkConfig {
    /// Delays between attempts.
    pub retry: Backoff,
    /// How often the site is asked for a sign of life.
    pub ping: Duration,
    /// A site that says nothing for this long is given up.
    pub idle: Duration,
    /// Reports that were not acknowledged for this long are sent again.
    pub resend: Duration,
}

impl Default for DpLinkConfig {
    fn default() -> Self {
        Self {
            retry: Backoff::default(),
            ping: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            resend: Duration::from_secs(30),
        }
    }
}

/// Connections on which the site is served at once; a wish beyond is not granted, and made again.
const SERVED_MAX: usize = 4;
/// How long a site may take to ask for the version it wants.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// Progress of one job is sent this often at most.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
/// How long a site may take to answer the first message.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a running connection looks at the age of the certificate.
const RENEWAL_EVERY: Duration = Duration::from_secs(6 * 3600);

/// A handle on a running link. Clones share it.
#[derive(Debug, Clone)]
pub struct DpLink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    outbox: Outbox,
    changed: Notify,
    reconnect: Notify,
    is_connected: AtomicBool,
}

impl DpLink {
    /// Connects, and connects again whenever the connection is lost, until the run is cancelled.
    pub fn start<D: DpSide>(
        config: DpLinkConfig,
        identity: Arc<DpIdentity>,
        side: Arc<D>,
        run: &Run,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let served = Arc::new(Semaphore::new(SERVED_MAX));
        let (at, run_here) = (Arc::clone(&shared), run.clone());
        let client = Client { config, identity, side, shared: at, served, run: run_here };
        run.tracker.spawn(async move {
            let cancel = client.run.cancel.clone();
            cancel.run_until_cancelled(client.keep_up()).await;
            client.shared.is_connected.store(false, Ordering::Relaxed);
        });
        Self { shared }
    }

    /// Reports to the site. The report is kept until the site has acknowledged it and sent again
    /// after a reconnect; a newer report on the same job in the same state takes its place. Reports
    /// do not survive the process: what is served stands in the next hello.
    pub fn report(&self, report: Report) {
        self.shared.outbox.report(report);
        self.shared.changed.notify_one();
    }

    /// Tells the site how far a job is: only the newest counts, at most four a second are sent, none
    /// is kept while the connection is down.
    pub fn progress(&self, progress: Progress) {
        if self.is_connected() {
            self.shared.outbox.progress(progress);
        }
    }

    /// Is the connection up?
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected.load(Ordering::Relaxed)
    }

    /// Reports the site has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.shared.outbox.unacknowledged()
    }

    /// Ends the connection; a new one begins at once with a new hello.
    pub fn reconnect(&self) {
        self.shared.reconnect.notify_one();
    }
}

struct Client<D> {
    config: DpLinkConfig,
    identity: Arc<DpIdentity>,
    side: Arc<D>,
    shared: Arc<Shared>,
    /// Connections on which the site is served.
    served: Arc<Semaphore>,
    run: Run,
}

impl<D: DpSide> Client<D> {
    async fn keep_up(&self) {
        let mut failures = 0_u32;
        loop {
            let mut was_up = false;
            let ended = Box::pin(self.connection(&mut was_up)).await;
            self.shared.is_connected.store(false, Ordering::Relaxed);
            let cause = match ended {
                // Asked for: at once.
                Ok(()) => continue,
                Err(cause) => cause,
            };
            failures = if was_up { 1 } else { failures.saturating_add(1) };
            let delay = self.config.retry.draw(failures);
            self.identity.enrolled().watch_head(self.run.clock.now());
            self.side.disconnected(&cause, delay);
            tokio::time::sleep(delay).await;
        }
    }

    /// One connection, from connect to its end. `Ok` when it was ended by [`DpLink::reconnect`].
    async fn connection(&self, was_up: &mut bool) -> Result<(), LinkError> {
        let identity = &self.identity;
        let (mut reader, mut writer) =
            connect(identity.url(), identity.site(), identity.client_config()).await?;
        let HelloFacts { library_id, serve_urls, held } = self.side.hello().await;
        let software = format!("restock {}", env!("CARGO_PKG_VERSION"));
        let serves = self.side.library().is_some();
        let hello = Hello { protocol: PROTOCOL, library_id, serve_urls, held, software, serves };
        writer.message(&Message::Hello(hello)).await?;
        match reader.message("answer the hello", WELCOME_TIMEOUT).await? {
            Message::Welcome(welcome) => {
                if welcome.site != identity.site() {
                    return Err(LinkError::Identity {
                        wanted: identity.site().to_string(),
                        found: welcome.site.to_string(),
                    });
                }
                identity.accept_key_list(&welcome.key_list)?;
                if !welcome.authorities.is_empty() {
                    identity.accept_authorities(&welcome.authorities)?;
                }
                identity.enrolled().take_head(&welcome.head, self.run.clock.now());
                self.side.welcome(welcome).await;
            }
            Message::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(LinkError::Unexpected("another answer to a hello")),
        }
        *was_up = true;
        self.shared.outbox.connected();
        self.shared.is_connected.store(true, Ordering::Relaxed);
        self.shared.changed.notify_one();
        self.converse(reader, writer).await
    }

    async fn converse(&self, mut reader: Reader, mut writer: Writer) -> Result<(), LinkError> {
        let every = |period| {
            let mut interval = tokio::time::interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut ping = every(self.config.ping);
        let mut resend = every(self.config.resend);
        let mut progress = every(PROGRESS_EVERY);
        let mut renewal = tokio::time::interval(RENEWAL_EVERY);
        let outbox = &self.shared.outbox;
        let idle = self.config.idle;
        let mut deadline = Instant::now() + idle;
        loop {
            tokio::select! {
                message = reader.message_by("say anything", deadline, idle) => {
                    if self.heard(message?).await? {
                        renewal.reset_immediately();
                    }
                    deadline = Instant::now() + idle;
                }
                () = self.shared.changed.notified() => {
                    for message in outbox.unsent() {
                        writer.message(&message).await?;
                    }
                }
                _ = progress.tick() => {
                    for message in outbox.take_progress() {
                        writer.message(&message).await?;
                    }
                }
                _ = ping.tick() => {
                    self.identity.enrolled().watch_head(self.run.clock.now());
                    writer.message(&Message::Ping).await?;
                }
                _ = resend.tick() => {
                    outbox.forget_sending();
                    self.shared.changed.notify_one();
                }
                _ = renewal.tick() => {
                    if let Some(request) = self.identity.renewal(self.run.clock.now())? {
                        writer.message(&Message::Renew { request }).await?;
                    }
                }
                () = self.shared.reconnect.notified() => {
                    writer.close().await;
                    return Ok(());
                }
            }
        }
    }

    /// Opens a connection on which the site fetches a version from this point.
    fn grant(&self, ticket: u64, content: ContentVersion) {
        let Some(library) = self.side.library() else { return };
        let Ok(permit) = Arc::clone(&self.served).try_acquire_owned() else {
            tracing::warn!(%content, "the site wants more versions at once than are served");
            return;
        };
        let (identity, idle, run) = (Arc::clone(&self.identity), self.config.idle, self.run.clone());
        self.run.tracker.spawn(async move {
            let _permit = permit;
            let serving = serve(&identity, &library, &run, idle, (ticket, content));
            if let Some(Err(error)) = run.cancel.run_until_cancelled(Box::pin(serving)).await {
                tracing::info!(%content, cause = crate::error::chain(&error), "content is not sent to the site");
            }
        });
    }

    /// Returns whether the certificate is to be looked at.
    async fn heard(&self, message: Message) -> Result<bool, LinkError> {
        match message {
            Message::Job(job) => self.side.job(job).await,
            Message::Draft { content } => self.side.draft(content).await,
            Message::PullWanted { ticket, content } => self.grant(ticket, content),
            Message::Ack { sequence } => self.shared.outbox.acknowledged(sequence),
            Message::Ping | Message::Pong => {}
            Message::KeyList { key_list } => {
                self.identity.accept_key_list(&key_list)?;
                self.side.keys_changed().await;
            }
            Message::Authorities { authorities } => {
                return Ok(self.identity.accept_authorities(&authorities)?);
            }
            Message::Head { head } => self.identity.enrolled().take_head(&head, self.run.clock.now()),
            Message::Renewed { certificate } => {
                if self.identity.accept_renewal(certificate)? {
                    // The site counts who has come with a certificate of its new authority.
                    self.shared.reconnect.notify_one();
                }
            }
            Message::Refused(refusal) => return Err(refusal.into()),
            _ => return Err(LinkError::Unexpected("a message that has no place on a control connection")),
        }
        Ok(false)
    }
}

/// One connection on which the site of a point fetches a version from it.
async fn serve(
    identity: &DpIdentity,
    library: &Arc<Library>,
    run: &Run,
    idle: Duration,
    (ticket, content): (u64, ContentVersion),
) -> Result<(), LinkError> {
    let (mut reader, mut writer) = connect(identity.url(), identity.site(), identity.client_config()).await?;
    writer.message(&Message::ServeHello { protocol: PROTOCOL, ticket, content }).await?;
    let wish = match reader.message("ask for the version", ASK_TIMEOUT).await? {
        Message::PullHello { protocol: PROTOCOL, content: asked, base } if asked == content => {
            Wish { content, base }
        }
        Message::Refused(refusal) => return Err(refusal.into()),
        _ => return refuse(writer, LinkError::Unexpected("another version than was wanted")).await,
    };
    let deltas: Arc<Deltas> = Arc::default();
    serve_site(Parts { library, run, idle, deltas: &deltas }, wish, reader, writer).await
}
