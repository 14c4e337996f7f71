//! Reports of distribution points and what they lead to.

use std::time::Duration;

use restock_names::{Clock as _, ContentVersion, Digest, Epoch, SourceVersion};
use restock_provider::{Operation, TargetState};
use restock_site::TokenKind;
use restock_transfer::{EnrolRequest, EnrolmentToken, Fingerprint, ReportState, SiteSide};

use crate::world::{RETRY, World, dp, report};

#[tokio::test]
async fn a_failed_attempt_is_tried_again_after_the_delay_and_given_up_after_the_last() {
    let world = World::new().await;
    let id = world.installed().await;
    world.ask(id).await;
    world.step().await;
    let distribute = world.site.distribute_loop();
    for attempt in 1..RETRY.count {
        world.report(id, "DP01", ReportState::Failed).await;
        let row = world.target_row(id, "DP01").await;
        assert_eq!((row.state, row.attempts, row.summarizer_state), (TargetState::Retrying, attempt, 2));
        assert_eq!((row.message_state, row.message_id), (2, Some(2328)));
        let why = row.why.unwrap();
        assert_eq!((why.rule.as_str(), why.text.as_str()), ("LINK_CLOSED", "gone"));
        assert_eq!(world.status(id).await.counters.retrying, 1);
        let outcome = distribute.run_once(world.clock.now()).await.unwrap();
        assert_eq!(outcome.next_due, Some(world.clock.now().after(RETRY.delay)));
        world.clock.advance(RETRY.delay);
        distribute.run_once(world.clock.now()).await.unwrap();
        assert_eq!(world.target_row(id, "DP01").await.state, TargetState::Waiting);
    }
    world.report(id, "DP01", ReportState::Failed).await;
    let row = world.target_row(id, "DP01").await;
    assert_eq!((row.state, row.summarizer_state, row.message_id), (TargetState::Failed, 3, Some(8203)));
    assert_eq!(row.serving_version, SourceVersion(1), "the old version is served all the while");
    assert_eq!(world.message_ids(id).await.last(), Some(&8203));
    // The next refresh begins anew.
    world.ask(id).await;
    world.step().await;
    world.report_all(id).await;
    assert_eq!(world.status(id).await.counters.installed, 2);
}

#[tokio::test]
async fn a_report_that_comes_twice_changes_nothing_the_second_time() {
    let world = World::new().await;
    let id = world.installed().await;
    world.ask(id).await;
    world.step().await;
    let job = world.targets(id).await[0].facts.job.unwrap().id;
    let installed = report(id, job, SourceVersion(2), ReportState::Installed);
    world.side.report(&dp("DP01"), installed.clone()).await.unwrap();
    let (status, messages) = (world.status(id).await, world.message_ids(id).await);
    world.side.report(&dp("DP01"), installed).await.unwrap();
    assert_eq!((world.status(id).await, world.message_ids(id).await), (status, messages));
}

#[tokio::test]
async fn a_success_for_the_version_before_is_no_success() {
    let world = World::new().await;
    let id = world.installed().await;
    world.ask(id).await;
    world.step().await;
    let old = world.targets(id).await[0].facts.job.unwrap().id;
    world.ask(id).await;
    world.step().await;
    world.side.report(&dp("DP01"), report(id, old, SourceVersion(2), ReportState::Installed)).await.unwrap();
    let row = world.target_row(id, "DP01").await;
    assert_eq!((row.state, row.serving_version.0, row.wanted_version.0), (TargetState::Waiting, 2, 3));
}

#[tokio::test]
async fn pulls_are_allowed_for_what_is_distributed_and_for_nothing_else() {
    let world = World::new().await;
    let id = world.installed().await;
    let version =
        |number: u32| ContentVersion { package: id, epoch: Epoch::FIRST, version: SourceVersion(number) };
    let may =
        async |name: &str, number: u32| world.side.authorise_pull(&dp(name), &version(number)).await.is_ok();
    assert!(may("DP01", 1).await, "it may repair what it serves");
    assert!(!may("DP03", 1).await, "it is not targeted");
    assert!(!may("DP01", 2).await, "there is no such version");
    world.ask(id).await;
    world.step().await;
    world.ask(id).await;
    world.step().await;
    assert!(may("DP01", 3).await);
    assert!(may("DP01", 2).await, "it may finish what it has begun");
    world.report(id, "DP01", ReportState::Installed).await;
    assert!(!may("DP01", 2).await, "it is behind it");
    world.perform(Operation::CancelDistribution { package: id, points: vec![dp("DP02")] }).await.unwrap();
    assert!(!may("DP02", 3).await, "it was cancelled");
    world
        .perform(Operation::RemoveDistributionPoints { package: id, points: vec![dp("DP01")] })
        .await
        .unwrap();
    assert!(!may("DP01", 3).await, "it is to forget the package");
    let refusal = world.side.authorise_pull(&dp("DP01"), &version(3)).await.unwrap_err();
    assert_eq!(refusal.code, "NOT_AUTHORISED");
}

