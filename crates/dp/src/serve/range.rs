//! The `Range` header. Pure.
//!
//! Source: RFC 9110 section 14; docs/formats/serving.md, "Ranges".

use std::ops::Range;

/// More ranges than this in one header are refused.
pub(crate) const RANGES_MAX: usize = 16;

/// What a `Range` header asks for, given the size of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole file: an unknown unit, or ranges that together ask for more than the file has.
    Whole,
    /// These ranges, each not empty and inside the file, in the order asked; at least one.
    Parts(Vec<Range<u64>>),
    /// No byte of the file is asked for, or the header cannot be read: 416.
    Unsatisfiable,
    /// More than [`RANGES_MAX`] ranges: 400.
    TooMany(usize),
}

/// Reads a `Range` header for a file of `size` bytes.
///
/// Numbers too large for 64 bits count as past the end. Of several ranges those without a byte of
/// the file are left out.
pub(crate) fn wanted(header: &[u8], size: u64) -> Wanted {
    let Ok(text) = std::str::from_utf8(header) else { return Wanted::Whole };
    let Some((unit, ranges)) = text.split_once('=') else { return Wanted::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let count = ranges.split(',').count();
    if count > RANGES_MAX {
        return Wanted::TooMany(count);
    }
    let mut parts = Vec::new();
    for range in ranges.split(',') {
        match one(range.trim(), size) {
            Some(part) => parts.extend(part),
            None => return Wanted::Unsatisfiable,
        }
    }
    let asked: u64 = parts.iter().map(|part| part.end - part.start).sum();
    match parts.len() {
        0 => Wanted::Unsatisfiable,
        // Overlapping ranges would make an answer larger than the file.
        2.. if asked > size => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

/// One range: `None` when it cannot be read, an inner `None` when the file has no byte of it.
fn one(range: &str, size: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return Some((length > 0).then(|| size - length..size));
    }
    let start = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if start > last {
        return None;
    }
    Some((start < size).then(|| start..last.saturating_add(1).min(size)))
}

/// Digits only; saturates.
fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    fn parts<const N: usize>(parts: [(u64, u64); N]) -> Wanted {
        Wanted::Parts(parts.map(|(from, to)| from..to).to_vec())
    }

    #[test]
    fn ranges_are_cut_to_the_file() {
        for (header, size, want) in [
            ("bytes=0-0", 10, parts([(0, 1)])),
            ("bytes=2-5", 10, parts([(2, 6)])),
            ("bytes=2-", 10, parts([(2, 10)])),
            ("bytes=-3", 10, parts([(7, 10)])),
            ("bytes=-30", 10, parts([(0, 10)])),
            ("bytes=9-99999999999999999999999", 10, parts([(9, 10)])),
            ("Bytes= 1-1", 10, parts([(1, 2)])),
            ("bytes=4294967296-4294967297", 1 << 33, parts([(1 << 32, (1 << 32) + 2)])),
            ("bytes=7-8, 0-1,-1", 10, parts([(7, 9), (0, 2), (9, 10)])),
            ("bytes=0-1,10-,20-30", 10, parts([(0, 2)])),
            ("bytes=0-4,5-9", 10, parts([(0, 5), (5, 10)])),
        ] {
            assert_eq!(wanted(header.as_bytes(), size), want, "{header}");
        }
    }

    #[test]
    fn a_range_without_a_byte_of_the_file_is_unsatisfiable() {
        for header in [
            "bytes=5-2",
            "bytes=10-",
            "bytes=10-20",
            "bytes=-0",
            "bytes=18446744073709551616-",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=+1-2",
            "bytes=10-,11-",
            "bytes=0-1,",
            "bytes=0-1,5-2",
        ] {
            assert_eq!(wanted(header.as_bytes(), 10), Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(b"bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn other_units_and_ranges_that_repeat_the_file_are_answered_with_the_whole_file() {
        for header in [&b"items=0-1"[..], b"bytes", b"", b"\xff=1-2", b"bytes=0-,0-", b"bytes=0-9,0-0"] {
            assert_eq!(wanted(header, 10), Wanted::Whole);
        }
    }

    #[test]
    fn a_thousand_ranges_are_refused() {
        let header = format!("bytes={}0-1", "0-1,".repeat(999));
        assert_eq!(wanted(header.as_bytes(), 10), Wanted::TooMany(1000));
    }
}
