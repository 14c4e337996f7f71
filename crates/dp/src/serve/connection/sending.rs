//! The part of a connection that sends an answer.
//!
//! Up to 64 KiB leave in one `writev`; a larger range of a file in steps of `sendfile`, or by way of a
//! buffer while there are few connections: a lone receiver then finds the bytes in the processors'
//! shared cache and is half as fast again, while `sendfile` takes less of a processor that many
//! connections want. Bytes of a file that are not in memory are fetched by the pool first, so that
//! the thread never waits for a disk. While one window of a body is sent the next is made ready.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, TryRecvError};

use bytes::{Buf, Bytes};
use restock_content::library::Extent;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Cx, Next, Transport};
use crate::serve::listing::Sheet;
use crate::serve::mailbox::{Done, Reply};
use crate::serve::piece::Piece;
use crate::serve::source::FileSource;
use crate::serve::transport::TLS_STEP_BYTES;

/// A range of at most this many bytes is read and sent with what stands before it.
const SMALL_BYTES: u64 = 64 * 1024;
/// Bytes sent in one call.
const GATHER_BYTES: usize = 128 * 1024;
/// Pieces sent in one call.
const GATHER_PIECES: usize = 16;
/// Bytes of a file sent in one call.
const STEP_BYTES: u64 = 1 << 20;
/// Open connections up to which the bytes of files go by way of a buffer.
const COPY_CONNECTIONS_MAX: u64 = 2;
/// Bytes sent before other connections have their turn.
const TURN_BYTES: u64 = 4 << 20;
/// Between two bytes that are looked for in memory, one each that many.
const PROBE_BYTES: u64 = 64 * 1024;

/// Where further pieces come from.
#[derive(Debug)]
pub(super) enum Source {
    None,
    File(Box<FileSource>),
    /// The source is with the pool, which makes the next pieces ready.
    Away,
    Listing(Receiver<Sheet>),
}

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Sending {
    queue: VecDeque<Piece>,
    /// Pieces made ready while others are sent.
    ahead: Option<Vec<Piece>>,
    pub(super) source: Source,
    /// The pool fetches bytes of the first piece.
    is_fetching: bool,
    /// It waits for work.
    is_waiting: bool,
    pub(super) keeps_alive: bool,
    is_chunked: bool,
}

