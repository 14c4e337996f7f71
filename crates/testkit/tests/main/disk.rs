//! Every write of a refresh and of a receive, cut once in every way.
//!
//! A scenario runs undisturbed once, which counts its write operations. Then it runs once for each
//! operation and fault; the image that the fault leaves is opened and judged: nothing acknowledged
//! is lost, everything that a stored statement names is there and right, and running the scenario
//! again reaches the undisturbed end state. Safeguards taken out must each be noticed.

mod clean;
mod judge;
mod refresh;
mod scene;

use std::path::Path;

use restock_testkit::faulty::{Fault, OperationKind, Sabotage};
use restock_testkit::tally::Tally;

use scene::{Scenario, Scene};

/// Cuts every operation of the scenario in one way and expects no violation.
fn survives(scenario: Scenario, fault: Fault) {
    let scene = Scene::new();
    let mut tally = Tally::default();
    for seed in 0..seeds(fault) {
        let fault = if let Fault::PowerMixed(_) = fault { Fault::PowerMixed(seed) } else { fault };
        scene.cut_everywhere(scenario, fault, &mut tally);
    }
    tally.report("disk", &format!("{scenario:?} {fault:?}"));
    assert_eq!(tally.violations, Vec::<String>::new());
    assert!(tally.fired == tally.points && tally.points > 20, "{tally}");
}

