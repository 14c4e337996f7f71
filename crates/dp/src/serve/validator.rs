//! Entity tags, dates and conditional requests. Pure.
//!
//! The ETag is the file's digest and strong. Dates are only trusted where they cannot mislead: at
//! an unversioned address a date says nothing about which version it came from (a refresh may
//! bring an *older* file), so there `If-Modified-Since` must equal `Last-Modified` exactly and a
//! date in `If-Range` never matches. Source: RFC 9110 section 13; docs/formats/serving.md, "Conditions".

use jiff::fmt::rfc2822::{DateTimeParser, DateTimePrinter};
use restock_names::Digest;

use super::head::Head;

/// What tells one state of a resource from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validator {
    /// The file's digest.
    pub(crate) digest: Digest,
    /// The entry's modification time in whole seconds since 1970.
    pub(crate) modified_s: i64,
    /// The address names the version, so its bytes never change.
    pub(crate) is_immutable: bool,
}

/// What the conditions of a request lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answer as if there were no condition.
    Proceed,
    /// 304: the client has these bytes.
    NotModified,
    /// 412: the client asked for other bytes.
    Failed,
}

impl Validator {
    /// The ETag as it stands in the header: 64 hex digits in quotes.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}\"", self.digest)
    }

    /// `Last-Modified`; `None` when the time has no such form (before year 0 or after 9999).
    pub(crate) fn last_modified(&self) -> Option<String> {
        http_date(self.modified_s)
    }

    /// Judges `If-Match`, `If-Unmodified-Since`, `If-None-Match` and `If-Modified-Since`, in the order
    /// of the RFC.
    pub(crate) fn judge(&self, head: &Head) -> Outcome {
        let etag = self.etag();
        if head.has("if-match") {
            if !names_tag(head, "if-match", &etag, Comparison::Strong) {
                return Outcome::Failed;
            }
        } else if let Some(since) = head.only("if-unmodified-since").and_then(seconds)
            && !self.is_unmodified_since(since)
        {
            return Outcome::Failed;
        }
        if head.has("if-none-match") {
            return match names_tag(head, "if-none-match", &etag, Comparison::Weak) {
                true => Outcome::NotModified,
                false => Outcome::Proceed,
            };
        }
        let since = head.only("if-modified-since").and_then(seconds);
        match since {
            Some(since) if self.is_unmodified_since(since) => Outcome::NotModified,
            _ => Outcome::Proceed,
        }
    }

    fn is_unmodified_since(&self, since: i64) -> bool {
        since == self.modified_s || (self.is_immutable && self.modified_s <= since)
    }

    /// Whether a `Range` header counts: there is no `If-Range`, or it names this state.
    pub(crate) fn allows_range(&self, head: &Head) -> bool {
        if !head.has("if-range") {
            return true;
        }
        let Some(value) = head.only("if-range") else { return false };
        if value.starts_with(b"\"") || value.starts_with(b"W/") {
            return value == self.etag().as_bytes();
        }
        self.is_immutable && seconds(value) == Some(self.modified_s)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn names_tag(head: &Head, name: &str, etag: &str, comparison: Comparison) -> bool {
    head.all(name).flat_map(|value| value.split(|b| *b == b',')).any(|tag| {
        let tag = tag.trim_ascii();
        let tag = match comparison {
            Comparison::Weak => tag.strip_prefix(b"W/").unwrap_or(tag),
            Comparison::Strong => tag,
        };
        tag == b"*" || tag == etag.as_bytes()
    })
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn http_date(seconds: i64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    DateTimePrinter::new().timestamp_to_rfc9110_string(&time).ok()
}

/// Reads a date of a header; anything that is not one is `None` and ignored.
fn seconds(value: &[u8]) -> Option<i64> {
    DateTimeParser::new().parse_timestamp(value.trim_ascii()).ok().map(|t| t.as_second())
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Validator};
    use crate::serve::head::tests::head;
    use restock_names::Digest;

    const MODIFIED: i64 = 784_111_777;

    fn validator(is_immutable: bool) -> Validator {
        Validator { digest: Digest([0xab; 32]), modified_s: MODIFIED, is_immutable }
    }

    fn judged(is_immutable: bool, lines: &[(&str, &str)]) -> Outcome {
        validator(is_immutable).judge(&head(lines))
    }

    #[test]
    fn the_date_has_the_form_of_the_rfc() {
        assert_eq!(validator(false).last_modified().as_deref(), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    }

    #[test]
    fn if_none_match_compares_tags_and_overrides_the_date() {
        let tag = validator(false).etag();
        for value in [tag.clone(), "*".into(), format!("W/{tag}"), format!("\"x\", {tag}")] {
            assert_eq!(judged(false, &[("if-none-match", &value)]), Outcome::NotModified, "{value}");
        }
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let other = [("if-none-match", "\"x\""), ("if-modified-since", date)];
        assert_eq!(judged(false, &other), Outcome::Proceed);
        let lines = [("if-none-match", "\"x\""), ("if-none-match", tag.as_str())];
        assert_eq!(judged(false, &lines), Outcome::NotModified);
    }

    #[test]
    fn if_match_is_strong() {
        let tag = validator(false).etag();
        assert_eq!(judged(false, &[("if-match", &tag)]), Outcome::Proceed);
        assert_eq!(judged(false, &[("if-match", "*")]), Outcome::Proceed);
        assert_eq!(judged(false, &[("if-match", &format!("W/{tag}"))]), Outcome::Failed);
        assert_eq!(judged(false, &[("if-match", "\"x\"")]), Outcome::Failed);
    }

    #[test]
    fn a_later_date_settles_nothing_at_an_address_that_follows_versions() {
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        let later = "Sun, 06 Nov 1994 08:49:38 GMT";
        let earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
        for (is_immutable, date, want) in [
            (false, same, Outcome::NotModified),
            (false, later, Outcome::Proceed),
            (false, earlier, Outcome::Proceed),
            (true, same, Outcome::NotModified),
            (true, later, Outcome::NotModified),
            (true, earlier, Outcome::Proceed),
            (true, "yesterday", Outcome::Proceed),
            (true, "", Outcome::Proceed),
        ] {
            assert_eq!(judged(is_immutable, &[("if-modified-since", date)]), want, "{date}");
        }
    }

    #[test]
    fn if_range_wants_the_strong_tag_or_a_date_that_cannot_mislead() {
        let tag = validator(false).etag();
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (is_immutable, value, want) in [
            (false, tag.as_str(), true),
            (false, &format!("W/{tag}"), false),
            (false, "\"x\"", false),
            (false, date, false),
            (true, date, true),
            (true, "Sun, 06 Nov 1994 08:49:38 GMT", false),
            (true, "rubbish", false),
        ] {
            let head = head(&[("if-range", value)]);
            assert_eq!(validator(is_immutable).allows_range(&head), want, "{value}");
        }
        assert!(validator(false).allows_range(&head(&[])));
    }
}
