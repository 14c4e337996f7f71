//! The side of the running process: accepts, checks who connects, answers line by line.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::protocol::{Ask, Body, REQUEST_BYTES_MAX, Reply, Request, VERSION};
use super::socket::ShortPath;
use crate::accept::serve_each;
use crate::failure::{Failure, Kind};

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 64;
/// Events that wait for a slow reader before the request waits as well.
const EVENTS_MAX: usize = 16;

/// Where a request puts its events. Sending fails when the caller is gone.
pub(crate) type Events = mpsc::Sender<Value>;

/// Answers requests: a site's desk or a DP's.
pub(crate) trait Desk: Send + Sync + 'static {
    /// `user` names the caller for the audit; `request_id` makes a change happen once.
    fn answer(
        &self,
        user: String,
        request_id: Option<String>,
        ask: Ask,
        events: Events,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;
}

/// A bound control socket; removed when dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Binds `path` with mode 0600. The caller holds the data folder's lock, so a socket that is
    /// there was left by a process that died.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let listener = UnixListener::bind(ShortPath::new(path)?.as_path())?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until `shutdown`.
    pub(crate) async fn serve<D: Desk>(
        self,
        desk: Arc<D>,
        tracker: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let converse = |stream| {
            let desk = Arc::clone(&desk);
            async move {
                if let Err(error) = converse(stream, desk).await {
                    tracing::debug!(%error, "control connection ended");
                }
            }
        };
        serve_each(&self.listener, CONNECTIONS_MAX, &tracker, &shutdown, converse).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

async fn converse<D: Desk>(stream: UnixStream, desk: Arc<D>) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    let (reader, mut writer) = stream.into_split();
    if caller != 0 && caller != rustix::process::geteuid().as_raw() {
        tracing::warn!(caller.uid = caller, "refused a control connection of another account");
        let failure = Failure::refused(format!("IDENTITY: account {caller} may not use this socket"));
        return send(&mut writer, 0, Body::Failure(failure)).await;
    }
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let limit = REQUEST_BYTES_MAX as u64;
        let read = (&mut reader).take(limit).read_until(b'\n', &mut line).await?;
        if read == 0 {
            return Ok(());
        }
        if line.last() != Some(&b'\n') && read == REQUEST_BYTES_MAX {
            let failure = Failure::usage(format!("REQUEST_TOO_LONG: a request has at most {limit} bytes"));
            return send(&mut writer, 0, Body::Failure(failure)).await;
        }
        match parse(&line) {
            Err((id, failure)) => send(&mut writer, id, Body::Failure(failure)).await?,
            Ok(request) => {
                if !answer(&mut reader, &mut writer, &*desk, caller, request).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// Answers one request; false when the caller left before it was answered.
async fn answer<D: Desk>(
    reader: &mut BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    desk: &D,
    caller: u32,
    request: Request,
) -> io::Result<bool> {
    let id = request.id;
    let (events, mut waiting) = mpsc::channel(EVENTS_MAX);
    let answering = desk.answer(format!("uid {caller}"), request.request_id, request.ask, events);
    tokio::pin!(answering);
    // The next request may already wait in the buffer: only the end of the stream is of interest.
    let mut watches_reader = reader.buffer().is_empty();
    loop {
        tokio::select! {
            biased;
            Some(event) = waiting.recv() => send(writer, id, Body::Event(event)).await?,
            result = &mut answering => {
                while let Ok(event) = waiting.try_recv() {
                    send(writer, id, Body::Event(event)).await?;
                }
                let body = match result {
                    Ok(value) => Body::Answer(value),
                    Err(failure) => Body::Failure(failure),
                };
                send(writer, id, body).await?;
                return Ok(true);
            }
            more = reader.fill_buf(), if watches_reader => {
                if more?.is_empty() {
                    return Ok(false);
                }
                watches_reader = false;
            }
        }
    }
}

/// Reads a request; a failure names the request it answers when its id could be read.
fn parse(line: &[u8]) -> Result<Request, (u64, Failure)> {
    let value: Value = serde_json::from_slice(line)
        .map_err(|e| (0, Failure::caused(Kind::Usage, "REQUEST_FORMAT: not a JSON document", &e)))?;
    let id = value.get("id").and_then(Value::as_u64).unwrap_or(0);
    let version = value.get("restock").and_then(Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        let failure =
            Failure::refused(format!("PROTOCOL_VERSION: this process speaks \"restock\": {VERSION}"))
                .hint("use the same version of restock for the command and the running site");
        return Err((id, failure));
    }
    serde_json::from_value(value).map_err(|e| (id, Failure::caused(Kind::Usage, "REQUEST_FORMAT", &e)))
}

async fn send(writer: &mut OwnedWriteHalf, id: u64, body: Body) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Reply { id, body }).expect("replies are plain data with text keys");
    line.push(b'\n');
    writer.write_all(&line).await
}

#[cfg(test)]
mod tests;
