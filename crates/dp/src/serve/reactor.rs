//! A thread that serves connections: waits for sockets and letters, lets connections go on, and
//! looks after their time.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use restock_names::Clock;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::accept::{Accepted, Ticket};
use super::connection::{Connection, Cx, Next, Shared};
use super::mailbox::{Done, Mail, Mailbox, one_less};
use super::validator::http_date;

/// How often deadlines are looked at while there are connections.
const TICK: Duration = Duration::from_millis(100);
/// Events taken at once.
const EVENTS_MAX: usize = 256;
/// Bytes read from a socket or a file at once: they stay in a processor's own cache.
const SCRATCH_BYTES: usize = 256 * 1024;
/// The letters' place among the tokens of connections.
const MAIL: u64 = u64::MAX;

/// The thread's state.
pub(crate) struct Reactor {
    epoll: OwnedFd,
    mailbox: Arc<Mailbox>,
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Connections that can go on without an event.
    again: Vec<u64>,
    scratch: Vec<u8>,
    date: (i64, String),
    stopping: Option<Instant>,
}

/// A place for a connection. Its generation tells events of an earlier connection apart.
#[derive(Default)]
struct Slot {
    generation: u32,
    held: Option<Held>,
}

struct Held {
    connection: Connection,
    interest: epoll::EventFlags,
    /// Its token is among those that go on without an event.
    is_again: bool,
    _ticket: Ticket,
}

