//! Limits on what a body may hold, beside the size of the whole object.

use crate::Why;
use crate::replica::object::Fields;

/// The longest name or ID, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 1_024;
/// The longest free text, in bytes.
pub(super) const TEXT_BYTES_MAX: usize = 65_536;
/// Items of a list at most.
pub(super) const ITEMS_MAX: usize = 10_000;

/// Why a field is refused that is too long.
fn too_long(field: &str, limit: usize, unit: &str) -> Why {
    Why::new("OBJECT_SIZE", format!("the field {field} of the body has more than {limit} {unit}"))
}

/// `text`, if it has at most `limit` bytes.
pub(super) fn within(text: String, field: &str, limit: usize) -> Result<String, Why> {
    if text.len() <= limit { Ok(text) } else { Err(too_long(field, limit, "bytes")) }
}

/// A name or an ID: not empty, at most [`NAME_BYTES_MAX`].
pub(super) fn name(fields: Fields<'_>, field: &str) -> Result<String, Why> {
    let text = within(fields.text(field)?, field, NAME_BYTES_MAX)?;
    if text.is_empty() {
        return Err(Why::new("OBJECT_FORM", format!("the field {field} of the body is empty")));
    }
    Ok(text)
}

/// Free text of at most [`TEXT_BYTES_MAX`].
pub(super) fn text(fields: Fields<'_>, field: &str) -> Result<String, Why> {
    within(fields.text(field)?, field, TEXT_BYTES_MAX)
}

/// A list of at most [`ITEMS_MAX`] names.
pub(super) fn names(fields: Fields<'_>, field: &str) -> Result<Vec<String>, Why> {
    let list = fields.texts(field)?;
    if list.len() > ITEMS_MAX {
        return Err(too_long(field, ITEMS_MAX, "items"));
    }
    list.into_iter().map(|text| within(text, field, NAME_BYTES_MAX)).collect()
}

/// A reason whose texts are within the limits.
pub(super) fn why(fields: Fields<'_>, field: &str) -> Result<Option<Why>, Why> {
    let Some(why) = fields.why(field)? else { return Ok(None) };
    let lengths = [why.rule.len(), why.text.len(), why.fix.as_ref().map_or(0, String::len)];
    if lengths.iter().any(|length| *length > TEXT_BYTES_MAX) {
        return Err(too_long(field, TEXT_BYTES_MAX, "bytes"));
    }
    Ok(Some(why))
}

/// The key of an object that is compared without letter case: ASCII letters in upper case.
pub(crate) fn folded(key: &str) -> String {
    key.to_ascii_uppercase()
}
