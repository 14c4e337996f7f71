//! A client's connection below HTTP: framing is checked, slow ones are cut off, trouble ends in a reset.
//!
//! An answer that was announced and cannot be finished must never end as if it were whole: then
//! the connection is marked by [`Shared::reset`] and closed with a reset.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use restock_provider::account::PersonCertificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use crate::config::DoorLimits;
use crate::framing::{Framing, FramingLimits, Violation};
use crate::negotiate::Negotiation;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;
/// Bytes read at once to be forgotten.
const DRAIN_BYTES: usize = 2 * 1024;
/// Stands for a head that was refused: the HTTP library hands it on like any other, and the
/// handler answers with the violation.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What TLS says of a connection.
#[derive(Debug)]
pub(crate) struct Tls {
    /// What a sign-in with NTLM is bound to.
    pub(crate) binding: [u8; 16],
    /// What a ticket of Kerberos is bound to (`tls-server-end-point`, RFC 5929).
    pub(crate) end_point: Vec<u8>,
    /// The certificate the client showed, whose key it holds.
    pub(crate) certificate: Option<PersonCertificate>,
}

/// What a connection's socket and the requests on it tell each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// None without TLS.
    tls: Option<Tls>,
    negotiation: Negotiation,
    /// Requests that are being answered.
    busy: AtomicU64,
    /// The connection, to be told when the last of them has ended: then its patience begins.
    ended: AtomicWaker,
    must_reset: AtomicBool,
    /// Requests handed to the handler.
    requests: AtomicU64,
    /// The violation, and how many requests came before it.
    violation: Mutex<Option<(u64, Violation)>>,
}

impl Shared {
    /// For a connection that TLS protects, or for one without.
    pub(crate) fn new(tls: Option<Tls>) -> Self {
        Self { tls, ..Self::default() }
    }

    /// How far the connection is with signing in.
    pub(crate) fn negotiation(&self) -> &Negotiation {
        &self.negotiation
    }

    /// What a sign-in on this connection is bound to; `None` without TLS.
    pub(crate) fn binding(&self) -> Option<[u8; 16]> {
        self.tls.as_ref().map(|tls| tls.binding)
    }

    /// What a ticket on this connection is bound to; `None` without TLS.
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        self.tls.as_ref().map(|tls| tls.end_point.clone())
    }

    /// The certificate that the client showed.
    pub(crate) fn certificate(&self) -> Option<&PersonCertificate> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    /// The connection will be reset when it is dropped.
    pub(crate) fn reset(&self) {
        self.must_reset.store(true, Ordering::Release);
    }

    /// A request begins; the guard says when its answer has ended.
    pub(crate) fn begin(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(Arc::clone(self))
    }

    /// Counts a request. `Some`: it stands for a head that was refused.
    pub(crate) fn next_request(&self) -> Option<Violation> {
        let number = self.requests.fetch_add(1, Ordering::AcqRel);
        let violation = self.violation.lock().expect("no code panics while holding this lock");
        violation.as_ref().filter(|(before, _)| *before == number).map(|(_, violation)| violation.clone())
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    pub(crate) fn must_reset(&self) -> bool {
        self.must_reset.load(Ordering::Acquire)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Shared>);

impl Drop for Busy {
    fn drop(&mut self) {
        if self.0.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.wake();
        }
    }
}

/// The bytes below.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// A connection as the HTTP library sees it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Stream,
    shared: Arc<Shared>,
    framing: Framing,
    /// Checked bytes that were not taken yet.
    ready: VecDeque<u8>,
    is_refused: bool,
    reading: Patience,
    writing: Rate,
    header_timeout: Duration,
    idle_timeout: Duration,
    /// When the head that is not whole began, or the connection when it had none yet.
    head_since: Option<Instant>,
    last_activity: Instant,
}

impl Socket {
    pub(crate) fn new(stream: Stream, shared: Arc<Shared>, limits: &DoorLimits) -> Self {
        let framing =
            FramingLimits { head_bytes_max: limits.header_bytes_max, headers_max: limits.headers_max };
        let now = Instant::now();
        Self {
            stream,
            shared,
            framing: Framing::new(framing),
            ready: VecDeque::new(),
            is_refused: false,
            reading: Patience::new(),
            writing: Rate::new(limits.write_rate_min, limits.rate_grace),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            head_since: Some(now),
            last_activity: now,
        }
    }