#[tokio::test]
async fn deleting_a_package_ends_when_the_last_distribution_point_has_removed_it() {
    let world = World::new().await;
    let id = world.installed().await;
    world.perform(Operation::DeletePackage { package: id }).await.unwrap();
    world.report(id, "DP01", ReportState::Removed).await;
    world.step().await;
    assert_eq!(world.status(id).await.targets.len(), 1, "DP02 is offline and keeps it waiting");
    assert!(world.site.library().active(&id).is_some());
    world.report(id, "DP02", ReportState::Removed).await;
    world.step().await;
    assert!(world.perform(Operation::Status { package: Some(id) }).await.is_err());
    assert!(world.site.library().active(&id).is_none());
}

#[tokio::test]
async fn a_removal_that_fails_is_counted_and_tried_again() {
    let world = World::new().await;
    let id = world.installed().await;
    world
        .perform(Operation::RemoveDistributionPoints { package: id, points: vec![dp("DP01")] })
        .await
        .unwrap();
    assert_eq!(world.status(id).await.counters.targeted, 1);
    world.report(id, "DP01", ReportState::Failed).await;
    let status = world.status(id).await;
    assert_eq!((status.counters.targeted, status.counters.retrying), (2, 1));
    let row = world.target_row(id, "DP01").await;
    assert_eq!((row.summarizer_state, row.package_status, row.point_status), (5, 9, 3));
    world.clock.advance(RETRY.delay + Duration::from_secs(1));
    world.site.distribute_loop().run_once(world.clock.now()).await.unwrap();
    world.report(id, "DP01", ReportState::Removed).await;
    assert_eq!(world.status(id).await.targets.len(), 1);
}

#[tokio::test]
async fn another_machine_under_an_old_name_gets_everything_again() {
    let world = World::new().await;
    let id = world.installed().await;
    let made = world.site.create_token(TokenKind::DistributionPoint, &dp("DP01"), RETRY.delay).await.unwrap();
    let token: EnrolmentToken = made.token.parse().unwrap();
    let request = EnrolRequest {
        token_hash: token.hash(),
        kind: TokenKind::DistributionPoint,
        name: dp("DP01"),
        fingerprint: Fingerprint(Digest([5; 32])),
        expires_at: world.clock.now(),
        remote: ([127, 0, 0, 1], 1).into(),
    };
    let code = async |request: EnrolRequest| world.side.enrol(request).await.map_err(|refusal| refusal.code);
    let other_name = EnrolRequest { name: dp("DP02"), ..request.clone() };
    assert_eq!(code(other_name).await, Err("TOKEN_NAME".to_owned()));
    let unknown = EnrolRequest { token_hash: Digest([1; 32]), ..request.clone() };
    assert_eq!(code(unknown).await, Err("TOKEN_UNKNOWN".to_owned()));
    assert_eq!(world.status(id).await.counters.installed, 2, "a refused token changes nothing");

    assert_eq!(code(request.clone()).await, Ok(()));
    assert_eq!(code(request.clone()).await, Ok(()), "the answer was lost and it asks again");
    let other_key = EnrolRequest { fingerprint: Fingerprint(Digest([6; 32])), ..request.clone() };
    assert_eq!(code(other_key).await, Err("TOKEN_USED".to_owned()));
    world.clock.advance(RETRY.delay);
    assert_eq!(code(request).await, Err("TOKEN_EXPIRED".to_owned()));
    let row = world.target_row(id, "DP01").await;
    assert_eq!(
        (row.state, row.serving_version, row.why.unwrap().rule.as_str()),
        (TargetState::Waiting, SourceVersion(0), "POINT_OFFLINE")
    );
    assert_eq!(world.status(id).await.counters.installed, 1);
    world.report_all(id).await;
    assert_eq!(world.status(id).await.counters.installed, 2);
}
