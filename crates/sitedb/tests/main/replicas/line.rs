//! Three sites one below the other, for single cases.

use restock_names::{DistributionPointName, PackageId};
use restock_sitedb::DatabaseError;
use restock_sitedb::Tx;
use restock_sitedb::replica::RefusedObject;
use restock_sitedb::state::{Event, Report, RetryPolicy, TargetState};
use restock_sitedb::target::{Applied, Context, Target};

use super::net::{Node, collect, deliver, join};
use crate::change;
use crate::samples::{NOW, dp};
use crate::server::Cluster;

/// `AAA` at the top, `BBB` below it, `CCC` below that. `BBB` has the distribution point `DPB`, `CCC`
/// has `DPC`.
pub(crate) struct Line {
    pub(crate) nodes: Vec<Node>,
    pub(crate) refused: Vec<RefusedObject>,
}

impl Line {
    pub(crate) async fn new(cluster: Option<&Cluster>, name: &str) -> Self {
        let mut nodes = Vec::new();
        for code in ["AAA", "BBB", "CCC"] {
            let code: restock_names::SiteCode = code.parse().unwrap();
            let node = match cluster {
                Some(cluster) => {
                    let fresh = cluster.database(&format!("{name}_{code}").to_lowercase()).await;
                    Node::on(code, &fresh).await
                }
                None => Node::new(code).await,
            };
            nodes.push(node);
        }
        let line = Self { nodes, refused: Vec::new() };
        for (place, point) in [(1, "DPB"), (2, "DPC")] {
            change!(line.nodes[place].database, |tx| tx.enrol_point(&dp(point), "key", NOW, NOW).await?);
        }
        join(&line.nodes[0], &line.nodes[1]).await;
        join(&line.nodes[1], &line.nodes[2]).await;
        line
    }

    /// Lets everything arrive everywhere.
    pub(crate) async fn settle(&mut self) {
        for _ in 0..20 {
            let mut is_busy = false;
            for (from, to) in [(0, 1), (1, 2), (2, 1), (1, 0)] {
                if let Some(batch) = collect(&self.nodes[from], &self.nodes[to], 1_000_000).await {
                    is_busy = true;
                    self.refused.extend(deliver(&self.nodes[to], &batch, NOW).await.refused);
                }
            }
            if !is_busy {
                return;
            }
        }
        panic!("the sites go on talking");
    }

    /// A package of the top site, known everywhere.
    pub(crate) async fn package(&mut self) -> PackageId {
        let id = self.nodes[0].add_package().await;
        self.settle().await;
        id
    }

    /// Publishes the next version at the top site, as its refresh loop does.
    pub(crate) async fn publish(&self) {
        let announced = self.nodes[0].publish(7).await.unwrap();
        let id = announced.version.content.package;
        change!(self.nodes[0].database, |tx| {
            let context = context(tx, id).await?;
            let covers = tx.refresh(id).await?.unwrap().done;
            tx.tell_targets(&context, Event::Published { covers }, None).await?
        });
    }

    /// Content of the newest version arrives at a site.
    pub(crate) async fn fetch(&self, place: usize, id: PackageId) -> bool {
        change!(self.nodes[place].database, |tx| {
            let announced = tx.announced(id).await?.unwrap();
            tx.content_arrived(&announced, NOW).await?
        })
    }

    /// A person wants something of a package on a distribution point.
    pub(crate) async fn wish(
        &self,
        place: usize,
        id: PackageId,
        point: &'static str,
        event: Event,
    ) -> Applied {
        change!(self.nodes[place].database, |tx| wish(tx, id, &dp(point), event).await?)
    }

    /// The distribution point reports on its open job; false when it has none.
    pub(crate) async fn report(
        &self,
        place: usize,
        id: PackageId,
        point: &'static str,
        report: Report,
    ) -> bool {
        change!(self.nodes[place].database, |tx| {
            let context = context(tx, id).await?;
            let Some(mut target) = tx.target(id, &dp(point)).await? else { return Ok(false) };
            let Some(job) = target.facts.job else { return Ok(false) };
            let event = Event::Reported { job: job.id, report, now: NOW, retry: RetryPolicy::default() };
            tx.apply(&mut target, &context, event, None).await?.unwrap();
            true
        })
    }

    pub(crate) async fn target(&self, place: usize, id: PackageId, point: &'static str) -> Option<Target> {
        self.nodes[place].read(move |tx| Box::pin(async move { tx.target(id, &dp(point)).await })).await
    }

    /// The state of a target at each site.
    pub(crate) async fn states(&self, id: PackageId, point: &'static str) -> Vec<Option<TargetState>> {
        let mut states = Vec::new();
        for place in 0..self.nodes.len() {
            states.push(self.target(place, id, point).await.map(|target| target.facts.state));
        }
        states
    }
}

pub(crate) async fn context(tx: &mut Tx, id: PackageId) -> Result<Context, DatabaseError> {
    let package = tx.package(id).await?.unwrap();
    let refresh = tx.refresh(id).await?.unwrap();
    Ok(Context::new(&package, &refresh, tx.own_code().await?, NOW))
}

async fn wish(
    tx: &mut Tx,
    id: PackageId,
    point: &DistributionPointName,
    event: Event,
) -> Result<Applied, DatabaseError> {
    let context = context(tx, id).await?;
    let known = tx.target(id, point).await?;
    let mut target = known.unwrap_or_else(|| Target::new(id, point.clone(), NOW));
    Ok(tx.apply(&mut target, &context, event, None).await?.unwrap())
}
