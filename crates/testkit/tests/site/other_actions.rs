//! Nothing but creation and a refresh reads the source or raises the version.

use std::time::Duration;

use restock_names::{Clock as _, LinkPolicy, SourceVersion};
use restock_provider::{NewSourceRoot, Operation, PackageChange};
use restock_transfer::ReportState;

use crate::world::{RETRY, World, dp};

#[tokio::test]
async fn every_other_action_leaves_source_and_version_alone() {
    let world = World::new().await;
    let id = world.installed().await;
    world.enrol(&["DP03"]).await;
    // From here on whoever reads the source fails, with 2306 and a request that stays.
    world.hide_source(true);
    let points = |names: &[&str]| names.iter().map(|name| dp(name)).collect::<Vec<_>>();
    let set = PackageChange::of(id);
    let actions = [
        Operation::AddDistributionPoints { package: id, points: points(&["DP03"]) },
        Operation::Redistribute { package: id, points: points(&["DP01", "DP03"]) },
        Operation::RemoveDistributionPoints { package: id, points: points(&["DP02"]) },
        Operation::AddDistributionPoints { package: id, points: points(&["DP02"]) },
        Operation::CancelRefresh { package: id },
        Operation::SetPackage(PackageChange { name: Some("renamed".to_owned()), ..set.clone() }),
        Operation::SetPackage(PackageChange { description: Some("d".to_owned()), ..set.clone() }),
        Operation::SetPackage(PackageChange { is_public: Some(true), ..set.clone() }),
        Operation::SetPackage(PackageChange { priority: Some(1), ..set.clone() }),
        Operation::SetPackage(PackageChange { allow_empty: Some(true), ..set.clone() }),
        Operation::SetPackage(PackageChange { link_policy: Some(LinkPolicy::Follow), ..set }),
        Operation::AddSourceRoot(NewSourceRoot {
            name: "other".to_owned(),
            folder: "/srv/other".to_owned(),
            aliases: vec![],
            scopes: vec![],
        }),
        Operation::RemoveSourceRoot { name: "other".to_owned() },
        Operation::ListPackages,
        Operation::ShowPackage { package: id },
        Operation::Status { package: None },
        Operation::History { package: id },
        Operation::Messages { package: Some(id), after: None, limit: None },
        Operation::ListPoints,
        Operation::ListSourceRoots,
        Operation::ListLoops,
        Operation::ShowSite,
    ];
    for action in actions {
        let name = action.name();
        world.perform(action).await.unwrap();
        assert!(world.step().await.is_empty(), "{name} led to a run");
        world.site.distribute_loop().run_once(world.clock.now()).await.unwrap();
        if name == "redistribute" {
            let cancel = Operation::CancelDistribution { package: id, points: points(&["DP03"]) };
            world.perform(cancel).await.unwrap();
        }
        world.report_all(id).await;
        let package = world.package(id).await;
        let versions =
            (package.source_version, package.stored_version, package.action_in_progress, package.requests);
        assert_eq!(versions, (SourceVersion(1), SourceVersion(1), 0, 1), "{name}");
    }
    // Failures and time are no refresh either.
    world.perform(Operation::Redistribute { package: id, points: points(&["DP01"]) }).await.unwrap();
    world.report(id, "DP01", ReportState::Failed).await;
    for _ in 0..3 {
        world.clock.advance(RETRY.delay + Duration::from_secs(1));
        world.site.distribute_loop().run_once(world.clock.now()).await.unwrap();
        assert!(world.step().await.is_empty());
    }
    let world = world.restarted().await;
    assert!(world.step().await.is_empty());
    assert!(!world.message_ids(id).await.contains(&2306), "the source was read");
    assert_eq!(world.package(id).await.source_version, SourceVersion(1));
    // The watch works: a refresh is seen.
    world.ask(id).await;
    world.step().await;
    assert!(world.message_ids(id).await.contains(&2306));
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    assert!(world.step().await.is_empty());
}
