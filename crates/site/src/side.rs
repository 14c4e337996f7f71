//! What the link asks the site: who is enrolled, what a distribution point reports, what it may fetch.

mod reports;
mod sites;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::Library;
use restock_content::statement::KeyList;
use restock_names::{Clock, ContentVersion, DistributionPointName, SiteCode, SourceVersion, Timestamp};
use restock_sitedb::state::{Event, RetryPolicy, TargetState};
use restock_sitedb::target::Target;
use restock_sitedb::{Database, DatabaseError, Tx, Wake};
use restock_transfer::{
    Batch, Connection, Draft, EnrolRequest, EnrolSiteRequest, Fingerprint, Hello, LinkError, Links,
    NextChanges, Progress, Refusal, ReplicaFacts, Report, ReportState, SiteEnrolled, SiteHello, SiteSide,
    SiteTrust,
};

use self::reports::{Taken, take_report};
use crate::distribute::{Told, context, may_follow};
use crate::fetch::Asked;
use crate::message::{chain, distmgr, transfers};
use crate::progress::ProgressBoard;
use crate::restored::{self, heard_of, tell_to_remove};
use crate::token::{self, Shown};

/// The site as the link sees it. Tests may call it in place of a link.
#[derive(Debug, Clone)]
pub struct Side {
    pub(crate) database: Database,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) links: Links,
    pub(crate) board: ProgressBoard,
    pub(crate) told: Arc<Told>,
    pub(crate) site: SiteCode,
    pub(crate) owner: Arc<str>,
    pub(crate) retry: RetryPolicy,
    pub(crate) restore_wait: Duration,
    pub(crate) trust: Arc<SiteTrust>,
    pub(crate) asked: Asked,
    pub(crate) library: Arc<Library>,
}

fn failed(error: DatabaseError) -> Refusal {
    distmgr!(error, "{}", chain(&error));
    // Whoever asks over the link learns that it can ask again, and nothing about the database.
    Refusal::transient("SITE_BUSY", "the site cannot read or write its database at the moment")
}

/// What comes of a wish for content, of a distribution point or a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pull {
    Granted,
    Denied,
    /// It may have it, but this site has not got it yet.
    NotHere,
}

fn not_here(content: &ContentVersion, site: SiteCode) -> Refusal {
    Refusal::transient("CONTENT_NOT_HERE", format!("{content} has not arrived at site {site} yet"))
}

impl SiteSide for Side {
    async fn is_enrolled(
        &self,
        name: &DistributionPointName,
        fingerprint: Fingerprint,
    ) -> Result<bool, Refusal> {
        let name = name.clone();
        let point = self
            .database
            .read("is_enrolled", move |tx| Box::pin(async move { tx.point(&name).await }))
            .await
            .map_err(failed)?;
        Ok(point.is_some_and(|point| point.fingerprint == fingerprint.to_string()))
    }

    async fn enrol(&self, request: EnrolRequest) -> Result<(), Refusal> {
        let (now, name, site) = (self.clock.now(), request.name.clone(), self.site);
        let redeemed = self
            .database
            .transact("enrol", move |tx| Box::pin(async move { enrol(tx, site, &request, now).await }))
            .await
            .map_err(failed)?;
        if redeemed.is_ok() {
            // Whoever was connected under this name with another key is so no more.
            self.links.disconnect(&name);
            self.told.forget(&name, || self.links.is_connected(&name));
        }
        redeemed
    }

    async fn connected(
        &self,
        name: &DistributionPointName,
        connection: Connection,
        hello: Hello,
        remote: SocketAddr,
    ) -> Result<(), Refusal> {
        transfers!(info, point = %name, %remote, software = hello.software, "{name} connected from {remote}");
        self.told.greet(name, connection);
        let (this, point) = (self.clone(), name.clone());
        let Strangers { removed, spared } = self
            .database
            .transact("connected", move |tx| {
                Box::pin(async move { connected(tx, &this, &point, &hello).await })
            })
            .await
            .map_err(failed)?;
        for (job, content) in removed {
            if !tell_to_remove(&self.links, (name, connection), job, content) {
                break;
            }
        }
        self.told.spare(name, connection, spared);
        self.told.open(name, connection);
        self.database.wake(Wake::Distribute);
        // A restored site waits for its holders.
        self.database.wake(Wake::Refresh);
        Ok(())
    }

    async fn disconnected(&self, name: &DistributionPointName) {
        transfers!(info, point = %name, "{name} disconnected");
        self.told.forget(name, || self.links.is_connected(name));
        self.board.close_transfers_of(name);
        let (this, point, now) = (self.clone(), name.clone(), self.clock.now());
        let noted: Result<(), DatabaseError> = self
            .database
            .transact("disconnected", move |tx| {
                Box::pin(async move {
                    // Asked within the transaction: one that is back notes that in a later one.
                    if this.links.is_connected(&point) {
                        return Ok(());
                    }
                    tx.point_disconnected(&point, &this.owner, now).await
                })
            })
            .await;
        if let Err(error) = noted {
            transfers!(error, point = %name, "{}", chain(&error));
        }
    }

