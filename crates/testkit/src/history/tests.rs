//! Histories that must pass, and one for each way to fail.

use restock_names::Digest;

use super::{Deed, History, Rule, Seen, check};

const HEADING: &str = "{\"restock_history\":1,\"suite\":\"t\"}\n";
/// Written once; read for ever.
const SAMPLE: &str = include_str!("../../../../docs/formats/samples/history-1.jsonl");

fn seen(version: u32, content: u8) -> Seen {
    Seen { epoch: 1, version, root: Some(Digest([content; 32])) }
}

/// The rules that a history breaks.
fn broken(write: impl FnOnce(&History)) -> Vec<Rule> {
    let history = History::new("unit");
    write(&history);
    history.verdict().expect("its own lines are read").violations.iter().map(|v| v.rule).collect()
}

#[test]
fn a_history_without_faults_breaks_no_rule() {
    let history = History::new("unit");
    let change = history.begin("admin", Deed::Change, "P");
    history.note("DP1", Deed::Read, "P", &[seen(1, 1)]);
    change.ok(&[Seen::version(2)]);
    history.note("DP1", Deed::Read, "P", &[seen(1, 1), seen(1, 1)]);
    history.begin("DP1", Deed::Read, "P").failed("503");
    history.note("DP1", Deed::Read, "P", &[seen(2, 2)]);
    // Another observer may be behind.
    history.note("DP2", Deed::Read, "P", &[seen(1, 1)]);
    history.note("DP2", Deed::Rest, "P", &[seen(2, 2)]);
    drop(history.begin("admin", Deed::Change, "P"));
    let verdict = history.verdict().expect("it is read");
    assert_eq!(verdict.to_string(), "8 calls: 6 answered (1 changes), 1 refused, 1 unknown; 0 violations");
    assert_eq!(verdict.suite, "unit");
}

#[test]
fn an_observer_that_goes_back_is_noticed() {
    let back = broken(|history| {
        history.note("DP1", Deed::Read, "P", &[seen(3, 3)]);
        history.note("DP1", Deed::Read, "P", &[seen(2, 2)]);
    });
    assert_eq!(back, [Rule::Monotonic]);
    let epoch = broken(|history| {
        history.note("DP1", Deed::Read, "P", &[Seen { epoch: 2, version: 3, root: None }]);
        history.note("DP1", Deed::Read, "P", &[Seen { epoch: 1, version: 9, root: None }]);
    });
    assert_eq!(epoch, [Rule::Monotonic]);
}

#[test]
fn content_that_is_gone_is_noticed() {
    let gone = broken(|history| {
        history.note("DP1", Deed::Read, "P", &[seen(3, 3)]);
        history.note("DP1", Deed::Read, "P", &[]);
    });
    assert_eq!(gone, [Rule::Monotonic]);
}

#[test]
fn answers_that_cross_are_no_step_back() {
    let crossed = broken(|history| {
        let slow = history.begin("DP1", Deed::Read, "P");
        history.note("DP1", Deed::Read, "P", &[seen(2, 2)]);
        slow.ok(&[seen(1, 1)]);
    });
    assert_eq!(crossed, []);
}

#[test]
fn two_contents_of_one_version_are_noticed() {
    let two = broken(|history| {
        history.note("DP1", Deed::Read, "P", &[seen(1, 1)]);
        history.note("DP2", Deed::Read, "P", &[seen(1, 2)]);
    });
    assert_eq!(two, [Rule::OneContent]);
    let others = broken(|history| {
        history.note("DP1", Deed::Read, "P", &[seen(1, 1)]);
        history.note("DP1", Deed::Read, "Q", &[seen(1, 2)]);
    });
    assert_eq!(others, [], "packages have nothing to do with each other");
}

#[test]
fn acknowledged_work_that_is_lost_is_noticed() {
    let lost = broken(|history| {
        history.note("admin", Deed::Change, "P", &[Seen::version(2)]);
        history.note("site", Deed::Read, "P", &[Seen::version(1)]);
        history.note("site", Deed::Rest, "P", &[Seen::version(1)]);
    });
    assert_eq!(lost, [Rule::NothingLost], "only at rest");
    let all = broken(|history| {
        history.note("admin", Deed::Change, "P", &[Seen::version(1)]);
        history.note("site", Deed::Rest, "P", &[]);
    });
    assert_eq!(all, [Rule::NothingLost]);
    let unknown = broken(|history| {
        drop(history.begin("admin", Deed::Change, "P"));
        history.begin("admin", Deed::Change, "P").unknown();
        history.begin("admin", Deed::Change, "P").failed("busy");
        history.note("site", Deed::Rest, "P", &[Seen::version(1)]);
    });
    assert_eq!(unknown, [], "nothing was promised");
}

#[test]
fn an_answer_of_two_versions_is_noticed() {
    let mixed = broken(|history| history.note("DP1", Deed::Read, "P", &[seen(1, 1), seen(2, 2)]));
    assert_eq!(mixed, [Rule::NothingMixed]);
}

#[test]
fn lines_that_are_no_history_are_refused_with_their_number() {
    let refused = |lines: &str| {
        let error = check(&format!("{HEADING}{lines}")).expect_err("it is no history");
        (error.line, error.what)
    };
    assert_eq!(refused("{\"ok\":1,\"seen\":[]}").0, 2, "an end without a call");
    let call = "{\"invoke\":1,\"by\":\"a\",\"do\":\"read\",\"of\":\"P\"}\n";
    assert_eq!(refused(&format!("{call}{call}")).0, 3, "one call twice");
    assert_eq!(refused(&format!("{call}{{\"unknown\":1}}\n{{\"unknown\":1}}")).0, 4, "two ends");
    assert_eq!(refused("{\"invoke\":1,\"by\":\"a\",\"do\":\"dance\",\"of\":\"P\"}").0, 2);
    assert_eq!(refused(&format!("{call}{{\"ok\":1,\"seen\":[{{\"epoch\":-1,\"version\":1}}]}}")).0, 3);
    assert_eq!(refused("[]").0, 2);
    let other = check("{\"restock_history\":2,\"suite\":\"t\"}").expect_err("another format");
    assert_eq!(other.to_string(), "line 1: format 2 is not known");
}

#[test]
fn any_bytes_are_read_or_refused() {
    let mut random = crate::random::Random::new(5);
    for _ in 0..2_000 {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.index(bytes.len());
            bytes[at] = random.next_u64() as u8;
        }
        super::fuzz_one(&bytes);
        let _read_or_refused = check(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn an_old_sample_is_read() {
    let verdict = check(SAMPLE).expect("format 1 is read");
    assert_eq!(verdict.to_string(), "5 calls: 3 answered (1 changes), 1 refused, 1 unknown; 1 violations");
    let violation = &verdict.violations[0];
    assert_eq!((violation.rule, violation.line), (Rule::NothingLost, 10), "{violation}");
}