impl Sending {
    pub(super) fn new(keeps_alive: bool, is_chunked: bool) -> Self {
        Self {
            queue: VecDeque::new(),
            ahead: None,
            source: Source::None,
            is_fetching: false,
            is_waiting: false,
            keeps_alive,
            is_chunked,
        }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        if piece.left() > 0 {
            self.queue.push_back(piece);
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Takes the end of work in. False: the answer cannot be sent whole.
    pub(super) fn take(&mut self, done: Done) -> bool {
        match done {
            Done::Window(source, pieces) => {
                self.source = if source.is_done() { Source::None } else { Source::File(source) };
                let Ok(pieces) = pieces else { return false };
                match self.queue.is_empty() && self.ahead.is_none() {
                    true => pieces.into_iter().for_each(|piece| self.push(piece)),
                    false => self.ahead = Some(pieces),
                }
            }
            Done::Resident(until) => {
                self.is_fetching = false;
                if let Some(Piece::File(first)) = self.queue.front_mut() {
                    first.resident = until;
                }
            }
            Done::Bytes(bytes) => {
                self.is_fetching = false;
                let Ok(bytes) = bytes else { return false };
                self.replace(0, bytes);
            }
            Done::Sheet => {}
            Done::Answer(_) | Done::Failed => return false,
        }
        true
    }

    /// Puts `bytes`, the next ones of the file piece `at`, in their place.
    fn replace(&mut self, at: usize, bytes: Bytes) {
        let Some(Piece::File(piece)) = self.queue.get_mut(at) else { return };
        piece.at += bytes.len() as u64;
        match piece.left() {
            0 => self.queue[at] = Piece::Bytes(bytes, None),
            _ => self.queue.insert(at, Piece::Bytes(bytes, None)),
        }
    }

    /// Sends what the socket takes. `None`: all of it was sent. Counts in `sent`.
    pub(super) fn send(
        &mut self,
        transport: &mut Transport,
        token: u64,
        cx: &mut Cx<'_>,
        sent: &mut u64,
    ) -> io::Result<Option<Next>> {
        self.is_waiting = false;
        loop {
            if !transport.flush()? {
                return Ok(Some(Next::Write));
            }
            self.refill()?;
            self.read_ahead(token, cx);
            if self.is_fetching || (self.queue.is_empty() && !matches!(self.source, Source::None)) {
                self.is_waiting = true;
                return Ok(Some(Next::Wait));
            }
            if self.queue.is_empty() {
                return Ok(None);
            }
            if *sent >= TURN_BYTES {
                return Ok(Some(Next::Again));
            }
            let step = match self.queue.front() {
                Some(Piece::File(piece)) if !transport.is_tls() && piece.left() > SMALL_BYTES => {
                    match cx.shared.handler.stats.connections.load(Ordering::Relaxed) {
                        ..=COPY_CONNECTIONS_MAX => self.send_copy(transport, token, cx),
                        _ => self.send_file(transport, token, cx),
                    }
                }
                _ => self.send_bytes(transport, token, cx),
            };
            match step {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Next::Write)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what was made ready when everything before it was sent.
    fn refill(&mut self) -> io::Result<()> {
        if !self.queue.is_empty() {
            return Ok(());
        }
        if let Some(ahead) = self.ahead.take() {
            ahead.into_iter().for_each(|piece| self.push(piece));
        }
        let Source::Listing(sheets) = &self.source else { return Ok(()) };
        match sheets.try_recv() {
            Ok(Sheet::Text(text)) => {
                if self.is_chunked {
                    self.push(Piece::text(format!("{:x}\r\n", text.len())));
                }
                self.push(Piece::text(text));
                if self.is_chunked {
                    self.push(Piece::text("\r\n"));
                }
            }
            Ok(Sheet::End) => {
                self.source = Source::None;
                if self.is_chunked {
                    self.push(Piece::text("0\r\n\r\n"));
                }
            }
            Err(TryRecvError::Empty) => {}
            Ok(Sheet::Broken) | Err(TryRecvError::Disconnected) => {
                return Err(io::Error::other("a listing ended before its end"));
            }
        }
        Ok(())
    }

    /// Lets the next window be made ready, when none is.
    fn read_ahead(&mut self, token: u64, cx: &Cx<'_>) {
        if self.ahead.is_some() || !matches!(self.source, Source::File(_)) {
            return;
        }
        let Source::File(mut source) = std::mem::replace(&mut self.source, Source::Away) else { return };
        let reply = Reply::new(cx.mailbox, token);
        cx.shared.pool.submit(move || {
            let pieces = source.next();
            reply.send(Done::Window(source, pieces));
        });
    }

    fn send_file(&mut self, transport: &mut Transport, token: u64, cx: &Cx<'_>) -> io::Result<u64> {
        let Some(Piece::File(piece)) = self.queue.front_mut() else { return Ok(0) };
        let count = piece.left().min(STEP_BYTES);
        if piece.resident < piece.at + count {
            if !is_resident(piece.extent.file(), piece.offset(), count) {
                let (extent, from, to) = (piece.extent.clone(), piece.at, piece.at + count);
                self.bring(&extent, from, to, token, cx);
                return Ok(0);
            }
            piece.resident = piece.at + count;
        }
        let taken = transport.send_file(piece, count)? as u64;
        if taken == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a pack ended before its frames"));
        }
        piece.at += taken;
        if piece.left() == 0 {
            self.queue.pop_front();
        }
        Ok(taken)
    }

    /// Sends the next bytes of a file by way of the thread's buffer.
    fn send_copy(&mut self, transport: &mut Transport, token: u64, cx: &mut Cx<'_>) -> io::Result<u64> {
        let Some(Piece::File(piece)) = self.queue.front_mut() else { return Ok(0) };
        let count = piece.left().min(cx.scratch.len() as u64);
        let buffer = &mut cx.scratch[..count as usize];
        if !fill_resident(piece.extent.file(), piece.offset(), buffer) {
            if piece.resident >= piece.at + count {
                // It was brought and is gone again, or the file system cannot tell.
                return self.send_file(transport, token, cx);
            }
            let (extent, from, to) = (piece.extent.clone(), piece.at, piece.at + count);
            self.bring(&extent, from, to, token, cx);
            return Ok(0);
        }
        let taken = transport.send(&[IoSlice::new(buffer)], count < piece.left())?;
        match buffer.get(taken..).filter(|rest| !rest.is_empty()) {
            // What was read and not taken is not read again.
            Some(rest) => {
                piece.at += taken as u64;
                let rest = Bytes::copy_from_slice(rest);
                self.replace(0, rest);
            }
            None => {
                piece.at += count;
                if piece.left() == 0 {
                    self.queue.pop_front();
                }
            }
        }
        Ok(taken as u64)
    }

    /// Lets the pool bring bytes `from` to `to` of the first piece into memory.
    fn bring(&mut self, extent: &Extent, from: u64, to: u64, token: u64, cx: &Cx<'_>) {
        let part = extent.part(from, to);
        self.is_fetching = true;
        let reply = Reply::new(cx.mailbox, token);
        cx.shared.pool.submit(move || {
            if fetch(&part).is_ok() {
                reply.send(Done::Resident(to));
            }
        });
    }

    /// Sends bytes in memory, and small pieces of files that are.
    fn send_bytes(&mut self, transport: &mut Transport, token: u64, cx: &Cx<'_>) -> io::Result<u64> {
        let step = if transport.is_tls() { TLS_STEP_BYTES as u64 } else { SMALL_BYTES };
        let (mut at, mut total) = (0, 0);
        while at < self.queue.len().min(GATHER_PIECES) && total < GATHER_BYTES {
            if let Piece::File(piece) = &self.queue[at] {
                if !transport.is_tls() && piece.left() > SMALL_BYTES {
                    break;
                }
                let count = piece.left().min(step);
                match read_resident(piece.extent.file(), piece.offset(), count) {
                    Some(bytes) => self.replace(at, bytes),
                    None if at > 0 => break,
                    None => {
                        let extent = piece.extent.part(piece.at, piece.at + count);
                        self.is_fetching = true;
                        let reply = Reply::new(cx.mailbox, token);
                        cx.shared.pool.submit(move || reply.send(Done::Bytes(read(&extent))));
                        return Ok(0);
                    }
                }
            }
            total += self.queue[at].left() as usize;
            at += 1;
        }
        let is_more = at < self.queue.len() || !matches!(self.source, Source::None);
        let slices: Vec<IoSlice<'_>> = self.queue.iter().take(at).filter_map(slice).collect();
        let taken = transport.send(&slices, is_more)?;
        drop(slices);
        let mut left = taken;
        while left > 0 {
            let Some(Piece::Bytes(bytes, _)) = self.queue.front_mut() else { break };
            let count = left.min(bytes.len());
            bytes.advance(count);
            left -= count;
            if bytes.is_empty() {
                self.queue.pop_front();
            }
        }
        Ok(taken as u64)
    }
}

fn slice(piece: &Piece) -> Option<IoSlice<'_>> {
    match piece {
        Piece::Bytes(bytes, _) => Some(IoSlice::new(bytes)),
        Piece::File(_) => None,
    }
}

/// Whether bytes of a file are in memory, by looking at a few of them.
///
/// What leaves memory between this look and the use is read by the thread after all; that is rare.
fn is_resident(file: &File, offset: u64, count: u64) -> bool {
    let mut at = 0;
    loop {
        let mut byte = [0];
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], offset + at, ReadWriteFlags::NOWAIT) {
            Ok(1) => {}
            // Also a file system that cannot tell.
            _ => return false,
        }
        if at + 1 >= count {
            return true;
        }
        at = (at + PROBE_BYTES).min(count - 1);
    }
}