    async fn report(&self, name: &DistributionPointName, report: Report) -> Result<(), Refusal> {
        let is_end = !matches!(
            report.state,
            ReportState::Accepted | ReportState::Waiting | ReportState::Receiving | ReportState::Stored
        );
        if is_end {
            self.board.close_transfer(report.content.package, name);
        }
        match report.state {
            ReportState::Failed => transfers!(
                warn,
                package.id = %report.content.package,
                point = %name,
                code = report.code,
                is_transient = report.is_transient,
                "{name} failed at package {}: {}",
                report.content,
                report.detail
            ),
            _ => transfers!(
                info,
                package.id = %report.content.package,
                point = %name,
                job = report.job_id.0,
                bytes_received = report.totals.wire_received,
                "{name} reports {:?} of package {}",
                report.state,
                report.content
            ),
        }
        let confirmed = match report.state {
            ReportState::Installed => self.told.confirmed(name, report.job_id.0),
            _ => None,
        };
        let (this, point, job) = (self.clone(), name.clone(), report.job_id.0);
        let taken = self
            .database
            .transact("report", move |tx| {
                Box::pin(async move { take_report(tx, &this, &point, &report, confirmed).await })
            })
            .await
            .map_err(failed)?;
        if taken == Taken::Dropped {
            self.told.dropped(name, job);
            self.database.wake(Wake::Distribute);
        }
        Ok(())
    }

    fn progress(&self, name: &DistributionPointName, progress: Progress) {
        self.board.note_transfer(name, &progress, self.clock.monotonic());
    }

