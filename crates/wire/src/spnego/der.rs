//! The few forms of DER that tokens are made of.
//!
//! Source: ITU-T X.690, section 10: definite lengths alone.

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

/// The longest value that is read or written, in bytes.
const LENGTH_MAX: usize = 0xffff;

/// Takes a value with this tag from the front: the value, and what follows it.
pub(super) fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Takes a value with this tag, if it comes next.
pub(super) fn take_if<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<Option<&'a [u8]>> {
    if bytes.first() != Some(&tag) {
        return Some(None);
    }
    let (value, rest) = take(bytes, tag)?;
    *bytes = rest;
    Some(Some(value))
}

/// A value with this tag around the parts.
pub(super) fn wrap(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len().min(LENGTH_MAX)).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    let head: &[u8] = match length {
        0..=0x7f => &[tag, low],
        0x80..=0xff => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [head, &body].concat()
}
