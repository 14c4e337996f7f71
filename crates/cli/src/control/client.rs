//! The side of a command: one connection, one request at a time, blocking.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::protocol::{ANSWER_BYTES_MAX, Ask, Body, Reply, Request, VERSION};
use super::socket::ShortPath;
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// A connection to a running site or DP.
#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    next_id: u64,
}

impl Client {
    /// Connects; `None` when nothing listens there.
    ///
    /// Errors: the socket is there and cannot be used, for example by another account.
    pub(crate) fn connect(socket: &Path) -> Result<Option<Self>, Failure> {
        let connected = ShortPath::new(socket).and_then(|p| UnixStream::connect(p.as_path()));
        match connected {
            Ok(stream) => Ok(Some(Self { stream: BufReader::new(stream), next_id: 1 })),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                Ok(None)
            }
            Err(e) => {
                let failure =
                    Failure::caused(Kind::Refused, format!("cannot connect to {}", shown_path(socket)), &e);
                Err(failure.hint("run the command as the account that runs the site, or as root"))
            }
        }
    }

    /// Ends waiting for an answer after `limit`, with a failure.
    pub(crate) fn set_patience(&mut self, limit: Option<Duration>) -> Result<(), Failure> {
        self.stream.get_ref().set_read_timeout(limit).map_err(|e| lost(&e))
    }

    /// Asks and returns the answer; events in between go to `on_event`, which may end the request
    /// (`Break`: the connection is closed and `None` returned).
    pub(crate) fn stream(
        &mut self,
        ask: Ask,
        on_event: &mut dyn FnMut(Value) -> Result<ControlFlow<()>, Failure>,
    ) -> Result<Option<Value>, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request { restock: VERSION, id, request_id: None, ask };
        let mut line = serde_json::to_vec(&request).expect("requests are plain data with text keys");
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).map_err(|e| lost(&e))?;
        loop {
            let reply = self.reply()?;
            if reply.id != id {
                return Err(Failure::failed(format!("the answer belongs to request {}, not {id}", reply.id)));
            }
            match reply.body {
                Body::Answer(value) => return Ok(Some(value)),
                Body::Failure(failure) => return Err(failure),
                Body::Event(value) => {
                    if on_event(value)?.is_break() {
                        self.stream.get_ref().shutdown(std::net::Shutdown::Both).map_err(|e| lost(&e))?;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Asks for something that has one answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, ask: Ask) -> Result<T, Failure> {
        let value = self.stream(ask, &mut |_| Ok(ControlFlow::Continue(())))?.unwrap_or_default();
        understood(value)
    }

    fn reply(&mut self) -> Result<Reply, Failure> {
        let mut line = Vec::new();
        let read =
            (&mut self.stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line).map_err(|e| lost(&e))?;
        if read == 0 {
            return Err(Failure::failed("the site ended the connection before it answered")
                .hint("see the log folder of the site for the reason"));
        }
        serde_json::from_slice(&line)
            .map_err(|e| Failure::caused(Kind::Failed, "the answer is not understood", &e))
    }
}

/// Reads an answer as what the caller expects.
pub(super) fn understood<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|e| {
        Failure::caused(Kind::Failed, "the answer is not understood", &e)
            .hint("use the same version of restock for the command and the running site")
    })
}

fn lost(error: &io::Error) -> Failure {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        return Failure::new(Kind::TimedOut, "no answer in time");
    }
    Failure::caused(Kind::Failed, "lost the connection to the running process", error)
}