/// How often a fault that rolls dice is repeated.
fn seeds(fault: Fault) -> u64 {
    let wanted = std::env::var("RESTOCK_DISK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    if matches!(fault, Fault::PowerMixed(_)) { wanted } else { 1 }
}

/// Takes out one safeguard and expects that some cut shows it.
fn is_noticed(scenario: Scenario, sabotage: Sabotage) {
    let scene = Scene::new();
    // Power cuts first: most safeguards are against them.
    let faults = [
        Fault::Power,
        Fault::PowerKeepsNames,
        Fault::PowerMixed(0),
        Fault::Kill,
        Fault::Half,
        Fault::Nothing,
    ];
    let found = faults.into_iter().find_map(|fault| scene.first_violation(scenario, fault, sabotage));
    println!("{scenario:?} {sabotage:?}: {found:?}");
    assert!(found.is_some(), "{scenario:?} survives {sabotage:?}");
}

fn is_in_packs(path: &Path) -> bool {
    path.iter().any(|part| part == "packs")
}

fn is_data(path: &Path) -> bool {
    is_in_packs(path) && path.extension().is_some_and(|e| e == "data")
}

fn is_table(path: &Path) -> bool {
    // A sealed table is written under a temporary name.
    is_in_packs(path) && path.to_string_lossy().contains(".table")
}

fn is_statement(path: &Path) -> bool {
    path.iter().any(|part| part == "versions")
}

fn is_pointer(path: &Path) -> bool {
    path.iter().any(|part| part == "packages")
}

/// One test for each way to cut, so that they run side by side.
macro_rules! cuts {
    ($scenario:ident: $($name:ident $fault:expr;)*) => {$(
        #[test]
        fn $name() {
            survives(Scenario::$scenario, $fault);
        }
    )*};
}

cuts! { Refresh:
    a_refresh_survives_the_end_of_its_process_before_every_write Fault::Nothing;
    a_refresh_survives_the_end_of_its_process_in_the_middle_of_every_write Fault::Half;
    a_refresh_survives_the_end_of_its_process_after_every_write Fault::Kill;
    a_refresh_survives_a_power_cut_at_every_write Fault::Power;
    a_refresh_survives_a_power_cut_that_keeps_names_at_every_write Fault::PowerKeepsNames;
    a_refresh_survives_a_power_cut_that_keeps_some_writes Fault::PowerMixed(0);
}

cuts! { Receive:
    receiving_survives_the_end_of_its_process_before_every_write Fault::Nothing;
    receiving_survives_the_end_of_its_process_in_the_middle_of_every_write Fault::Half;
    receiving_survives_the_end_of_its_process_after_every_write Fault::Kill;
    receiving_survives_a_power_cut_at_every_write Fault::Power;
    receiving_survives_a_power_cut_that_keeps_names_at_every_write Fault::PowerKeepsNames;
    receiving_survives_a_power_cut_that_keeps_some_writes Fault::PowerMixed(0);
}

cuts! { Clean:
    cleaning_survives_the_end_of_its_process_before_every_write Fault::Nothing;
    cleaning_survives_the_end_of_its_process_in_the_middle_of_every_write Fault::Half;
    cleaning_survives_the_end_of_its_process_after_every_write Fault::Kill;
    cleaning_survives_a_power_cut_at_every_write Fault::Power;
    cleaning_survives_a_power_cut_that_keeps_names_at_every_write Fault::PowerKeepsNames;
    cleaning_survives_a_power_cut_that_keeps_some_writes Fault::PowerMixed(0);
}

#[test]
fn what_a_restart_builds_on_survives_a_power_cut() {
    let scene = Scene::new();
    let mut tally = Tally::default();
    for scenario in [Scenario::Refresh, Scenario::Receive, Scenario::Clean] {
        scene.kill_then_cut_power(scenario, &mut tally);
    }
    tally.report("disk", &"killed, then cut");
    assert_eq!(tally.violations, Vec::<String>::new());
}

#[test]
fn a_failed_write_or_sync_never_becomes_a_success() {
    for scenario in [Scenario::Refresh, Scenario::Receive, Scenario::Clean] {
        let scene = Scene::new();
        let mut tally = Tally::default();
        scene.fail_everywhere(scenario, |_| true, Sabotage::None, &mut tally);
        tally.report("disk", &format!("{scenario:?} errors"));
        assert_eq!(tally.violations, Vec::<String>::new());
        assert!(tally.fired == tally.points && tally.points > 20, "{tally}");
    }
}

#[test]
fn retrying_a_failed_sync_is_noticed() {
    for scenario in [Scenario::Refresh, Scenario::Receive] {
        let scene = Scene::new();
        let mut tally = Tally::default();
        scene.fail_everywhere(scenario, |kind| kind == OperationKind::Sync, Sabotage::RetrySync, &mut tally);
        assert!(!tally.violations.is_empty(), "{scenario:?} survives it: {tally}");
    }
}

#[test]
fn leaving_out_the_sync_of_pack_data_is_noticed() {
    is_noticed(Scenario::Refresh, Sabotage::SkipSync(is_data));
    is_noticed(Scenario::Receive, Sabotage::SkipSync(is_data));
}

#[test]
fn leaving_out_the_sync_of_pack_tables_is_noticed() {
    is_noticed(Scenario::Refresh, Sabotage::SkipSync(is_table));
    is_noticed(Scenario::Receive, Sabotage::SkipSync(is_table));
}

#[test]
fn leaving_out_the_sync_of_statements_and_pointers_is_noticed() {
    is_noticed(Scenario::Refresh, Sabotage::SkipSync(is_statement));
    is_noticed(Scenario::Receive, Sabotage::SkipSync(is_pointer));
}

#[test]
fn leaving_out_the_sync_of_a_folder_is_noticed() {
    for matches in [is_in_packs, is_statement, is_pointer] {
        is_noticed(Scenario::Refresh, Sabotage::SkipFolderSync(matches));
        is_noticed(Scenario::Receive, Sabotage::SkipFolderSync(matches));
    }
}

#[test]
fn cleaning_without_a_sync_of_what_it_writes_anew_or_forgets_is_noticed() {
    is_noticed(Scenario::Clean, Sabotage::SkipSync(is_data));
    is_noticed(Scenario::Clean, Sabotage::SkipSync(is_table));
    // Frames may go only when the statements that needed them are gone for good.
    is_noticed(Scenario::Clean, Sabotage::SkipFolderSync(is_statement));
}

#[test]
fn the_pointer_before_the_objects_is_noticed() {
    is_noticed(Scenario::Refresh, Sabotage::PointerFirst(is_in_packs));
    is_noticed(Scenario::Receive, Sabotage::PointerFirst(is_in_packs));
}

#[test]
fn storing_without_checking_is_noticed() {
    let scene = Scene::new();
    let mut tally = Tally::default();
    scene.receive_from_a_liar(Sabotage::None, &mut tally);
    assert_eq!(tally.violations, Vec::<String>::new());
    scene.receive_from_a_liar(Sabotage::AcceptEverything, &mut tally);
    assert!(!tally.violations.is_empty(), "a damaged frame was stored and nobody noticed");
}