fn token(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

impl Reactor {
    pub(crate) fn new(mailbox: Arc<Mailbox>, shared: Arc<Shared>, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, mailbox.wake(), epoll::EventData::new_u64(MAIL), epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            mailbox,
            shared,
            clock,
            slots: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            scratch: vec![0; SCRATCH_BYTES],
            date: (i64::MIN, String::new()),
            stopping: None,
        })
    }

    /// Serves until told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut ticked_at = self.clock.monotonic();
        let tick = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            let is_idle = self.free.len() == self.slots.len() && self.stopping.is_none();
            let timeout = match (self.again.is_empty(), is_idle) {
                (false, _) => Some(&zero),
                (true, false) => Some(&tick),
                (true, true) => None,
            };
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(target: "smsdpprov", %error, "a thread of the content server ends");
                    return;
                }
            }
            let now = self.clock.monotonic();
            self.tell_date();
            for event in events.drain(..) {
                match event.data.u64() {
                    MAIL => self.read_mail(now),
                    token => self.event(token, event.flags, now),
                }
            }
            for token in std::mem::take(&mut self.again) {
                self.go_on(token, now);
            }
            if now.saturating_duration_since(ticked_at) >= TICK {
                ticked_at = now;
                self.look_at_deadlines(now);
            }
            if let Some(until) = self.stopping
                && (now >= until || self.close_idle())
            {
                return;
            }
        }
    }

    fn tell_date(&mut self) {
        let second = self.clock.now().0.div_euclid(1_000_000);
        if second != self.date.0 {
            self.date = (second, http_date(second).unwrap_or_default());
        }
    }

    fn read_mail(&mut self, now: Instant) {
        for mail in self.mailbox.collect() {
            match mail {
                Mail::Accepted(accepted) => self.take(*accepted, now),
                Mail::Done(token, done) => self.done(token, done, now),
                Mail::Stop(until) => self.stopping = Some(until),
            }
        }
    }

    fn take(&mut self, accepted: Accepted, now: Instant) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() - 1
        });
        let token = token(index, self.slots[index].generation);
        let Accepted { stream, local, door, tls, ticket } = accepted;
        let opened =
            Connection::open(token, stream, tls, door, local, now + self.shared.limits.header_timeout)
                .and_then(|connection| {
                    let data = epoll::EventData::new_u64(token);
                    epoll::add(&self.epoll, connection.transport(), data, epoll::EventFlags::IN)?;
                    Ok(connection)
                });
        match opened {
            Ok(connection) => {
                self.shared.handler.stats.connections.fetch_add(1, Ordering::Relaxed);
                let interest = epoll::EventFlags::IN;
                let held = Held { connection, interest, is_again: false, _ticket: ticket };
                self.slots[index].held = Some(held);
            }
            Err(error) => {
                tracing::debug!(target: "smsdpprov", %error, "a connection ended at once");
                one_less(&self.mailbox.load);
                self.free.push(index);
            }
        }
    }

    /// Lets a connection go on whose turn was over.
    fn go_on(&mut self, token: u64, now: Instant) {
        let slot = self.slots.get_mut((token & u64::from(u32::MAX)) as usize);
        if let Some(held) = slot.and_then(|slot| slot.held.as_mut()) {
            held.is_again = false;
        }
        self.with(token, now, |connection, cx| connection.drive(cx));
    }

    fn event(&mut self, token: u64, flags: epoll::EventFlags, now: Instant) {
        let is_broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        self.with(token, now, |connection, cx| match connection.is_waiting() && is_broken {
            // Nobody is there any more to take what is being made ready.
            true => Next::Close,
            false => connection.drive(cx),
        });
    }

    fn done(&mut self, token: u64, done: Done, now: Instant) {
        self.with(token, now, |connection, cx| connection.done(done, cx));
    }

    /// Lets a connection go on and does what it then waits for. A token of an earlier connection
    /// changes nothing.
    fn with(&mut self, token: u64, now: Instant, go_on: impl FnOnce(&mut Connection, &mut Cx<'_>) -> Next) {
        let index = (token & u64::from(u32::MAX)) as usize;
        let Some(slot) = self.slots.get_mut(index) else { return };
        if u64::from(slot.generation) != token >> 32 {
            return;
        }
        let Some(held) = &mut slot.held else { return };
        let mut cx = Cx {
            shared: &self.shared,
            mailbox: &self.mailbox,
            now,
            date: &self.date.1,
            scratch: &mut self.scratch,
            is_stopping: self.stopping.is_some(),
        };
        let wanted = match go_on(&mut held.connection, &mut cx) {
            Next::Read => epoll::EventFlags::IN,
            Next::Write => epoll::EventFlags::OUT,
            Next::Wait => epoll::EventFlags::empty(),
            Next::Again => {
                // An event may come for one that goes on without.
                if !std::mem::replace(&mut held.is_again, true) {
                    self.again.push(token);
                }
                held.interest
            }
            Next::Close => return self.close(index),
        };
        if wanted != held.interest {
            let data = epoll::EventData::new_u64(token);
            match epoll::modify(&self.epoll, held.connection.transport(), data, wanted) {
                Ok(()) => held.interest = wanted,
                Err(error) => {
                    tracing::error!(target: "smsdpprov", %error, "a connection cannot be waited for");
                    self.close(index);
                }
            }
        }
    }

    fn close(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(held) = slot.held.take() else { return };
        slot.generation = slot.generation.wrapping_add(1);
        if let Err(error) = epoll::delete(&self.epoll, held.connection.transport()) {
            tracing::debug!(target: "smsdpprov", %error, "a connection was not waited for");
        }
        drop(held);
        self.free.push(index);
        one_less(&self.mailbox.load);
        self.shared.handler.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn tokens(&self, wanted: impl Fn(&Connection) -> bool) -> Vec<u64> {
        let held = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let held = slot.held.as_ref().filter(|held| wanted(&held.connection))?;
            Some((index, slot.generation, held))
        });
        held.map(|(index, generation, _)| token(index, generation)).collect()
    }

    fn look_at_deadlines(&mut self, now: Instant) {
        for token in self.tokens(|connection| connection.is_due(now)) {
            self.with(token, now, |connection, cx| connection.expire(cx));
        }
    }

    /// Closes connections without a request; returns whether none is left.
    fn close_idle(&mut self) -> bool {
        for token in self.tokens(Connection::is_idle) {
            self.close((token & u64::from(u32::MAX)) as usize);
        }
        self.free.len() == self.slots.len()
    }
}
