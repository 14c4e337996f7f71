//! What a running site and a running DP share: runtime, signals, start line, library answers.

pub(crate) mod admin_service;
pub(crate) mod audit_head;
pub(crate) mod dp;
pub(crate) mod entries;
mod frame;
pub(crate) mod kerberos;
pub(crate) mod library;
pub(crate) mod site;

use std::net::SocketAddr;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Role;
use crate::control::Hello;
use crate::failure::{Failure, Kind};
use crate::metrics::{self, Numbers};
use crate::output::Output;

/// Name and version of this program, as links and sockets tell it.
pub(crate) const SOFTWARE: &str = concat!("restock ", env!("CARGO_PKG_VERSION"));

/// A runtime with this many threads.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|e| Failure::caused(Kind::Failed, "cannot start the runtime", &e))
}

/// Allows this process as many open files as it may allow itself: each pack that is read keeps one open,
/// and each reader is one. Where that is refused the limit stays.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}

/// Threads of a long-running process: one per core, at least two.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, |n| n.get().max(2))
}

/// Cancels `shutdown` at SIGTERM or SIGINT.
///
/// A second signal ends the process at once: the data folder survives that by design.
pub(crate) async fn watch_signals(shutdown: CancellationToken) -> Result<(), Failure> {
    let fail = |e: &std::io::Error| Failure::caused(Kind::Failed, "cannot watch for signals", e);
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| fail(&e))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| fail(&e))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = shutdown.cancelled() => return Ok(()),
    }
    tracing::info!("stopping");
    shutdown.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(i32::from(Kind::Failed.exit_code()));
}

/// Starts the metrics endpoint, when there is one, and returns its URL.
///
/// Errors: the address cannot be used at all. A taken port is replaced by a free one, with a warning.
pub(crate) async fn start_metrics<N: Numbers>(
    listen: Option<SocketAddr>,
    numbers: Arc<N>,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<Option<String>, Failure> {
    let Some(listen) = listen else { return Ok(None) };
    let fail = |e: &std::io::Error| {
        Failure::caused(Kind::Failed, format!("cannot serve metrics on {listen}"), e)
            .hint("change listen in the section [metrics] of restock.toml, or make it empty")
    };
    let (listener, was_taken) = metrics::bind(listen).await.map_err(|e| fail(&e))?;
    let address = listener.local_addr().map_err(|e| fail(&e))?;
    if was_taken {
        tracing::warn!(%listen, %address, "the metrics port is taken, another one is used");
    }
    tracker.spawn(metrics::serve(listener, numbers, tracker.clone(), shutdown.clone()));
    Ok(Some(format!("http://{address}/metrics")))
}

/// Says that the process is ready: a line for people, or with `--json` one document.
pub(crate) fn announce(output: Output, hello: &Hello) {
    if output.json {
        output.line(&serde_json::to_string(hello).expect("plain data with text keys serialises"));
        return;
    }
    let who = match (&hello.role, &hello.name) {
        (Role::Site, _) => {
            format!("Site {} is running; distribution points connect to {}", hello.site_code, hello.url)
        }
        (Role::Dp, name) => format!(
            "Distribution point {} of site {} is running and serves {}",
            name.as_deref().unwrap_or_default(),
            hello.site_code,
            hello.url
        ),
    };
    let admin = hello.admin_service.as_ref().map(|at| {
        let urls = [&at.url, &at.http_url].into_iter().flatten();
        urls.map(|url| format!("AdminService: {url}\n")).collect::<String>()
    });
    let admin = admin.unwrap_or_default();
    let metrics = hello.metrics.as_deref().map(|m| format!("Metrics: {m}\n")).unwrap_or_default();
    output.talk(&format!("{who}\n{admin}{metrics}Stop with Ctrl-C or SIGTERM.\n"));
}

/// Ends this process when the one that started it ends.
///
/// Errors: the parent is gone already.
pub(crate) fn stop_with_parent() -> Result<(), Failure> {
    let parent = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .map_err(|e| Failure::caused(Kind::Failed, "cannot watch the parent process", &e))?;
    if rustix::process::getppid() == parent && parent.is_some_and(|p| !p.is_init()) {
        return Ok(());
    }
    Err(Failure::failed("the process that started this one is gone"))
}
