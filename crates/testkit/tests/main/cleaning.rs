//! Cleaning while others publish, fetch and read: nothing that anybody refers to is deleted.
//!
//! A random sequence of steps runs against a library and a model of what must be readable. After each
//! step every stored version and everything that a reader began with is read and checked.

mod world;

use std::cell::Cell;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use restock_testkit::faulty::Sabotage;
use restock_testkit::tally::Tally;

use world::{Range, Step, World};

fn range() -> impl Strategy<Value = Range> {
    (0_u32..24, 1_u32..8).prop_map(|(from, count)| Range { from, count })
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<prop::sample::Index>;
    prop_oneof![
        3 => (any::<bool>(), range()).prop_map(|(package, range)| Step::Publish { package, range }),
        2 => (any::<bool>(), range()).prop_map(|(package, range)| Step::BeginDraft { package, range }),
        2 => (pick(), range()).prop_map(|(draft, range)| Step::GrowDraft { draft, range }),
        2 => pick().prop_map(Step::FinishDraft),
        1 => pick().prop_map(Step::DropDraft),
        2 => pick().prop_map(Step::BeginReading),
        2 => pick().prop_map(Step::EndReading),
        3 => (any::<bool>(), 1_usize..3).prop_map(|(package, keep)| Step::Trim { package, keep }),
        1 => any::<bool>().prop_map(Step::Forget),
        4 => Just(Step::BeginCleaning),
        4 => Just(Step::EndCleaning),
        1 => Just(Step::Restart),
    ]
}

#[test]
fn cleaning_never_deletes_what_a_version_a_draft_or_a_reader_refers_to() {
    let mut runner = TestRunner::new(Config { cases: cases(), ..Config::default() });
    let count = Cell::new(0);
    let outcome = runner.run(&prop::collection::vec(step(), 1..48), |steps| {
        count.set(count.get() + 1);
        let mut world = World::new(Sabotage::None);
        let fail = |error: anyhow::Error| TestCaseError::fail(format!("{error:#}"));
        for step in steps {
            world.step(&step).map_err(fail)?;
        }
        world.end().map_err(fail)
    });
    let violations = outcome.err().map(|error| error.to_string()).into_iter().collect();
    let tally = Tally { points: count.get(), fired: count.get(), violations };
    tally.report("model", &"cleaning, sequences of up to 48 steps");
    assert_eq!(tally.violations, Vec::<String>::new());
}

fn cases() -> u32 {
    std::env::var("RESTOCK_CLEANING_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(48)
}

fn first() -> prop::sample::Index {
    let mut runner = TestRunner::deterministic();
    let tree = any::<prop::sample::Index>().new_tree(&mut runner).expect("an index needs nothing");
    proptest::strategy::ValueTree::current(&tree)
}

/// A draft finds a chunk that only an older version has, cleaning deletes it, the draft is published.
fn a_draft_during_cleaning(sabotage: Sabotage) -> anyhow::Result<()> {
    let mut world = World::new(sabotage);
    let (old, new) = (Range { from: 0, count: 8 }, Range { from: 20, count: 3 });
    for step in [
        Step::Publish { package: false, range: old },
        Step::Publish { package: false, range: new },
        Step::Trim { package: false, keep: 1 },
        Step::BeginDraft { package: true, range: old },
        Step::BeginCleaning,
        Step::EndCleaning,
        Step::FinishDraft(first()),
    ] {
        world.step(&step)?;
    }
    world.end()
}

/// A reader goes on with a version that is removed and cleaned meanwhile.
fn a_reader_during_cleaning(sabotage: Sabotage) -> anyhow::Result<()> {
    let mut world = World::new(sabotage);
    for step in [
        Step::Publish { package: false, range: Range { from: 0, count: 8 } },
        Step::BeginReading(first()),
        Step::Publish { package: false, range: Range { from: 20, count: 3 } },
        Step::Trim { package: false, keep: 1 },
        Step::BeginCleaning,
        Step::EndCleaning,
        Step::EndReading(first()),
    ] {
        world.step(&step)?;
    }
    world.end()
}

#[test]
fn cleaning_waits_for_drafts_and_readers_that_began_before() {
    a_draft_during_cleaning(Sabotage::None).expect("the draft keeps its chunks");
    a_reader_during_cleaning(Sabotage::None).expect("the reader reads to its end");
}

#[test]
fn cleaning_without_hiding_and_waiting_is_noticed() {
    assert!(a_draft_during_cleaning(Sabotage::CleanAtOnce).is_err(), "a draft lost a chunk unnoticed");
    assert!(a_reader_during_cleaning(Sabotage::CleanAtOnce).is_err(), "a reader lost a chunk unnoticed");
}
