use proptest::prelude::*;
use restock_names::{Epoch, SiteCode, Timestamp};

use super::{OwnerState, Refresh};
use crate::state::Event;

const NOW: Timestamp = Timestamp(5);

fn owner() -> SiteCode {
    "AAA".parse().unwrap()
}

fn state(pending: bool, failed: bool) -> OwnerState {
    let why = Some(crate::Why::new("SOURCE_NOT_FOUND", "the source is gone")).filter(|_| failed);
    OwnerState {
        epoch: Epoch::FIRST,
        pending,
        request: u64::from(pending),
        creating: false,
        failed,
        why,
        done_of: Default::default(),
    }
}

#[test]
fn a_request_here_ends_with_the_last_of_what_it_waits_for() {
    let mut refresh = Refresh::new(NOW);
    assert_eq!(refresh.mirror(owner(), None, true, NOW), Some(Event::RefreshAsked));
    assert_eq!(refresh.why.as_ref().unwrap().text, "waiting for owner AAA");
    // The owner runs an earlier request, and ends it.
    assert_eq!(refresh.mirror(owner(), Some(&state(true, false)), true, NOW), None);
    assert_eq!(refresh.mirror(owner(), Some(&state(false, false)), true, NOW), None);
    assert_eq!(refresh.action_in_progress(), 1);
    assert_eq!(refresh.mirror(owner(), Some(&state(false, false)), false, NOW), Some(Event::RefreshEnded));
    assert_eq!((refresh.action_in_progress(), refresh.why.clone()), (0, None));
    assert_eq!(refresh.mirror(owner(), Some(&state(false, false)), false, NOW), None);
}

#[test]
fn a_failure_at_the_owner_is_shown_here() {
    let mut refresh = Refresh::new(NOW);
    refresh.mirror(owner(), Some(&state(true, false)), false, NOW);
    let ended = refresh.mirror(owner(), Some(&state(false, true)), false, NOW);
    assert_eq!(ended, Some(Event::RefreshEnded));
    assert_eq!(refresh.phase(), crate::refresh::Phase::Failed);
    assert_eq!(refresh.why.unwrap().rule, "SOURCE_NOT_FOUND");
}

#[test]
fn the_first_snapshot_of_another_site_is_shown_as_one() {
    let mut refresh = Refresh::new(NOW);
    let creating = OwnerState { creating: true, ..state(true, false) };
    refresh.mirror(owner(), Some(&creating), false, NOW);
    assert_eq!(refresh.action_in_progress(), 2);
    refresh.mirror(owner(), Some(&state(false, false)), false, NOW);
    assert_eq!(refresh.action_in_progress(), 0);
    refresh.mirror(owner(), Some(&state(true, false)), false, NOW);
    assert_eq!(refresh.action_in_progress(), 1);
}

proptest! {
    #[test]
    fn it_is_pending_exactly_while_something_is(
        words in prop::collection::vec((any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()), 1..20),
    ) {
        let mut refresh = Refresh::new(NOW);
        for (pending, failed, waits, creating) in words {
            let was_pending = refresh.is_pending();
            let said = OwnerState { creating: creating && pending, ..state(pending, failed && !pending) };
            let event = refresh.mirror(owner(), Some(&said), waits, NOW);
            prop_assert_eq!(refresh.is_pending(), pending || waits);
            prop_assert_eq!(event.is_some(), was_pending != refresh.is_pending());
            prop_assert_eq!(refresh.action_in_progress() == 2, pending && creating);
            prop_assert!(refresh.lease.is_none() && refresh.done <= refresh.requested);
        }
    }
}
