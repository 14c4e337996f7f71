//! One connection: requests in, answers out, in order, never waiting.
//!
//! A connection is let go on when its socket or its work is ready ([`Connection::drive`],
//! [`Connection::done`]) and says what it then waits for ([`Next`]). An answer that cannot be sent
//! whole ends in a reset: its length was announced, and it must not end as if it were kept.
//!
//! Source: RFC 9112; docs/formats/serving.md, "Limits".

mod sending;

use std::io;
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use super::ServeLimits;
use super::accept::Door;
use super::answer::{Answer, Body, Refused, reason};
use super::framing::{BodyError, BodyReader, Framing};
use super::handler::{AtOnce, Handler, Request};
use super::head::Head;
use super::host::{HostError, Hosts};
use super::mailbox::{Done, Mail, Mailbox, Reply};
use super::piece::Piece;
use super::pool::Pool;
use super::propfind::BODY_BYTES_MAX;
use super::rights::{Caller, Rights};
use super::transport::Transport;
use sending::{Sending, Source};

/// Steps made before other connections have their turn.
const TURNS_MAX: usize = 32;
/// How long a client may go on sending after the last answer, so that it can read that answer.
const LINGER: Duration = Duration::from_secs(2);

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) handler: Arc<Handler>,
    /// Where answers are made that may wait for a disk.
    pub(crate) pool: Pool,
    pub(crate) rights: Rights,
    pub(crate) hosts: Hosts,
    pub(crate) limits: ServeLimits,
    pub(crate) request_prefix: u32,
    pub(crate) request_count: AtomicU64,
}

/// What a connection is lent while it goes on.
pub(crate) struct Cx<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) mailbox: &'a Arc<Mailbox>,
    pub(crate) now: Instant,
    /// The value of `Date`.
    pub(crate) date: &'a str,
    pub(crate) scratch: &'a mut [u8],
    /// No request is taken after the present one.
    pub(crate) is_stopping: bool,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Read,
    Write,
    /// Work that was given away.
    Wait,
    /// Nothing: it goes on when others had their turn.
    Again,
    /// It is over.
    Close,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Connection {
    token: u64,
    transport: Transport,
    door: Arc<Door>,
    local: IpAddr,
    /// Bytes that were received and not understood yet; the first `seen` of them hold no whole head.
    input: Vec<u8>,
    seen: usize,
    state: State,
    /// When a request must have arrived, or a client be gone.
    deadline: Instant,
    /// Since when, and how many bytes, a client takes; only while it is waited for.
    pace: Option<(Instant, u64)>,
}

#[derive(Debug)]
enum State {
    /// A head is to arrive.
    Head,
    /// The body of a PROPFIND is to arrive.
    Body(Box<Arriving>),
    /// The answer is being made.
    Working(Exchange),
    Sending(Box<Sending>),
    /// Everything was sent; what still arrives is thrown away.
    Lingering,
}

#[derive(Debug)]
struct Arriving {
    head: Head,
    path: String,
    caller: Caller,
    exchange: Exchange,
    reader: BodyReader,
}

/// What of a request decides how its answer is sent.
#[derive(Debug, Clone)]
struct Exchange {
    is_head: bool,
    is_http_11: bool,
    keeps_alive: bool,
    /// Method and path, for the log.
    shown: Option<(String, String)>,
}

/// A step's end: go on, wait for something, or the socket is of no use any more.
type Step = io::Result<Option<Next>>;

impl Connection {
    pub(crate) fn open(
        token: u64,
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        door: Arc<Door>,
        local: IpAddr,
        deadline: Instant,
    ) -> io::Result<Self> {
        let transport = Transport::new(stream, tls)?;
        let (input, state) = (Vec::new(), State::Head);
        Ok(Self { token, transport, door, local, input, seen: 0, state, deadline, pace: None })
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// True while it waits for work and not for its client.
    pub(crate) fn is_waiting(&self) -> bool {
        match &self.state {
            State::Working(_) => true,
            State::Sending(sending) => sending.is_waiting(),
            _ => false,
        }
    }

    /// True when no request of it is under way.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Head | State::Lingering) && self.input.is_empty()
    }

