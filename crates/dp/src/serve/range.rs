//! The `Range` header: one range of bytes. Pure.
//!
//! Source: RFC 9110 section 14; docs/formats/serving.md, "Ranges".

/// More ranges than this in one header are refused.
pub(crate) const RANGES_MAX: usize = 16;

/// What a `Range` header asks for, given the size of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole file: no header, an unknown unit, or several ranges.
    Whole,
    /// `start..end`, not empty and inside the file.
    Part { start: u64, end: u64 },
    /// No byte of the file is asked for, or the header cannot be read: 416.
    Unsatisfiable,
    /// More than [`RANGES_MAX`] ranges: 400.
    TooMany(usize),
}

/// Reads a `Range` header for a file of `size` bytes.
///
/// Numbers too large for 64 bits count as past the end.
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
    if count > 1 {
        return Wanted::Whole;
    }
    match one(ranges.trim(), size) {
        Some((start, end)) => Wanted::Part { start, end },
        None => Wanted::Unsatisfiable,
    }
}

fn one(range: &str, size: u64) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    if first.is_empty() {
        let length = number(last)?.min(size);
        return (length > 0).then(|| (size - length, size));
    }
    let start = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    (start <= last && start < size).then(|| (start, last.saturating_add(1).min(size)))
}

/// Digits only; saturates.
fn number(text: &str) -> Option<u64> {
    let is_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Wanted, wanted};

    #[test]
    fn a_single_range_is_cut_to_the_file() {
        let part = |start, end| Wanted::Part { start, end };
        for (header, size, want) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=2-5", 10, part(2, 6)),
            ("bytes=2-", 10, part(2, 10)),
            ("bytes=-3", 10, part(7, 10)),
            ("bytes=-30", 10, part(0, 10)),
            ("bytes=9-99999999999999999999999", 10, part(9, 10)),
            ("Bytes= 1-1", 10, part(1, 2)),
            ("bytes=4294967296-4294967297", 1 << 33, part(1 << 32, (1 << 32) + 2)),
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
        ] {
            assert_eq!(wanted(header.as_bytes(), 10), Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(b"bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn other_units_and_a_few_ranges_are_answered_with_the_whole_file() {
        for header in [&b"items=0-1"[..], b"bytes", b"", b"bytes=0-1,3-4", b"\xff=1-2"] {
            assert_eq!(wanted(header, 10), Wanted::Whole);
        }
    }

    #[test]
    fn a_thousand_ranges_are_refused() {
        let header = format!("bytes={}0-1", "0-1,".repeat(999));
        assert_eq!(wanted(header.as_bytes(), 10), Wanted::TooMany(1000));
    }
}
