//! A running site: loops, link, control socket, metrics.

use std::sync::Arc;

use restock_names::{Clock, SiteCode, SystemClock};
use restock_provider::{Answer, Call, Operation};
use restock_sitedb::hierarchy::SiteType;

use super::frame::{self, Frame};
use super::{admin_service, audit_head, kerberos, start_metrics};
use crate::commands::state_word;
use crate::config::{self, Role, SiteSettings};
use crate::control::{LinkNow, SiteDesk, SiteTree, site_failure, type_of};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::logs::LogCounts;
use crate::metrics::{Exposition, Numbers};
use crate::output::{Done, Output};

/// Runs the site of `folder` until a signal.
pub(crate) fn run(folder: &DataFolder, output: Output) -> Result<Done, Failure> {
    let settings: SiteSettings = config::read(&folder.config())?;
    kerberos::prepare(folder, &settings.kerberos)?;
    frame::run(folder, (Role::Site, &settings.logs), output, |frame| serve(frame, &settings))
}

async fn serve(frame: Arc<Frame<'_>>, settings: &SiteSettings) -> Result<(), Failure> {
    let Frame { folder, counts, tracker, shutdown, .. } = &*frame;
    let desk = SiteDesk::open(folder).await?;
    let numbers = Arc::new(SiteNumbers { desk: desk.clone(), counts: Arc::clone(counts) });
    let metrics = start_metrics(settings.metrics.0.listen, numbers, tracker, shutdown).await?;
    let desk = desk.with_metrics(metrics);
    let site = desk.site().clone();
    let run = site.run(shutdown.clone());
    tracker.spawn(audit_head::keep(site.database().clone(), folder.path().to_owned(), shutdown.clone()));
    let ready = async {
        site.listening().await;
        // A secondary site has no provider that others could ask.
        let door = match type_of(desk.site()).await? {
            SiteType::Secondary => None,
            SiteType::Primary | SiteType::Central => {
                admin_service::start(folder, settings, &desk, tracker, shutdown).await?
            }
        };
        let desk = desk.clone().with_admin_service(door);
        frame.open(Arc::new(desk.clone()), &desk.hello())
    };
    let ready = async {
        // `run` ends when the site is told to stop, or fails: it alone decides when this ends.
        match ready.await {
            Ok(()) => std::future::pending().await,
            Err(failure) => {
                shutdown.cancel();
                failure
            }
        }
    };
    tokio::pin!(run);
    let result = tokio::select! {
        result = &mut run => result.map_err(site_failure),
        failure = ready => {
            let ended = run.await.map_err(site_failure);
            Err(ended.err().unwrap_or(failure))
        }
    };
    // Nothing may use the database when it is closed.
    frame.end().await;
    desk.site().close().await;
    result
}

/// What Prometheus reads of a site.
#[derive(Debug)]
struct SiteNumbers {
    desk: SiteDesk,
    counts: Arc<LogCounts>,
}

impl Numbers for SiteNumbers {
    async fn text(&self) -> String {
        let mut numbers = Exposition::default();
        numbers.process("site", &self.counts);
        let mut failures = 0;
        for operation in [Operation::Status { package: None }, Operation::ListPoints, Operation::ListLoops] {
            match self.desk.provider().perform(&Call::default(), operation).await {
                Ok(answer) => add(&mut numbers, &answer),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "a number for Prometheus could not be read");
                }
            }
        }
        numbers.gauge(
            "restock_metrics_unread",
            "Groups of numbers missing here",
            [(vec![], f64::from(failures))],
        );
        let live = self.desk.site().progress().snapshot();
        match self.desk.tree().await {
            Ok(tree) => add_sites(&mut numbers, &tree),
            Err(failure) => tracing::warn!(error = %failure.message, "the hierarchy could not be read"),
        }
        numbers.gauge("restock_sources_read", "Sources being read", [(vec![], live.refreshes.len() as f64)]);
        numbers.gauge(
            "restock_transfers",
            "Transfers to DPs under way",
            [(vec![], live.transfers.len() as f64)],
        );
        let rate: u64 = live.transfers.iter().map(|t| t.bytes_per_second).sum();
        let rate = [(vec![], rate as f64)];
        numbers.gauge("restock_transfer_bytes_per_second", "Content bytes a second to all DPs", rate);
        numbers.text()
    }
}

/// What lies between this site and those next to it; nothing of a site that is alone.
fn add_sites(numbers: &mut Exposition, tree: &SiteTree) {
    let links: Vec<_> = tree.sites.iter().filter_map(|row| Some((row, row.link.as_ref()?))).collect();
    if links.is_empty() {
        return;
    }
    let site = |code: SiteCode| vec![("site", code.to_string())];
    let of =
        |value: fn(&LinkNow) -> f64| links.iter().map(move |(row, link)| (site(row.site_code), value(link)));
    let up = of(|link| f64::from(u8::from(link.is_connected)));
    numbers.gauge("restock_site_link_up", "The link to a site next to this one is up", up);
    let backlog = of(|link| link.backlog as f64);
    numbers.gauge(
        "restock_site_backlog",
        "Changes that a site next to this one has not acknowledged",
        backlog,
    );
    let lag = of(|link| link.lag_seconds as f64);
    numbers.gauge("restock_site_lag_seconds", "How long the oldest of them waits", lag);
    let behind = tree.sites.iter().map(|row| (site(row.site_code), row.packages_behind as f64));
    numbers.gauge("restock_site_packages_behind", "Versions meant for a site and not stored there", behind);
}

fn add(numbers: &mut Exposition, answer: &Answer) {
    match answer {
        Answer::Status(packages) => {
            let pending = packages.iter().filter(|p| p.package.refresh.is_some()).count();
            numbers.gauge("restock_packages", "Packages", [(vec![], packages.len() as f64)]);
            numbers.gauge(
                "restock_refreshes_pending",
                "Refreshes asked and not ended",
                [(vec![], pending as f64)],
            );
            let mut states = std::collections::BTreeMap::<&str, u64>::new();
            for target in packages.iter().flat_map(|p| &p.targets) {
                *states.entry(state_word(target.state)).or_default() += 1;
            }
            let states = states.into_iter().map(|(s, n)| (vec![("state", s.to_owned())], n as f64));
            numbers.gauge("restock_targets", "Packages at distribution points by state", states);
        }
        Answer::Points(points) => {
            let up = |wanted| points.iter().filter(|p| p.is_connected == wanted).count() as f64;
            let values =
                [("up", true), ("down", false)].map(|(w, is_up)| (vec![("link", w.to_owned())], up(is_up)));
            numbers.gauge("restock_distribution_points", "Distribution points by link", values);
        }
        Answer::Loops(loops) => {
            let queue = loops.iter().map(|l| (vec![("loop", l.name.clone())], l.queue as f64));
            numbers.gauge("restock_loop_queue", "Work a loop has before it", queue);
            let now = SystemClock.now();
            let age = loops
                .iter()
                .map(|l| (vec![("loop", l.name.clone())], now.since(l.last_run_at).as_secs_f64()));
            numbers.gauge("restock_loop_last_run_age_seconds", "Time since a loop last ran", age);
        }
        _ => {}
    }
}