    /// True when [`Self::expire`] is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match &self.state {
            State::Working(_) => false,
            // How much is to be taken by then is looked at when it is due.
            State::Sending(_) => self.pace.is_some_and(|(since, _)| since < now),
            _ => self.deadline <= now,
        }
    }

    /// Ends what has lasted too long.
    pub(crate) fn expire(&mut self, cx: &mut Cx<'_>) -> Next {
        match &self.state {
            State::Body(arriving) => {
                let exchange = arriving.exchange.clone();
                self.reply(cx.shared.handler.refuse(&Refused::BodyRate), &exchange, cx);
                self.drive(cx)
            }
            State::Working(_) => Next::Wait,
            State::Sending(_) => {
                let Some((since, bytes)) = self.pace else { return Next::Write };
                let limits = &cx.shared.limits;
                let waited = cx.now.saturating_duration_since(since);
                if waited < limits.stall_max {
                    return Next::Write;
                }
                if (bytes as f64) < waited.as_secs_f64() * limits.write_rate_min as f64 || bytes == 0 {
                    tracing::debug!(target: "smsdpprov", bytes, "a client takes too little and is cut off");
                    return Next::Close;
                }
                self.pace = Some((cx.now, 0));
                Next::Write
            }
            State::Head | State::Lingering => Next::Close,
        }
    }

    /// Goes on with what the socket allows.
    pub(crate) fn drive(&mut self, cx: &mut Cx<'_>) -> Next {
        for _ in 0..TURNS_MAX {
            let step = match &self.state {
                State::Head | State::Body(_) => self.receive(cx),
                State::Working(_) => Ok(Some(Next::Wait)),
                State::Sending(_) => self.send(cx),
                State::Lingering => self.discard(cx),
            };
            match step {
                Ok(None) => {}
                Ok(Some(next)) => return next,
                Err(error) => {
                    tracing::debug!(target: "smsdpprov", %error, "connection ended early");
                    return Next::Close;
                }
            }
        }
        Next::Again
    }

    /// Work that was given away is done.
    pub(crate) fn done(&mut self, done: Done, cx: &mut Cx<'_>) -> Next {
        let is_whole = match (&mut self.state, done) {
            (State::Working(exchange), Done::Answer(answer)) => {
                let exchange = exchange.clone();
                self.reply(*answer, &exchange, cx);
                true
            }
            (State::Working(exchange), Done::Failed) => {
                let exchange = exchange.clone();
                self.reply(cx.shared.handler.refuse(&Refused::Unreadable), &exchange, cx);
                true
            }
            (State::Sending(sending), done) => sending.take(done),
            _ => true,
        };
        if !is_whole {
            return Next::Close;
        }
        self.drive(cx)
    }

    /// Understands what was received, or receives more.
    fn receive(&mut self, cx: &mut Cx<'_>) -> Step {
        if !self.transport.flush()? {
            return Ok(Some(Next::Write));
        }
        if self.seen < self.input.len() && self.understand(cx) {
            return Ok(None);
        }
        match self.transport.read(cx.scratch) {
            Ok(0) => Ok(Some(Next::Close)),
            Ok(count) => {
                if self.input.is_empty() && matches!(self.state, State::Head) {
                    self.deadline = cx.now + cx.shared.limits.header_timeout;
                }
                self.input.extend_from_slice(&cx.scratch[..count]);
                Ok(None)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(Some(if self.transport.wants_write() { Next::Write } else { Next::Read }))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes what the input holds. Returns whether the state changed.
    fn understand(&mut self, cx: &mut Cx<'_>) -> bool {
        if let State::Body(arriving) = &mut self.state {
            let taken = arriving.reader.take(&self.input);
            match taken {
                Ok(taken) => drop(self.input.drain(..taken)),
                Err(error) => {
                    let exchange = arriving.exchange.clone();
                    self.reply(cx.shared.handler.refuse(&refused(error)), &exchange, cx);
                    return true;
                }
            }
            if !arriving.reader.is_done() {
                return false;
            }
            let State::Body(arriving) = std::mem::replace(&mut self.state, State::Head) else { return false };
            let Arriving { head, path, caller, exchange, reader } = *arriving;
            self.dispatch(Request { head, path, body: reader.into_bytes(), caller }, exchange, cx);
            return true;
        }
        match Head::parse(&self.input, self.seen, cx.shared.limits.header_bytes_max) {
            Ok(None) => {
                self.seen = self.input.len();
                false
            }
            Ok(Some((head, length))) => {
                self.input.drain(..length);
                if self.input.is_empty() && self.input.capacity() > 4_096 {
                    self.input = Vec::new();
                }
                self.seen = 0;
                self.begin(head, cx);
                true
            }
            Err(error) => {
                let exchange = Exchange { is_head: false, is_http_11: true, keeps_alive: false, shown: None };
                self.reply(cx.shared.handler.refuse(&error.into()), &exchange, cx);
                true
            }
        }
    }

    /// A head has arrived.
    fn begin(&mut self, head: Head, cx: &mut Cx<'_>) {
        let is_logged = tracing::enabled!(target: "smsdpprov", tracing::Level::DEBUG);
        let mut exchange = Exchange {
            is_head: head.method() == "HEAD",
            is_http_11: head.is_http_11,
            keeps_alive: match head.is_http_11 {
                true => !head.lists("connection", "close"),
                false => head.lists("connection", "keep-alive"),
            },
            shown: is_logged.then(|| (head.method().to_owned(), head.target().to_owned())),
        };
        let (path, framing) = match self.check(&head, cx) {
            Ok(checked) => checked,
            Err(refused) => return self.reply(cx.shared.handler.refuse(&refused), &exchange, cx),
        };
        let own = match self.transport.holder() {
            Some(_) => Caller::Holder,
            None => self.door.caller.clone(),
        };
        let caller = if self.door.takes_rights { cx.shared.rights.caller(&head, &own) } else { own };
        if framing.is_empty() || head.method() != "PROPFIND" {
            // A body that nobody reads cannot be told from the next request.
            exchange.keeps_alive &= framing.is_empty();
            return self.dispatch(Request { head, path, body: Vec::new(), caller }, exchange, cx);
        }
        match BodyReader::new(framing, BODY_BYTES_MAX) {
            Err(error) => self.reply(cx.shared.handler.refuse(&refused(error)), &exchange, cx),
            Ok(reader) => {
                if head.has("expect") && self.input.is_empty() {
                    // A client that gets no word sends its body after a while.
                    drop(self.transport.send(&[io::IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")], false));
                }
                self.deadline = cx.now + cx.shared.limits.body_timeout;
                self.state = State::Body(Box::new(Arriving { head, path, caller, exchange, reader }));
            }
        }
    }

    /// The path and the framing of a request that is in order.
    fn check(&self, head: &Head, cx: &Cx<'_>) -> Result<(String, Framing), Refused> {
        let framing = Framing::of(head)?;
        let path = cx.shared.hosts.path(head, self.local).map_err(|error| match error {
            HostError::Count => Refused::Host,
            HostError::Unknown => Refused::HostUnknown,
        })?;
        if head.first("expect").is_some_and(|expected| !expected.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refused::Expectation);
        }
        Ok((path.to_owned(), framing))
    }

    /// Answers at once, or lets the answer be made elsewhere.
    fn dispatch(&mut self, request: Request, exchange: Exchange, cx: &mut Cx<'_>) {
        let request = match cx.shared.handler.at_once(request) {
            AtOnce::Answered(answer) => return self.reply(answer, &exchange, cx),
            AtOnce::Later(request) => request,
        };
        self.state = State::Working(exchange);
        let (handler, mailbox, token) = (Arc::clone(&cx.shared.handler), Arc::clone(cx.mailbox), self.token);
        let reply = Reply::new(cx.mailbox, token);
        cx.shared.pool.submit(move || {
            let wake = Box::new(move || mailbox.post(Mail::Done(token, Done::Sheet)));
            let answer = handler.answer(&request, wake);
            reply.send(Done::Answer(Box::new(answer)));
        });
    }

    /// Begins to send an answer.
    fn reply(&mut self, answer: Answer, exchange: &Exchange, cx: &Cx<'_>) {
        let Answer { status, headers, body, is_last } = answer;
        let is_streamed = matches!(body, Body::Listing(_));
        let is_chunked = is_streamed && exchange.is_http_11;
        let keeps_alive = exchange.keeps_alive && !is_last && !cx.is_stopping && (is_chunked || !is_streamed);
        let number = cx.shared.request_count.fetch_add(1, Ordering::Relaxed);
        let length = match &body {
            Body::None | Body::Listing(_) => None,
            Body::Text(text) => Some(text.len() as u64),
            Body::File { length, .. } => Some(*length),
        };
        let framing = match length {
            Some(length) => format!("Content-Length: {length}\r\n"),
            None if is_chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
            None => String::new(),
        };
        let connection = match (keeps_alive, exchange.is_http_11) {
            (false, _) => "Connection: close\r\n",
            (true, false) => "Connection: keep-alive\r\n",
            (true, true) => "",
        };
        let head = format!(
            "HTTP/1.1 {status} {}\r\nDate: {}\r\n{headers}{framing}X-Request-Id: {:08x}-{number:x}\r\n{connection}\r\n",
            reason(status),
            cx.date,
            cx.shared.request_prefix,
        );
        if let Some((method, path)) = &exchange.shown {
            tracing::debug!(
                target: "smsdpprov",
                status,
                request.id = format_args!("{:08x}-{number:x}", cx.shared.request_prefix),
                request.method = %method,
                request.path = %path,
                bytes = length,
                "request answered"
            );
        }
        let mut sending = Sending::new(keeps_alive, is_chunked);
        sending.push(Piece::text(head));
        match body {
            _ if exchange.is_head => {}
            Body::None => {}
            Body::Text(text) => sending.push(Piece::text(text)),
            Body::File { length, pieces, source } => {
                cx.shared.handler.stats.bytes.fetch_add(length, Ordering::Relaxed);
                pieces.into_iter().for_each(|piece| sending.push(piece));
                sending.source = source.map_or(Source::None, Source::File);
            }
            Body::Listing(sheets) => sending.source = Source::Listing(sheets),
        }
        self.pace = None;
        self.state = State::Sending(Box::new(sending));
    }

    fn send(&mut self, cx: &mut Cx<'_>) -> Step {
        let State::Sending(sending) = &mut self.state else { return Ok(None) };
        let mut sent = 0;
        let next = sending.send(&mut self.transport, self.token, cx, &mut sent)?;
        match (&mut self.pace, next) {
            (_, Some(Next::Wait)) => self.pace = None,
            (Some((_, bytes)), Some(_)) => *bytes += sent,
            (pace @ None, Some(Next::Write)) => *pace = Some((cx.now, 0)),
            _ => {}
        }
        if next.is_some() {
            return Ok(next);
        }
        let keeps_alive = sending.keeps_alive;
        self.pace = None;
        if keeps_alive {
            self.state = State::Head;
            let limits = &cx.shared.limits;
            let is_begun = !self.input.is_empty();
            self.deadline = cx.now + if is_begun { limits.header_timeout } else { limits.idle_timeout };
        } else {
            self.state = State::Lingering;
            self.transport.end();
            self.deadline = cx.now + LINGER;
        }
        Ok(None)
    }

    /// Throws away what still arrives, until the client has seen the end.
    fn discard(&mut self, cx: &mut Cx<'_>) -> Step {
        self.input = Vec::new();
        match self.transport.read(cx.scratch) {
            Ok(0) => Ok(Some(Next::Close)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Some(Next::Read)),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if matches!(self.state, State::Sending(_)) {
            self.transport.mark_for_reset();
        }
    }
}

fn refused(error: BodyError) -> Refused {
    match error {
        BodyError::TooLarge => Refused::BodyTooLarge { limit: BODY_BYTES_MAX },
        BodyError::Syntax => Refused::Chunked,
    }
}
