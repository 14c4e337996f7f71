//! A running distribution point: link, content server, control socket, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use restock_content::library::Library;
use restock_dp::DistributionPoint;
use restock_names::SystemClock;
use restock_transfer::{DpIdentity, Run};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{announce, library, runtime, start_metrics, threads, watch_signals};
use crate::config::{self, DpSettings, Role};
use crate::control::{DpDesk, Listener};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind, chain};
use crate::logs::{self, LogCounts};
use crate::metrics::{Exposition, Numbers};
use crate::output::{Done, Output, shown_path};

/// Checks that only a loopback listener serves packages without a right.
pub(crate) fn check_listener(settings: &DpSettings) -> Result<(), Failure> {
    let serve = &settings.serve;
    if serve.anonymous_on_loopback && !serve.listen.ip().is_loopback() {
        return Err(Failure::usage(format!(
            "LISTENER_NOT_LOOPBACK: {} cannot serve every package without a right",
            serve.listen
        ))
        .hint("listen on 127.0.0.1, or mark packages public: restock package set PKG --public true"));
    }
    Ok(())
}

/// Runs the distribution point of `folder` until a signal.
pub(crate) fn run(folder: &DataFolder, output: Output) -> Result<Done, Failure> {
    let settings: DpSettings = config::read(&folder.config())?;
    check_listener(&settings)?;
    let lock = folder.lock("restock dp run")?;
    let counts = logs::start(&settings.logs, &folder.logs(&settings.logs.folder), Role::Dp)?;
    let runtime = runtime(threads())?;
    let result = runtime.block_on(serve(folder, &settings, counts, output));
    if let Err(failure) = &result {
        tracing::error!(error = %failure.message, "the distribution point ended");
    }
    drop(runtime);
    drop(lock);
    result.map(|()| Done::silent())
}

async fn serve(
    folder: &DataFolder,
    settings: &DpSettings,
    counts: Arc<LogCounts>,
    output: Output,
) -> Result<(), Failure> {
    let run =
        Run { clock: Arc::new(SystemClock), tracker: TaskTracker::new(), cancel: CancellationToken::new() };
    // The signals are watched before anything is open.
    let signals = watch_signals(run.cancel.clone());
    let running = async {
        let result = start(folder, settings, counts, output, &run).await;
        if result.is_ok() {
            run.cancel.cancelled().await;
        }
        run.cancel.cancel();
        run.tracker.close();
        run.tracker.wait().await;
        result
    };
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => result,
        failed = signals => {
            failed?;
            running.await
        }
    }
}

async fn start(
    folder: &DataFolder,
    settings: &DpSettings,
    counts: Arc<LogCounts>,
    output: Output,
    run: &Run,
) -> Result<(), Failure> {
    let identity = DpIdentity::open(&folder.identity()).map_err(|e| {
        Failure::new(Kind::Failed, chain(&e)).hint("restock dp init, with a new token, in a new data folder")
    })?;
    let identity = Arc::new(identity);
    let path = folder.library();
    let library = tokio::task::spawn_blocking(move || library::open(&path))
        .await
        .map_err(|e| Failure::caused(Kind::Failed, "opening the library", &e))??;
    let config = settings.config(folder.path());
    let point = DistributionPoint::start(config, Arc::clone(&library), Arc::clone(&identity), run)
        .await
        .map_err(|e| {
            Failure::new(Kind::Failed, format!("cannot start: {}", chain(&e)))
                .hint("listen in the section [serve] of restock.toml, when the address is taken")
        })?;
    let point = Arc::new(point);
    let bound = point.addresses().first().copied().unwrap_or(settings.serve.listen);
    let numbers = Arc::new(DpNumbers { point: Arc::clone(&point), library: Arc::clone(&library), counts });
    let metrics = start_metrics(settings.metrics.0.listen, numbers, &run.tracker, &run.cancel).await?;
    let desk = Arc::new(DpDesk {
        point,
        library,
        data: folder.path().to_owned(),
        site_code: identity.site(),
        name: identity.name().to_string(),
        url: settings.url(bound),
        metrics,
    });
    let socket = folder.socket();
    let listener = Listener::bind(&socket).map_err(|e| {
        Failure::caused(Kind::Failed, format!("cannot listen on {}", shown_path(&socket)), &e)
    })?;
    run.tracker.spawn(listener.serve(Arc::clone(&desk), run.tracker.clone(), run.cancel.clone()));
    announce(output, &desk.hello());
    Ok(())
}

/// What Prometheus reads of a distribution point.
#[derive(Debug)]
struct DpNumbers {
    point: Arc<DistributionPoint>,
    library: Arc<Library>,
    counts: Arc<LogCounts>,
}

impl Numbers for DpNumbers {
    async fn text(&self) -> String {
        let mut numbers = Exposition::default();
        numbers.process("dp", &self.counts);
        let link = f64::from(u8::from(self.point.is_connected()));
        numbers.gauge("restock_link_up", "The control connection to the site is up", [(vec![], link)]);
        let served = self.library.packages().len() as f64;
        numbers.gauge("restock_packages_served", "Packages with an active version", [(vec![], served)]);
        let (running, waiting) = self.point.job_counts();
        let jobs = [("running", running), ("waiting", waiting)];
        let jobs = jobs.map(|(state, n)| (vec![("state", state.to_owned())], n as f64));
        numbers.gauge("restock_jobs", "Jobs of the site at this DP", jobs);
        let stats = self.point.serve_stats();
        let open = stats.connections.load(Ordering::Relaxed) as f64;
        numbers.gauge("restock_http_connections", "Connections of readers", [(vec![], open)]);
        for (name, help, count) in [
            ("restock_http_files", "Files and parts of files answered", &stats.files),
            ("restock_http_bytes", "Bytes of those answers", &stats.bytes),
            ("restock_http_refusals", "Requests refused", &stats.refusals),
        ] {
            numbers.counter(name, help, [(vec![], count.load(Ordering::Relaxed))]);
        }
        numbers.text()
    }
}
