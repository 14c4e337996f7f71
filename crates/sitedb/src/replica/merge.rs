//! Which of two states of an object stands. Pure: the same at every site, in any order of arrival.

use std::cmp::Ordering;

use serde_json::Value;

use super::Object;
use super::object::Kind;

/// Compares two states of one object; the greater one stands.
///
/// A kind may have a measure of its own that goes before the stamp. Two states that are equal in all
/// but the body (a database that was put back wrote the same number twice) are told apart by the
/// text of the body, so that all sites choose the same.
pub(crate) fn compare(a: &Object, b: &Object) -> Ordering {
    debug_assert_eq!(a.kind, b.kind, "only states of one object are compared");
    measure(a)
        .cmp(&measure(b))
        .then_with(|| a.clock.cmp(&b.clock))
        .then_with(|| a.writer.cmp(&b.writer))
        .then_with(|| text(a).cmp(&text(b)))
}

/// What goes before the stamp: deletion where it is for good, then the kind's own order.
fn measure(object: &Object) -> (bool, u64, u64) {
    let number = |field: &str| object.fields().get(field).and_then(Value::as_u64).unwrap_or(0);
    let is_gone = object.body.is_none() && object.kind.ends_for_good();
    match object.kind {
        // Who asked for the deletion is not outvoted by a later change of the name.
        Kind::Package => {
            let is_deleting = object.fields().get("is_deleting").and_then(Value::as_bool);
            (is_gone, u64::from(is_deleting.unwrap_or(false)), 0)
        }
        Kind::Owner | Kind::Running => (is_gone, number("epoch"), 0),
        Kind::Version => (is_gone, number("epoch"), number("version")),
        Kind::Refresh => (is_gone, number("asked"), 0),
        _ => (is_gone, 0, 0),
    }
}

fn text(object: &Object) -> Option<String> {
    object.body.as_ref().map(Value::to_string)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;
    use restock_names::Timestamp;
    use serde_json::{Value, json};

    use super::{Object, compare};
    use crate::replica::Kind;

    fn states(kind: Kind) -> impl Strategy<Value = Object> {
        let body = prop_oneof![
            Just(None),
            (0..3_u32, 0..3_u32, any::<bool>()).prop_map(|(epoch, number, is_deleting)| {
                Some(json!({
                    "epoch": epoch, "version": number, "asked": number, "is_deleting": is_deleting,
                }))
            }),
            Just(Some(json!({}))),
        ];
        (1..4_u64, prop_oneof![Just("AAA"), Just("BBB")], body).prop_map(move |(clock, writer, body)| {
            Object {
                kind,
                key: "AAA00001".to_owned(),
                clock,
                writer: writer.parse().unwrap(),
                at: Timestamp(0),
                body,
            }
        })
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_decides_nothing(
            mut objects in prop::sample::select(Kind::ALL.as_slice())
                .prop_flat_map(|(kind, _)| prop::collection::vec(states(kind), 2..6)),
            swaps in prop::collection::vec((0..6_usize, 0..6_usize), 6),
        ) {
            let stands = |objects: &[Object]| {
                let mut stands = objects[0].clone();
                for object in &objects[1..] {
                    if compare(object, &stands) == Ordering::Greater {
                        stands = object.clone();
                    }
                }
                stands
            };
            let first = stands(&objects);
            for (a, b) in swaps {
                let length = objects.len();
                objects.swap(a % length, b % length);
            }
            prop_assert_eq!(stands(&objects), first);
        }
    }

    #[test]
    fn what_goes_before_the_clock_goes_before_it() {
        let state = |kind: Kind, clock: u64, body: Value| Object {
            kind,
            key: "AAA00001".to_owned(),
            clock,
            writer: "AAA".parse().unwrap(),
            at: Timestamp(0),
            body: (!body.is_null()).then_some(body),
        };
        let cases = [
            (Kind::Package, json!({ "is_deleting": true }), json!({ "is_deleting": false })),
            (Kind::Package, Value::Null, json!({ "is_deleting": true })),
            (Kind::Owner, json!({ "epoch": 3 }), json!({ "epoch": 2 })),
            (Kind::Running, json!({ "epoch": 3 }), json!({ "epoch": 2 })),
            (Kind::Version, json!({ "epoch": 3, "version": 1 }), json!({ "epoch": 2, "version": 9 })),
            (Kind::Version, json!({ "epoch": 2, "version": 10 }), json!({ "epoch": 2, "version": 9 })),
            (Kind::Refresh, json!({ "asked": 3 }), json!({ "asked": 2 })),
        ];
        for (kind, higher, lower) in cases {
            let (early, late) = (state(kind, 1, higher), state(kind, 9, lower));
            assert_eq!(compare(&early, &late), Ordering::Greater, "{early:?} {late:?}");
        }
        let (early, late) = (state(Kind::Program, 1, json!({})), state(Kind::Program, 2, Value::Null));
        assert_eq!(compare(&early, &late), Ordering::Less, "a program that was deleted can come back");
    }
}
