use std::time::Duration;

use restock_names::Timestamp;

use super::{Phase, Refresh};
use crate::Why;
use crate::state::RetryPolicy;

const LEASE: Duration = Duration::from_secs(60);
const T0: Timestamp = Timestamp(1_000_000);

fn claim(refresh: &mut Refresh, now: Timestamp) -> u64 {
    refresh.claim("a", now, LEASE).expect("a run is due")
}

#[test]
fn requests_before_a_run_are_one_run_and_one_during_it_is_another() {
    let mut refresh = Refresh::new(T0);
    assert_eq!(refresh.claim("a", T0, LEASE), None);
    assert!(!refresh.request(T0));
    assert!(refresh.request(T0));
    assert!(refresh.request(T0));
    let run = claim(&mut refresh, T0);
    assert_eq!(refresh.claim("b", T0, LEASE), None, "nobody else runs meanwhile");
    assert!(!refresh.request(T0), "this one is not covered by the run");
    assert!(refresh.request(T0));
    assert!(refresh.is_held_by(run));
    refresh.published(T0);
    assert!(refresh.is_pending());
    claim(&mut refresh, T0);
    refresh.published(T0);
    assert_eq!((refresh.is_pending(), refresh.runs), (false, 2));
}

#[test]
fn the_snapshot_of_creation_is_a_run_of_its_own() {
    let mut refresh = Refresh::of_creation(T0);
    assert_eq!(refresh.action_in_progress(), 2);
    assert!(!refresh.request(T0));
    assert!(refresh.request(T0));
    assert_eq!(refresh.action_in_progress(), 1);
    claim(&mut refresh, T0);
    refresh.published(T0);
    assert_eq!((refresh.action_in_progress(), refresh.is_creating()), (1, false));
    claim(&mut refresh, T0);
    refresh.published(T0);
    assert_eq!((refresh.action_in_progress(), refresh.phase()), (0, Phase::Idle));
}

#[test]
fn failed_attempts_wait_and_the_last_one_ends_the_request() {
    let retry = RetryPolicy { delay: Duration::from_secs(10), count: 3 };
    let mut refresh = Refresh::new(T0);
    refresh.request(T0);
    let mut now = T0;
    for attempt in 1..=3 {
        claim(&mut refresh, now);
        let is_last = refresh.attempt_failed(now, Why::new("SOURCE_NOT_FOUND", "gone"), retry);
        assert_eq!(is_last, attempt == 3);
        if !is_last {
            assert_eq!(refresh.phase(), Phase::Retrying);
            assert_eq!(refresh.claim("a", now, LEASE), None, "the delay has not passed");
            assert_eq!(refresh.why.as_ref().and_then(|why| why.until), Some(now.after(retry.delay)));
        }
        now = now.after(retry.delay);
    }
    assert_eq!((refresh.phase(), refresh.action_in_progress()), (Phase::Failed, 0));
    refresh.request(now);
    assert_eq!((refresh.phase(), refresh.attempts), (Phase::Waiting, 0));
    claim(&mut refresh, now);
}

#[test]
fn a_request_brings_the_next_attempt_forward_also_during_a_run() {
    let retry = RetryPolicy { delay: Duration::from_secs(10), count: 2 };
    let mut refresh = Refresh::new(T0);
    refresh.request(T0);
    claim(&mut refresh, T0);
    refresh.attempt_failed(T0, Why::new("X", "x"), retry);
    refresh.request(T0);
    claim(&mut refresh, T0);
    refresh.request(T0);
    assert!(!refresh.attempt_failed(T0, Why::new("X", "x"), retry));
    claim(&mut refresh, T0);
    assert!(refresh.attempt_failed(T0, Why::new("X", "x"), retry), "nobody asked during this one");
}

#[test]
fn a_lost_or_cancelled_run_may_not_publish() {
    let mut refresh = Refresh::new(T0);
    refresh.request(T0);
    let first = claim(&mut refresh, T0);
    let later = T0.after(LEASE);
    let second = refresh.claim("b", later, LEASE).expect("the first lease has ended");
    assert!(!refresh.is_held_by(first) && refresh.is_held_by(second));
    assert!(refresh.cancel());
    assert!(!refresh.is_held_by(second));
    assert!(!refresh.cancel());
    assert_eq!(refresh.phase(), Phase::Idle);
}
