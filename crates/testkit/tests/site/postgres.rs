//! The same site on PostgreSQL.

use restock_names::{Clock as _, SourceVersion};
use restock_provider::{Operation, TargetState};
use restock_transfer::ReportState;

use crate::server::Cluster;
use crate::world::{RETRY, World, dp};

#[tokio::test(flavor = "multi_thread")]
async fn a_site_on_postgres_refreshes_fails_cancels_and_distributes() {
    let Some(cluster) = Cluster::start() else { return };
    let fresh = cluster.database("site").await;
    let world = World::with_database(&fresh.url).await;
    let id = world.installed().await;

    world.write("a.txt", "second");
    world.ask(id).await;
    assert_eq!(world.status(id).await.counters.installed, 0);
    assert_eq!(world.step().await, ["published"]);
    world.report(id, "DP01", ReportState::Failed).await;
    assert_eq!(world.target_row(id, "DP01").await.state, TargetState::Retrying);
    world.clock.advance(RETRY.delay);
    world.site.distribute_loop().run_once(world.clock.now()).await.unwrap();
    world.report_all(id).await;
    assert_eq!(world.status(id).await.counters.installed, 2);

    world.hide_source(true);
    world.ask(id).await;
    assert_eq!(world.step().await, ["failed, will be tried again"]);
    world.perform(Operation::CancelRefresh { package: id }).await.unwrap();
    let status = world.status(id).await;
    assert_eq!((status.counters.installed, status.package.source_version), (2, SourceVersion(2)));
    world.perform(Operation::Redistribute { package: id, points: vec![dp("DP02")] }).await.unwrap();
    world.report_all(id).await;
    let world = world.restarted().await;
    assert_eq!(world.status(id).await.counters.installed, 2);

    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    world.report_all(id).await;
    world.step().await;
    assert!(world.perform(Operation::Status { package: Some(id) }).await.is_err());
    world.site.close().await;
    fresh.database.close().await;
}
