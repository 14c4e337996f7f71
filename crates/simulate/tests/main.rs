//! The simulator's own tests: what is right stays right, and what is taken out turns it red.

#![allow(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stdout, reason = "a failing seed has to be told")]

use std::time::Duration;

use restock_simulate::{Batch, BatchReport, Options, Sabotage, StarOptions, measure_star};

fn run(runs: Vec<Options>, twice: bool) -> BatchReport {
    let batch = Batch { jobs: 2, twice, prints: false };
    let report = batch.run(runs.into_iter(), &|verdict| println!("{verdict}"), &|| true).unwrap();
    for verdict in &report.failed {
        println!("{}\n{}\n{}", verdict.options, verdict.failures.join("\n"), verdict.trace_tail.join("\n"));
    }
    report
}

/// Runs in which much is heard again when it has long been overtaken.
fn echoing(seed: u64, sabotage: Sabotage) -> Options {
    Options { duplicates: 500, loss: 0, requests: 24, incidents: 3, sabotage, ..Options::of_seed(seed) }
}

#[test]
fn a_seed_leaves_the_same_trace_twice() {
    let report = run(vec![Options::of_seed(3)], true);
    assert_eq!((report.runs, report.failed.len()), (1, 0));
    assert!(report.fired.total() > 0 && report.versions > 0 && report.steps > 1_000);
}

#[test]
fn points_that_do_not_check_the_order_of_versions_are_found() {
    let red = run((1..=4).map(|seed| echoing(seed, Sabotage::EpochUnchecked)).collect(), false);
    let went_back = |text: &String| text.contains("went back");
    assert!(
        red.failed.iter().any(|verdict| verdict.failures.iter().any(went_back)),
        "nobody saw a version go back"
    );
    let green = run(vec![echoing(2, Sabotage::None)], false);
    assert!(green.failed.is_empty() && green.fired.of("overtaken job") > 0);
}

#[test]
fn an_injector_that_does_nothing_is_found() {
    let report = run(vec![Options { sabotage: Sabotage::NoFaults, ..Options::of_seed(2) }], false);
    let says = |text: &String| text.contains("no fault was injected");
    assert!(report.failed.len() == 1 && report.failed[0].failures.iter().any(says));
}

#[test]
fn a_change_to_many_packages_reaches_all_sites_below_in_two_round_trips() {
    let one_way = Duration::from_millis(50);
    let report = measure_star(StarOptions { below: 3, packages: 120, one_way }).unwrap();
    println!("{report}");
    // The first change goes at once and the others together when it is acknowledged: they fit one window.
    let links = report.links_alone;
    assert_eq!((links.round_trips, links.took.as_millis()), (2, 3 * one_way.as_millis()));
    // Metadata of a package are some 1,500 bytes, sent once to each.
    assert!((3 * 120 * 500..3 * 120 * 2_500).contains(&links.bytes), "{} bytes", links.bytes);
    let all = report.with_processors;
    assert!(all.took > links.took && all.round_trips >= links.round_trips && all.busy_above > Duration::ZERO);
}

/// Runs in which sites come back from old backups again and again.
fn restoring(seed: u64, sabotage: Sabotage) -> Options {
    Options { requests: 24, incidents: 45, sabotage, ..Options::of_seed(seed) }
}

#[test]
fn restored_sites_that_wait_for_nobody_are_found() {
    let red = run(vec![restoring(39, Sabotage::NoWait)], false);
    let took = |text: &String| text.contains("was restored and removes");
    assert!(
        red.failed.iter().any(|verdict| verdict.failures.iter().any(took)),
        "nobody saw what was removed"
    );
    let green = run([39, 11, 18].map(|seed| restoring(seed, Sabotage::None)).to_vec(), false);
    assert!(green.failed.is_empty() && green.fired.of("restore") > 1);
}
