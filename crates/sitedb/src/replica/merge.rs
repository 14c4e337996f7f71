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
