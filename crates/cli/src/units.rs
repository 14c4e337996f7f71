//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `90s`, `10m`, `30min`, `1h30m`, `2d`, `250ms`.
///
/// Errors: no number, no unit, an unknown unit, or more than 2^64 milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let fail =
        || format!("{text:?} is not a duration: a number and a unit are wanted, such as 90s, 10m, 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_number| fail())?;
        rest = rest[digits..].trim_start();
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit_ms: u64 = match &rest[..letters] {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(fail()),
        };
        let part = number.checked_mul(unit_ms).ok_or_else(fail)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(fail)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

/// Reads `4096`, `64 KiB`, `1.5 GiB`; decimal units (`kB`, `MB`) are refused, because sizes
/// are shown in IEC units.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let fail = || {
        format!("{text:?} is not a size: bytes or an IEC unit are wanted, such as 250000, 64 KiB, 1.5 GiB")
    };
    let text_trimmed = text.trim();
    let end = text_trimmed.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = text_trimmed.split_at(end);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(fail()),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(fail);
    }
    let value: f64 = number.parse().map_err(|_number| fail())?;
    let bytes = value * factor as f64;
    if factor == 1 || !bytes.is_finite() || bytes >= u64::MAX as f64 { Err(fail()) } else { Ok(bytes as u64) }
}

#[cfg(test)]
mod tests {
    use super::{parse_duration, parse_size};
    use std::time::Duration;

    #[test]
    fn durations_are_numbers_with_units() {
        let seconds = |t: &str| parse_duration(t).map(|d| d.as_secs());
        assert_eq!(seconds("10m"), Ok(600));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("30 min"), Ok(1_800));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["", "10", "m", "10 parsecs", "-1s", "99999999999999999999h", "1é"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_iec_units() {
        assert_eq!(parse_size("250000"), Ok(250_000));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("1.5GiB"), Ok(1_610_612_736));
        for bad in ["", "KiB", "10 MB", "1.5", "99999999999 TiB", "1.2.3 KiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
