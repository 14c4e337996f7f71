//! A client's socket, plain or under TLS. Nothing here waits.
//!
//! TLS is done by `rustls` in this process. The kernel's TLS (`TCP_ULP`) is not used: switching a
//! socket to it has no safe interface.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use restock_transfer::{Identity, holder_of};
use rustix::net::sockopt::set_socket_linger;
use rustls::{ServerConfig, ServerConnection};

use super::piece::FilePiece;

/// Plain text that waits to be encrypted and sent, at most.
const TLS_BUFFER_BYTES: usize = 256 * 1024;
/// Bytes given to TLS at once.
pub(crate) const TLS_STEP_BYTES: usize = 128 * 1024;

/// A connection's socket.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl Transport {
    /// A socket that does not block; with `tls` it is spoken from the first byte.
    pub(crate) fn new(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let tls = match tls {
            None => None,
            Some(config) => {
                let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
                session.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                Some(Box::new(session))
            }
        };
        Ok(Self { stream, tls })
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The enrolled holder whose certificate the client showed.
    pub(crate) fn holder(&self) -> Option<Identity> {
        holder_of(self.tls.as_ref()?.peer_certificates()?.first()?)
    }

    /// Reads what has arrived. `Ok(0)` is the end; [`io::ErrorKind::WouldBlock`] that nothing has.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(session) = &mut self.tls else { return (&self.stream).read(buffer) };
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without TLS's own end is an end: nothing here depends on what was cut off.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                other => return other,
            }
            if session.read_tls(&mut &self.stream)? == 0 {
                return Ok(0);
            }
            if let Err(error) = session.process_new_packets() {
                // The alert says what was wrong; whether it arrives is the client's luck.
                drop(session.write_tls(&mut &self.stream));
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            // The answers of a handshake leave at once; what does not is sent when the socket takes it.
            self.flush()?;
        }
    }

    /// True while encrypted bytes wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| session.wants_write())
    }

    /// Sends encrypted bytes that wait. Returns whether all of them left.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let Some(session) = &mut self.tls else { return Ok(true) };
        while session.wants_write() {
            match session.write_tls(&mut &self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends bytes, returns how many were taken. `is_more` says that more follow at once, so that
    /// the last packet may wait for them.
    pub(crate) fn send(&mut self, bytes: &[IoSlice<'_>], is_more: bool) -> io::Result<usize> {
        let Some(session) = &mut self.tls else {
            if is_more {
                let flags = rustix::net::SendFlags::MORE | rustix::net::SendFlags::NOSIGNAL;
                let mut none = rustix::net::SendAncillaryBuffer::default();
                return Ok(rustix::net::sendmsg(&self.stream, bytes, &mut none, flags)?);
            }
            return (&self.stream).write_vectored(bytes);
        };
        let mut taken = 0;
        for slice in bytes {
            let count = session.writer().write(slice)?;
            taken += count;
            if count < slice.len() {
                break;
            }
        }
        self.flush()?;
        match taken {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// Sends at most `count` bytes of a file from where `piece` is, without reading them. Plain only.
    pub(crate) fn send_file(&mut self, piece: &FilePiece, count: u64) -> io::Result<usize> {
        let mut offset = piece.offset();
        // A step is far smaller than the address space.
        Ok(rustix::fs::sendfile(&self.stream, piece.extent.file(), Some(&mut offset), count as usize)?)
    }

    /// Says that nothing more is sent. What was sent is still delivered.
    pub(crate) fn end(&mut self) {
        if let Some(session) = &mut self.tls {
            session.send_close_notify();
            // What does not leave now is not worth waiting for.
            drop(session.write_tls(&mut &self.stream));
        }
        // A client that is gone needs no end.
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Lets the socket end in a reset when it is dropped: an answer that is not whole must not look
    /// as if it were.
    pub(crate) fn mark_for_reset(&self) {
        if let Err(error) = set_socket_linger(&self.stream, Some(Duration::ZERO)) {
            tracing::debug!(target: "smsdpprov", %error, "connection closed without a reset");
        }
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
