use restock_names::{PackageId, SourceVersion};
use restock_provider::TargetState;
use restock_provider::rows::{PackageStatus, RefreshAccepted};
use serde_json::{Value, json};

use super::{Goal, Verdict, judge};

/// A package at `version` with a refresh in `phase` and DPs in these states.
fn status(version: u32, phase: Option<&str>, targets: &[(&str, &str)]) -> Vec<PackageStatus> {
    let refresh = phase.map(|p| {
        json!({"state": p, "requested_at": 0, "requests": 1, "attempts": 1, "next_attempt": 60_000_000,
            "why": {"rule": "SOURCE_NOT_FOUND", "text": "SOURCE_NOT_FOUND: /src is not there", "until": null, "fix": null}})
    });
    let targets: Vec<Value> = targets
        .iter()
        .map(|(point, state)| {
            let why = (*state == "failed" || *state == "waiting").then(
                || json!({"rule": "DP_OFFLINE", "text": "it is not connected", "until": null, "fix": null}),
            );
            json!({"point": point, "site": "XYZ", "nal_path": "", "state": state, "summarizer_state": 0, "package_status": 0,
                "message_state": 0, "message_id": null, "point_status": 0, "wanted_version": version,
                "serving_version": 1, "last_copied_at": null, "attempts": 0, "next_attempt": null,
                "why": why, "bytes_received": 0, "is_connected": false})
        })
        .collect();
    let package = json!({"package": "XYZ00001", "name": "n", "version": "", "manufacturer": "", "language": "",
        "description": "", "source_path": "/src", "source_flag": "direct", "priority": 2, "is_public": false,
        "allow_empty": false, "source_site": "XYZ", "source_version": version, "stored_version": version,
        "action_in_progress": 0, "created_at": 0, "last_refresh_at": null, "entries": 1, "bytes": 1,
        "requests": 1, "requests_done": u32::from(phase.is_none()), "requests_failed": 0, "refresh": refresh});
    let one = json!({"package": package, "targeted": targets.len(), "installed": 0, "retrying": 0, "failed": 0,
        "pending": 0, "targets": targets});
    vec![serde_json::from_value(one).unwrap()]
}

fn id() -> PackageId {
    "XYZ00001".parse().unwrap()
}

fn refreshed() -> Goal {
    let accepted = RefreshAccepted {
        package: id(),
        request: 1,
        source_version: SourceVersion(1),
        targeted: 2,
        joined: false,
    };
    Goal::Refreshed(vec![accepted])
}

fn over(succeeded: u32, problems: &[&str]) -> Verdict {
    Verdict::Over { succeeded, problems: problems.iter().map(|p| (*p).to_owned()).collect() }
}

fn pending(missing: &[&str]) -> Verdict {
    Verdict::Pending(missing.iter().map(|p| (*p).to_owned()).collect())
}

#[test]
fn a_refresh_is_done_when_every_dp_serves_the_new_version() {
    let goal = refreshed();
    let judge = |version, phase, targets: &[(&str, &str)]| judge(&goal, &status(version, phase, targets));
    let both = [("DP01", "installed"), ("DP02", "installed")];
    assert_eq!(judge(2, None, &both), over(2, &[]));
    assert_eq!(judge(2, None, &[]), over(1, &[]), "no DP is needed");
    assert_eq!(judge(1, Some("running"), &both), pending(&["XYZ00001: the source is being read"]));
    assert_eq!(
        judge(2, None, &[("DP01", "installed"), ("DP02", "waiting")]),
        pending(&["XYZ00001 at DP02: waiting, DP_OFFLINE: it is not connected"])
    );
    assert_eq!(judge(2, None, &[("DP01", "installed"), ("DP02", "removal_asked")]), over(1, &[]));
}

#[test]
fn a_refresh_that_cannot_succeed_ends_the_wait_with_its_reason() {
    let goal = refreshed();
    let judge = |version, phase, targets: &[(&str, &str)]| judge(&goal, &status(version, phase, targets));
    assert_eq!(
        judge(1, Some("retrying"), &[]),
        over(0, &["XYZ00001: SOURCE_NOT_FOUND: /src is not there; next attempt 1970-01-01T00:01:00.000Z"])
    );
    assert_eq!(
        judge(2, None, &[("DP01", "installed"), ("DP02", "failed")]),
        over(1, &["XYZ00001 at DP02: gave up, DP_OFFLINE: it is not connected"])
    );
    assert_eq!(judge(1, None, &[("DP01", "installed")]), over(0, &["XYZ00001: the refresh was cancelled"]));
    assert_eq!(super::judge(&goal, &[]), over(0, &["XYZ00001 was deleted meanwhile"]));
}

#[test]
fn a_removal_is_done_when_the_row_is_gone() {
    let goal = Goal::Removed(id(), vec!["DP01".parse().unwrap()]);
    assert_eq!(judge(&goal, &status(1, None, &[])), over(1, &[]));
    assert_eq!(
        judge(&goal, &status(1, None, &[("DP01", "removal_asked")])),
        pending(&["XYZ00001 at DP01: still there"])
    );
    let failed = judge(&goal, &status(1, None, &[("DP01", "removal_failed")]));
    assert_eq!(failed, over(0, &["XYZ00001 at DP01: removal failed"]));
}

#[test]
fn a_distribution_waits_for_its_own_dps_only() {
    let goal = Goal::Installed(id(), vec!["DP01".parse().unwrap()]);
    assert_eq!(judge(&goal, &status(1, None, &[("DP01", "installed"), ("DP02", "failed")])), over(1, &[]));
    let gone = judge(&goal, &status(1, None, &[("DP02", "installed")]));
    assert_eq!(gone, over(0, &["XYZ00001 at DP01: removed meanwhile"]));
}

#[test]
fn every_state_has_its_word() {
    let words = [TargetState::Receiving, TargetState::RemovalRetrying].map(crate::commands::state_word);
    assert_eq!(words, ["receiving", "removal retrying"]);
}
