//! How other threads speak to the thread of a connection.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use rustix::event::{EventfdFlags, eventfd};

use super::accept::Accepted;
use super::answer::Answer;
use super::piece::Piece;
use super::source::{FileSource, ReadError};

/// What is told.
#[derive(Debug)]
pub(crate) enum Mail {
    Accepted(Box<Accepted>),
    /// Work for the connection of this token is done.
    Done(u64, Done),
    /// Take no further requests; be gone by then.
    Stop(Instant),
}

/// The end of work that a connection gave away.
#[derive(Debug)]
pub(crate) enum Done {
    Answer(Box<Answer>),
    /// The next pieces of a body, and where further ones come from.
    Window(Box<FileSource>, Result<Vec<Piece>, ReadError>),
    /// The first piece's bytes before this one are in memory.
    Resident(u64),
    /// The next bytes of the first piece.
    Bytes(io::Result<Bytes>),
    /// A listing goes on.
    Sheet,
    /// It ended without an end.
    Failed,
}

/// The letters of one thread, and what wakes it.
#[derive(Debug)]
pub(crate) struct Mailbox {
    letters: Mutex<Vec<Mail>>,
    wake: OwnedFd,
    /// Connections of the thread.
    pub(crate) load: AtomicUsize,
}

impl Mailbox {
    pub(crate) fn new() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { letters: Mutex::default(), wake, load: AtomicUsize::new(0) })
    }

    /// What becomes readable when a letter arrives.
    pub(crate) fn wake(&self) -> &OwnedFd {
        &self.wake
    }

    pub(crate) fn post(&self, mail: Mail) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push(mail);
        let is_first = letters.len() == 1;
        drop(letters);
        if is_first && let Err(error) = rustix::io::write(&self.wake, &1_u64.to_ne_bytes()) {
            tracing::error!(target: "smsdpprov", %error, "a thread of the content server cannot be woken");
        }
    }

    /// All letters that have arrived.
    pub(crate) fn collect(&self) -> Vec<Mail> {
        let mut count = [0; 8];
        // Nothing to read means that it was read already.
        rustix::io::read(&self.wake, &mut count).unwrap_or_default();
        std::mem::take(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells a connection the end of work; when it is dropped without, that it failed.
#[derive(Debug)]
pub(crate) struct Reply {
    mailbox: Arc<Mailbox>,
    token: u64,
    is_sent: bool,
}

impl Reply {
    pub(crate) fn new(mailbox: &Arc<Mailbox>, token: u64) -> Self {
        Self { mailbox: Arc::clone(mailbox), token, is_sent: false }
    }

    pub(crate) fn send(mut self, done: Done) {
        self.is_sent = true;
        self.mailbox.post(Mail::Done(self.token, done));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_sent {
            self.mailbox.post(Mail::Done(self.token, Done::Failed));
        }
    }
}

/// Counts a thread's connections down.
pub(crate) fn one_less(count: &AtomicUsize) {
    count.fetch_sub(1, Ordering::Relaxed);
}
