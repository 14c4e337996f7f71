//! A running distribution point: link, content server, control socket, metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use restock_content::library::Library;
use restock_dp::DistributionPoint;
use restock_names::SystemClock;
use restock_transfer::{DpIdentity, Run};

use super::frame::{self, Frame};
use super::{library, start_metrics};
use crate::config::{self, DpSettings, Role};
use crate::control::DpDesk;
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind, chain};
use crate::logs::LogCounts;
use crate::metrics::{Exposition, Numbers};
use crate::output::{Done, Output};

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
    frame::run(folder, (Role::Dp, &settings.logs), output, |frame| serve(frame, &settings))
}

async fn serve(frame: Arc<Frame<'_>>, settings: &DpSettings) -> Result<(), Failure> {
    let Frame { folder, counts, tracker, shutdown, .. } = &*frame;
    let run = Run { clock: Arc::new(SystemClock), tracker: tracker.clone(), cancel: shutdown.clone() };
    let identity = DpIdentity::open(&folder.identity()).map_err(|e| {
        Failure::new(Kind::Failed, chain(&e)).hint("restock dp init, with a new token, in a new data folder")
    })?;
    let identity = Arc::new(identity);
    library::check_identity(folder, Role::Dp)?;
    let path = folder.library();
    let library = tokio::task::spawn_blocking(move || library::open(&path))
        .await
        .map_err(|e| Failure::caused(Kind::Failed, "opening the library", &e))??;
    let config = settings.config(folder.path());
    let point = DistributionPoint::start(config, Arc::clone(&library), Arc::clone(&identity), &run)
        .await
        .map_err(|e| {
            Failure::new(Kind::Failed, format!("cannot start: {}", chain(&e)))
                .hint("listen in the section [serve] of restock.toml, when the address is taken")
        })?;
    let point = Arc::new(point);
    let bound = point.addresses().first().copied().unwrap_or(settings.serve.listen);
    let counts = Arc::clone(counts);
    let numbers = Arc::new(DpNumbers { point: Arc::clone(&point), library: Arc::clone(&library), counts });
    let metrics = start_metrics(settings.metrics.0.listen, numbers, tracker, shutdown).await?;
    let desk = Arc::new(DpDesk {
        point,
        library,
        data: folder.path().to_owned(),
        site_code: identity.site(),
        name: identity.name().to_string(),
        url: settings.url(bound),
        metrics,
    });
    frame.open(Arc::clone(&desk), &desk.hello())?;
    shutdown.cancelled().await;
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
        let stale = f64::from(u8::from(self.point.stale_since().is_some()));
        let help = "The site has not vouched for what it tells for too long (STALE_METADATA)";
        numbers.gauge("restock_site_head_stale", help, [(vec![], stale)]);
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
