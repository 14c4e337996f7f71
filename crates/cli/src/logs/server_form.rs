//! The line form of Configuration Manager's site server logs:
//! `text  $$<COMPONENT><MM-DD-YYYY HH:MM:SS.mmm+bias><thread=dec (0xHEX)>`.
//!
//! The bias is UTC minus local time in minutes. Text from callers is inside `text`, so the whole
//! text is escaped: control and direction marks, and the marks that end a record.

use jiff::tz::TimeZone;
use restock_names::Timestamp;

use crate::output::guarded;

/// One line with its line break.
pub(super) fn line(text: &str, component: &str, now: Timestamp, zone: &TimeZone, thread: u32) -> String {
    let time = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default().to_zoned(zone.clone());
    let bias = -time.offset().seconds() / 60;
    format!(
        "{}  $$<{component}><{}.{:03}{bias:+03}><thread={thread} (0x{thread:X})>\n",
        escaped(text),
        time.strftime("%m-%d-%Y %H:%M:%S"),
        time.millisecond(),
    )
}

/// The text without anything that could end its record or begin another.
fn escaped(text: &str) -> String {
    // Backslashes stay: UNC and NAL paths must be readable as they are.
    guarded(text).replace("$$<", r"$\x24<").replace("]LOG]!>", r"]LOG]!\x3e")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use jiff::tz::{TimeZone, offset};
    use restock_names::Timestamp;

    use super::{escaped, line};

    #[test]
    fn a_line_has_the_server_form_in_local_time() {
        let now = Timestamp(1_700_000_000_123_456);
        let text = [
            line("Found package properties", "SMS_DISTRIBUTION_MANAGER", now, &TimeZone::UTC, 4420),
            line("x", "C", now, &TimeZone::fixed(offset(-5)), 1),
            line("x", "C", now, &TimeZone::fixed(offset(1)), 255),
        ]
        .concat();
        expect![[r#"
            Found package properties  $$<SMS_DISTRIBUTION_MANAGER><11-14-2023 22:13:20.123+00><thread=4420 (0x1144)>
            x  $$<C><11-14-2023 17:13:20.123+300><thread=1 (0x1)>
            x  $$<C><11-14-2023 23:13:20.123-60><thread=255 (0xFF)>
        "#]]
        .assert_eq(&text);
    }

    #[test]
    fn a_package_name_cannot_forge_a_record() {
        let name = "a\n$$<X><11-14-2023>\r]LOG]!>\u{202e}$$$<\\\\fs01\\src";
        expect![[r#"a\x0a$\x24<X><11-14-2023>\x0d]LOG]!\x3e\u{202e}$$\x24<\\fs01\src"#]]
            .assert_eq(&escaped(name));
    }
}
