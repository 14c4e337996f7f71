//! How text from callers, sizes and durations are shown to people.

use std::fmt;
use std::time::Duration;

/// Shows bytes from a caller so that no terminal or log can be misled: UTF-8 stays, control
/// characters, bidi marks, backslashes and invalid bytes become `\xNN`, `\u{…}` or `\\`.
#[derive(Debug, Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for piece in self.0.utf8_chunks() {
            for c in piece.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02x}", c as u32)?,
                    c if c.is_control() || is_direction_mark(c) => write!(f, "\\u{{{:x}}}", c as u32)?,
                    c => write!(f, "{c}")?,
                }
            }
            piece.invalid().iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
        }
        Ok(())
    }
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2066}'..='\u{2069}')
}

/// A size in IEC units with three significant digits: `0 B`, `1.25 GiB`.
#[derive(Debug, Clone, Copy)]
pub struct HumanBytes(pub u64);

impl fmt::Display for HumanBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 1023.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        write!(f, "{value:.decimals$} {}", UNITS[unit])
    }
}

/// A duration as people say it: `340 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
#[derive(Debug, Clone, Copy)]
pub struct HumanDuration(pub Duration);

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Escaped, HumanBytes, HumanDuration};
    use std::time::Duration;

    #[test]
    fn text_from_callers_cannot_carry_control_or_direction_marks() {
        assert_eq!(Escaped(b"a\x1b[1m\n\xffb\\").to_string(), r"a\x1b[1m\x0a\xffb\\");
        assert_eq!(Escaped("x\u{202e}y é".as_bytes()).to_string(), "x\\u{202e}y é");
    }

    #[test]
    fn sizes_and_durations_read_well() {
        let sizes: Vec<String> =
            [0, 1023, 1024, 1536, 10 << 20, 5 << 40].map(|b| HumanBytes(b).to_string()).into();
        assert_eq!(sizes, ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "10.0 MiB", "5.00 TiB"]);
        let times: Vec<String> = [340, 4_200, 200_000, 7_500_000]
            .map(|ms| HumanDuration(Duration::from_millis(ms)).to_string())
            .into();
        assert_eq!(times, ["340 ms", "4.2 s", "3 min 20 s", "2 h 5 min"]);
    }
}