    async fn authorise_pull(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<(), Refusal> {
        let (point, content) = (name.clone(), *content);
        let (wait, now) = (self.restore_wait, self.clock.now());
        let may = self
            .database
            .read("authorise_pull", move |tx| {
                Box::pin(async move {
                    match may_pull(tx, &point, content).await? {
                        // A neighbour may still tell this restored site that the point is to have it.
                        Pull::Denied if restored::awaits_neighbours(tx, wait, now).await? => {
                            Ok(Pull::NotHere)
                        }
                        may => Ok(may),
                    }
                })
            })
            .await
            .map_err(failed)?;
        match may {
            Pull::Granted => Ok(()),
            Pull::NotHere => Err(not_here(&content, self.site)),
            Pull::Denied => Err(Refusal::new("NOT_AUTHORISED", format!("{name} may not fetch {content}"))),
        }
    }

    async fn authorise_draft(
        &self,
        name: &DistributionPointName,
        content: &ContentVersion,
    ) -> Result<Arc<Draft>, Refusal> {
        let (point, package) = (name.clone(), content.package);
        let target: Result<Option<Target>, DatabaseError> = self
            .database
            .read("authorise_draft", move |tx| Box::pin(async move { tx.target(package, &point).await }))
            .await;
        if !target.map_err(failed)?.is_some_and(|target| may_follow(&target)) {
            return Err(Refusal::new("NOT_AUTHORISED", format!("{name} may not fetch {content}")));
        }
        self.board
            .drafts
            .find(content)
            .ok_or_else(|| Refusal::new("DRAFT_UNKNOWN", format!("{content} is not in the making here")))
    }

    async fn is_site_enrolled(
        &self,
        site: SiteCode,
        fingerprint: Fingerprint,
    ) -> Result<Option<SiteEnrolled>, Refusal> {
        self.site_enrolled(site, fingerprint).await
    }

    async fn enrol_site(&self, request: EnrolSiteRequest) -> Result<(), Refusal> {
        self.enrol_child(request).await
    }

    async fn replica_facts(&self, peer: SiteCode) -> Result<ReplicaFacts, Refusal> {
        self.facts(peer).await
    }

    async fn site_connected(
        &self,
        peer: SiteCode,
        hello: SiteHello,
        _keys: KeyList,
        _remote: Option<SocketAddr>,
    ) -> Result<(), Refusal> {
        // Its keys come with its row, as those of all sites do.
        self.neighbour_connected(peer, hello).await
    }

    async fn site_disconnected(&self, peer: SiteCode, cause: &LinkError, retry_in: Option<Duration>) {
        self.neighbour_disconnected(peer, cause, retry_in).await;
    }

    async fn next_changes(&self, peer: SiteCode, after: u64) -> Result<NextChanges, Refusal> {
        self.changes_for(peer, after).await
    }

    async fn take_changes(&self, peer: SiteCode, batch: Batch) -> Result<(), Refusal> {
        self.take(peer, batch).await
    }

    async fn changes_acknowledged(&self, peer: SiteCode, last: u64) -> Result<(), Refusal> {
        self.acknowledged(peer, last).await
    }

    async fn authorise_site_pull(&self, peer: SiteCode, content: &ContentVersion) -> Result<(), Refusal> {
        self.may_site_pull(peer, *content).await
    }

    fn site_pull_ended(&self, peer: SiteCode, _content: &ContentVersion, wire_sent: u64, wire_received: u64) {
        self.board.note_site_traffic(peer, wire_sent, wire_received);
    }
}

/// Redeems a token. Another machine under the name of an earlier one serves nothing yet.
async fn enrol(
    tx: &mut Tx,
    site: SiteCode,
    request: &EnrolRequest,
    now: Timestamp,
) -> Result<Result<(), Refusal>, DatabaseError> {
    let before = tx.point(&request.name).await?;
    if let Some(other) = before.as_ref().and_then(|before| before.site).filter(|other| *other != site) {
        let text = format!("{} is a distribution point of site {other}", request.name);
        return Ok(Err(Refusal::new("POINT_NAME", text)));
    }
    let shown = Shown {
        hash: request.token_hash,
        kind: request.kind,
        name: request.name.to_string(),
        key: request.fingerprint,
        is_enrolled: before.as_ref().is_some_and(|at| at.fingerprint == request.fingerprint.to_string()),
    };
    if let Err(refusal) = token::redeem(tx, &shown, now).await? {
        return Ok(Err(refusal));
    }
    tx.enrol_point(&request.name, &request.fingerprint.to_string(), request.expires_at, now).await?;
    if before.is_some_and(|before| before.fingerprint != request.fingerprint.to_string()) {
        for mut target in tx.targets_of_point(&request.name).await? {
            let Some(context) = context(tx, target.package, site, now).await? else { continue };
            // Nobody wishes anything here, so nothing is refused.
            let _refused = tx.apply(&mut target, &context, Event::Holds(SourceVersion(0)), None).await?;
        }
    }
    Ok(Ok(()))
}

/// Versions that a distribution point serves without being targeted.
#[derive(Debug, Default)]
struct Strangers {
    /// To be removed, each with a job id for that.
    removed: Vec<(u64, ContentVersion)>,
    /// To be looked at again: a neighbour may still tell this restored site why they are there.
    spared: Vec<ContentVersion>,
}

/// Notes a connection and compares what the distribution point serves with what it should.
async fn connected(
    tx: &mut Tx,
    side: &Side,
    point: &DistributionPointName,
    hello: &Hello,
) -> Result<Strangers, DatabaseError> {
    let now = side.clock.now();
    let facts = (hello.library_id.as_str(), hello.serve_urls.as_slice(), hello.software.as_str());
    tx.point_connected(point, &side.owner, facts, now).await?;
    let targets = tx.targets_of_point(point).await?;
    let is_sparing = restored::awaits_neighbours(tx, side.restore_wait, now).await?;
    let mut strangers = Strangers::default();
    for held in &hello.held {
        heard_of(tx, point, *held).await?;
        if targets.iter().any(|target| target.package == held.package) {
            continue;
        }
        if is_sparing {
            strangers.spared.push(*held);
        } else {
            strangers.removed.push((tx.next_job().await?, *held));
        }
    }
    for mut target in targets {
        let held = hello.held.iter().find(|held| held.package == target.package);
        let version = held.map_or(SourceVersion(0), |held| held.version);
        if version == target.facts.serving {
            continue;
        }
        let Some(context) = context(tx, target.package, side.site, now).await? else { continue };
        // Nobody wishes anything here, so nothing is refused.
        let _refused = tx.apply(&mut target, &context, Event::Holds(version), None).await?;
    }
    Ok(strangers)
}

/// May the distribution point fetch this version: is it targeted, and the version the one it serves,
/// or a published one that it was given a job for and does not serve yet?
async fn may_pull(
    tx: &mut Tx,
    point: &DistributionPointName,
    content: ContentVersion,
) -> Result<Pull, DatabaseError> {
    let (Some(target), Some(package)) =
        (tx.target(content.package, point).await?, tx.package(content.package).await?)
    else {
        return Ok(Pull::Denied);
    };
    if package.is_deleting || target.facts.state.is_removal() {
        return Ok(Pull::Denied);
    }
    let is_known =
        tx.version(content.package, content.version).await?.is_some_and(|version| version.content == content);
    // What it serves it may repair; a cancelled distribution brings nothing new.
    let is_wanted = target.facts.state != TargetState::Failed && content.version > target.facts.serving;
    let is_here = content.version <= package.stored_version;
    Ok(match is_known {
        true if content.version == target.facts.serving || (is_wanted && is_here) => Pull::Granted,
        _ if is_wanted && !is_here => Pull::NotHere,
        _ => Pull::Denied,
    })
}