    /// Reads and checks more. `Ok(false)`: the client sends no more.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [0; READ_BYTES];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        };
        if read.is_pending() {
            return self.poll_patience(cx);
        }
        ready!(read)?;
        self.last_activity = Instant::now();
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        let mut checked = Vec::with_capacity(buffer.filled().len());
        let verdict = self.framing.feed(buffer.filled(), &mut checked);
        self.ready.extend(checked);
        if let Err(violation) = verdict {
            self.is_refused = true;
            let mut place = self.shared.violation.lock().expect("no code panics while holding this lock");
            *place = Some((self.framing.heads(), violation));
            self.ready.extend(STAND_IN);
        }
        if !self.framing.is_in_head() {
            self.head_since = None;
        } else if self.head_since.is_none() {
            self.head_since = Some(self.last_activity);
        }
        Poll::Ready(Ok(true))
    }

    /// Nothing came: fails when that has lasted too long between requests or within a head.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.framing.awaits_head() {
            return Poll::Pending;
        }
        // Registered before it is looked: the answer may end in between.
        self.shared.ended.register(cx.waker());
        if self.shared.is_busy() {
            return Poll::Pending;
        }
        let until = match self.head_since {
            Some(since) => since + self.header_timeout,
            None => self.last_activity + self.idle_timeout,
        };
        ready!(self.reading.poll(cx, until));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no request came in time")))
    }

    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(count)) => {
                self.last_activity = Instant::now();
                self.writing.went_on(*count);
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                ready!(self.writing.poll_too_slow(cx));
                self.shared.reset();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes too few bytes")))
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.shared.must_reset()
            && let Err(error) = self.stream.tcp().set_zero_linger()
        {
            tracing::debug!(target: "adminservice", %error, "connection closed without a reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.ready.is_empty() {
                let (first, _) = this.ready.as_slices();
                let count = first.len().min(out.remaining());
                out.put_slice(&first[..count]);
                this.ready.drain(..count);
                return Poll::Ready(Ok(()));
            }
            if this.is_refused {
                // The stand-in asks for the end; nothing after the violation is read.
                return Poll::Pending;
            }
            if !ready!(this.poll_more(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, buffers),
        };
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        };
        self.watch(cx, flushed.map_ok(|()| 0)).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.must_reset() {
            return Poll::Ready(Ok(()));
        }
        let ended = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.watch(cx, ended.map_ok(|()| 0)).map_ok(|_| ())
    }
}

impl Socket {
    /// Reads and forgets what still comes, up to a limit, so that closing does not take the
    /// answer away from a client that is still sending.
    pub(crate) async fn drain(&mut self, bytes_max: usize) {
        use tokio::io::AsyncReadExt;
        let (mut bytes, mut left) = ([0; DRAIN_BYTES], bytes_max);
        while left > 0 {
            let read = match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut bytes).await,
                Stream::Tls(stream) => stream.read(&mut bytes).await,
            };
            match read {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    }
}

/// A deadline that moves.
#[derive(Debug)]
struct Patience {
    until: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Patience {
    fn new() -> Self {
        Self { until: Instant::now(), sleep: Box::pin(sleep(Duration::ZERO)) }
    }

    fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        if self.until != until {
            self.until = until;
            self.sleep.as_mut().reset(until);
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// How fast a client takes what waits for it. Only time in which something waits is counted.
#[derive(Debug)]
struct Rate {
    bytes_per_second_min: u64,
    window: Duration,
    waiting_since: Option<Instant>,
    waited: Duration,
    written: u64,
    patience: Patience,
}

impl Rate {
    fn new(bytes_per_second_min: u64, window: Duration) -> Self {
        Self {
            bytes_per_second_min,
            window,
            waiting_since: None,
            waited: Duration::ZERO,
            written: 0,
            patience: Patience::new(),
        }
    }

    fn went_on(&mut self, count: usize) {
        self.written += count as u64;
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Ready when a whole window of waiting brought too little.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let until = since + self.window.saturating_sub(self.waited);
            ready!(self.patience.poll(cx, until));
            let wanted = u128::from(self.bytes_per_second_min) * self.window.as_millis() / 1000;
            if u128::from(self.written) < wanted.max(1) {
                return Poll::Ready(());
            }
            (self.waiting_since, self.waited, self.written) = (Some(Instant::now()), Duration::ZERO, 0);
        }
    }
}
