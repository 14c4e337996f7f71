//! The frame around a running site or DP: lock, logs, signals, control socket, an orderly end.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{announce, raise_open_files, runtime, threads, watch_signals};
use crate::config::{LogSettings, Role};
use crate::control::{Desk, Hello, Listener};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::logs::{self, LogCounts};
use crate::output::{Done, Output, shown_path};

/// What a role is given to run in.
#[derive(Debug)]
pub(super) struct Frame<'f> {
    pub(super) folder: &'f DataFolder,
    /// What was logged, for the metrics.
    pub(super) counts: Arc<LogCounts>,
    /// Every task of the process; the end waits for them.
    pub(super) tracker: TaskTracker,
    /// Cancelled by a signal, or by a role that fails.
    pub(super) shutdown: CancellationToken,
    output: Output,
}

/// Runs `serve` for the role of `folder` until it ends; a signal cancels its frame's token.
///
/// Errors: the folder is in use, the logs cannot be written, what `serve` fails with.
pub(super) fn run<'f, F>(
    folder: &'f DataFolder,
    (role, logs): (Role, &LogSettings),
    output: Output,
    serve: impl FnOnce(Arc<Frame<'f>>) -> F,
) -> Result<Done, Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let (command, name) = match role {
        Role::Site => ("restock site run", "the site"),
        Role::Dp => ("restock dp run", "the distribution point"),
    };
    let lock = folder.lock(command)?;
    let counts = logs::start(logs, &folder.logs(&logs.folder), role)?;
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let frame = Arc::new(Frame { folder, counts, tracker, shutdown, output });
    raise_open_files();
    let runtime = runtime(threads())?;
    let result = runtime.block_on(async {
        let serving = async {
            let result = serve(Arc::clone(&frame)).await;
            frame.end().await;
            result
        };
        until_signal(&frame.shutdown, serving).await
    });
    if let Err(failure) = &result {
        tracing::error!(error = %failure.message, "{name} ended");
    }
    drop(runtime);
    drop(lock);
    result.map(|()| Done::silent())
}

/// Waits for `serving`, which ends soon after `shutdown` is cancelled. The signals are watched before
/// anything is open.
async fn until_signal(
    shutdown: &CancellationToken,
    serving: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let signals = watch_signals(shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => result,
        failed = signals => {
            failed?;
            serving.await
        }
    }
}

impl Frame<'_> {
    /// Answers on the control socket at `desk` and says that the process is ready.
    pub(super) fn open<D: Desk>(&self, desk: Arc<D>, hello: &Hello) -> Result<(), Failure> {
        let socket = self.folder.socket();
        let listener = Listener::bind(&socket).map_err(|e| {
            Failure::caused(Kind::Failed, format!("cannot listen on {}", shown_path(&socket)), &e)
        })?;
        self.tracker.spawn(listener.serve(desk, self.tracker.clone(), self.shutdown.clone()));
        announce(self.output, hello);
        Ok(())
    }

    /// Tells every task to end and waits until they have.
    pub(super) async fn end(&self) {
        self.shutdown.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