/// Bytes of a file, if all of them are in memory.
fn read_resident(file: &File, offset: u64, count: u64) -> Option<Bytes> {
    // At most a step of TLS.
    let mut bytes = vec![0; count as usize];
    fill_resident(file, offset, &mut bytes).then(|| Bytes::from(bytes))
}

/// Fills `bytes` from a file, if all of them are in memory.
fn fill_resident(file: &File, offset: u64, bytes: &mut [u8]) -> bool {
    let mut done = 0;
    while done < bytes.len() {
        let slice = &mut [IoSliceMut::new(&mut bytes[done..])];
        match preadv2(file, slice, offset + done as u64, ReadWriteFlags::NOWAIT) {
            Ok(0) => return false,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Reads a small extent, waiting for the disk.
fn read(extent: &Extent) -> io::Result<Bytes> {
    let mut bytes = vec![0; extent.length() as usize];
    extent.file().read_exact_at(&mut bytes, extent.offset())?;
    Ok(Bytes::from(bytes))
}

/// Brings the bytes of an extent into memory.
fn fetch(extent: &Extent) -> io::Result<()> {
    let mut bytes = vec![0; (128 * 1024).min(extent.length() as usize)];
    let mut done = 0;
    while done < extent.length() {
        let count = (extent.length() - done).min(bytes.len() as u64) as usize;
        extent.file().read_exact_at(&mut bytes[..count], extent.offset() + done)?;
        done += count as u64;
    }
    Ok(())
}
