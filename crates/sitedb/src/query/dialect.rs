//! What the two engines spell differently in queries and views.

use restock_cim::CimType;
use restock_cim::query::{Pattern, PatternPart};

use crate::Engine;

/// What a column holds, as far as the engines must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    Integer,
    Real,
    Text,
    Bytes,
}

impl Storage {
    /// What a column of a property holds.
    pub(crate) fn of(cim: CimType, is_array: bool) -> Self {
        match (cim, is_array) {
            (CimType::UInt8, true) => Self::Bytes,
            (_, true) | (CimType::String | CimType::Reference | CimType::Object, false) => Self::Text,
            (CimType::Real32 | CimType::Real64, false) => Self::Real,
            _ => Self::Integer,
        }
    }
}

impl Engine {
    pub(crate) fn drop_view(self, name: &str) -> String {
        match self {
            Self::Sqlite => format!("DROP VIEW IF EXISTS \"{name}\""),
            Self::Postgres => format!("DROP VIEW IF EXISTS \"{name}\" CASCADE"),
        }
    }

    pub(crate) fn list_tables(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Self::Postgres => {
                "SELECT CAST(table_name AS TEXT) AS name FROM information_schema.tables
                 WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
            }
        }
    }

    /// What stands around a column so that it arrives in one type; PostgreSQL alone has several
    /// widths of numbers.
    pub(crate) fn cast(self, storage: Storage) -> (&'static str, &'static str) {
        match (self, storage) {
            (Self::Sqlite, _) => ("", ""),
            (Self::Postgres, Storage::Integer) => ("CAST(", " AS BIGINT)"),
            (Self::Postgres, Storage::Real) => ("CAST(", " AS DOUBLE PRECISION)"),
            (Self::Postgres, Storage::Text) => ("CAST(", " AS TEXT)"),
            (Self::Postgres, Storage::Bytes) => ("CAST(", " AS BYTEA)"),
        }
    }

    /// What stands before a column that other branches of a union have no value for: SQLite looks into
    /// the branches, and into their indexes, only when their columns have one affinity.
    pub(crate) fn plain(self) -> &'static str {
        match self {
            Self::Sqlite => "+",
            Self::Postgres => "",
        }
    }

    /// What stands around a text so that it is ordered by its bytes, A to Z like a to z: the order
    /// of SQLite's collation `nocase`, which indexes there have.
    pub(crate) fn order_text(self) -> (&'static str, &'static str) {
        match self {
            Self::Sqlite => ("", " COLLATE nocase"),
            Self::Postgres => ("lower((", ") COLLATE \"C\") COLLATE \"C\""),
        }
    }

    /// What follows an ordered expression so that rows without a value come first.
    pub(crate) fn nulls(self, is_descending: bool) -> &'static str {
        match (self, is_descending) {
            (Self::Sqlite, false) => "",
            (Self::Sqlite, true) => " DESC",
            (Self::Postgres, false) => " NULLS FIRST",
            (Self::Postgres, true) => " DESC NULLS LAST",
        }
    }

    /// The elements of a JSON array, as `e.value`.
    pub(crate) fn elements(self) -> (&'static str, &'static str) {
        match self {
            Self::Sqlite => ("json_each(", ") AS e"),
            Self::Postgres => ("jsonb_array_elements_text(CAST(", " AS JSONB)) AS e(value)"),
        }
    }

    /// A whole number among the elements; truth values count as 0 and 1.
    pub(crate) fn element_integer(self) -> &'static str {
        match self {
            Self::Sqlite => "e.value",
            Self::Postgres => {
                "CAST(CASE e.value WHEN 'true' THEN '1' WHEN 'false' THEN '0' ELSE e.value END AS NUMERIC)"
            }
        }
    }

    /// `strftime` or `extract` of UTC seconds: a part of the calendar as a whole number.
    pub(crate) fn calendar(self, part: Calendar) -> (&'static str, &'static str) {
        match (self, part) {
            (Self::Sqlite, Calendar::Year) => ("CAST(strftime('%Y', ", ", 'unixepoch') AS INTEGER)"),
            (Self::Sqlite, Calendar::Month) => ("CAST(strftime('%m', ", ", 'unixepoch') AS INTEGER)"),
            (Self::Sqlite, Calendar::Day) => ("CAST(strftime('%d', ", ", 'unixepoch') AS INTEGER)"),
            (Self::Sqlite, Calendar::DayOfYear) => ("CAST(strftime('%j', ", ", 'unixepoch') AS INTEGER)"),
            (Self::Postgres, Calendar::Year) => {
                ("CAST(extract(year FROM to_timestamp(", ") AT TIME ZONE 'UTC') AS BIGINT)")
            }
            (Self::Postgres, Calendar::Month) => {
                ("CAST(extract(month FROM to_timestamp(", ") AT TIME ZONE 'UTC') AS BIGINT)")
            }
            (Self::Postgres, Calendar::Day) => {
                ("CAST(extract(day FROM to_timestamp(", ") AT TIME ZONE 'UTC') AS BIGINT)")
            }
            (Self::Postgres, Calendar::DayOfYear) => {
                ("CAST(extract(doy FROM to_timestamp(", ") AT TIME ZONE 'UTC') AS BIGINT)")
            }
        }
    }

    /// The greater and the lesser of two numbers.
    pub(crate) fn greatest(self) -> &'static str {
        match self {
            Self::Sqlite => "max(",
            Self::Postgres => "GREATEST(",
        }
    }

    /// Around a place in a text, which may lie far outside of it.
    pub(crate) fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Sqlite => ("", ""),
            Self::Postgres => ("CAST(LEAST(", ", 2147483647) AS INTEGER)"),
        }
    }

    /// How a pattern is matched.
    pub(crate) fn like(self, pattern: &Pattern) -> Like {
        let has_set = pattern.0.iter().any(|part| matches!(part, PatternPart::Set { .. }));
        let is_ascii =
            pattern.0.iter().all(|part| !matches!(part, PatternPart::Text(text) if !text.is_ascii()));
        match self {
            // SQLite's own LIKE knows the letter case of ASCII only.
            Self::Sqlite if has_set || !is_ascii => {
                Like { before: "(", between: " REGEXP ", after: ")", pattern: self.expression(pattern) }
            }
            Self::Sqlite => {
                // The sign keeps the planner from looking at the pattern: it would plan anew for each.
                Like { before: "(", between: " LIKE +", after: " ESCAPE '\\')", pattern: escaped(pattern) }
            }
            // Collations without letter case cannot match patterns.
            Self::Postgres if has_set => Like {
                before: "((",
                between: ") COLLATE \"und-x-icu\" ~* ",
                after: ")",
                pattern: self.expression(pattern),
            },
            Self::Postgres => Like {
                before: "((",
                between: ") COLLATE \"und-x-icu\" ILIKE ",
                after: " ESCAPE '\\')",
                pattern: escaped(pattern),
            },
        }
    }

    /// The range in which all texts of a pattern lie by the order of SQLite's collation `nocase`.
    /// PostgreSQL's has no such order.
    pub(crate) fn like_range(self, pattern: &Pattern) -> Option<LikeRange> {
        let Some(PatternPart::Text(text)) = pattern.0.first().filter(|_| self == Self::Sqlite) else {
            return None;
        };
        let first: String = text.chars().take_while(char::is_ascii).collect::<String>().to_ascii_lowercase();
        let mut end = first.clone().into_bytes();
        let last = end.last_mut().filter(|last| **last < 0x7f)?;
        *last += 1;
        // 'A' follows '@' and is ordered as 'a', behind the signs between the two. A NUL ends a pattern.
        let is_all = matches!(pattern.0.as_slice(), [PatternPart::Text(text), PatternPart::Any] if text.is_ascii())
            && !first.ends_with('@')
            && !first.contains('\0');
        Some(LikeRange { end: String::from_utf8(end).ok()?, first, is_all })
    }

    /// Whether a text equals others without letter case must be asked by a regular expression.
    pub(crate) fn needs_expression(self, text: &str) -> bool {
        self == Self::Sqlite && !text.is_ascii()
    }

    /// The regular expression for exactly this text.
    pub(crate) fn exactly(self, text: &str) -> String {
        self.expression(&Pattern(vec![PatternPart::Text(text.to_owned())]))
    }

    /// The regular expression of a pattern: that of the crate `regex` for SQLite, an advanced one
    /// of PostgreSQL (matched by `~*`).
    fn expression(self, pattern: &Pattern) -> String {
        let mut text = String::from(if self == Self::Sqlite { "(?is)^" } else { "^" });
        for part in &pattern.0 {
            match part {
                PatternPart::Text(literal) => literal.chars().for_each(|c| self.push_char(c, &mut text)),
                PatternPart::Any => text.push_str(".*"),
                PatternPart::One => text.push('.'),
                PatternPart::Set { is_negated, ranges } => self.push_set(*is_negated, ranges, &mut text),
            }
        }
        text.push('$');
        text
    }

    fn push_set(self, is_negated: bool, ranges: &[(char, char)], text: &mut String) {
        let ranges: Vec<_> = ranges.iter().filter(|(first, last)| first <= last).collect();
        if ranges.is_empty() {
            // No character lies in no range; every one lies outside.
            text.push_str(match (is_negated, self) {
                (true, _) => ".",
                (false, Self::Sqlite) => r"\z.",
                (false, Self::Postgres) => r"\Z.",
            });
            return;
        }
        text.push_str(if is_negated { "[^" } else { "[" });
        for (first, last) in ranges {
            self.push_char(*first, text);
            if first != last {
                text.push('-');
                self.push_char(*last, text);
            }
        }
        text.push(']');
    }

    fn push_char(self, c: char, text: &mut String) {
        use std::fmt::Write as _;
        if c.is_ascii_alphanumeric() || c == ' ' {
            text.push(c);
            return;
        }
        let code = u32::from(c);
        match self {
            Self::Sqlite => write!(text, "\\x{{{code:x}}}"),
            Self::Postgres if code <= 0xffff => write!(text, "\\u{code:04x}"),
            Self::Postgres => write!(text, "\\U{code:08x}"),
        }
        .expect("writing to a String cannot fail");
    }
}

/// A range of texts.
pub(crate) struct LikeRange {
    pub(crate) first: String,
    /// The first text behind it.
    pub(crate) end: String,
    /// Whether all its texts match, so that nothing else need be asked.
    pub(crate) is_all: bool,
}

/// `before` TEXT `between` PATTERN `after`.
pub(crate) struct Like {
    pub(crate) before: &'static str,
    pub(crate) between: &'static str,
    pub(crate) after: &'static str,
    pub(crate) pattern: String,
}

/// The pattern of a plain `LIKE … ESCAPE '\'`.
fn escaped(pattern: &Pattern) -> String {
    let mut text = String::new();
    for part in &pattern.0 {
        match part {
            PatternPart::Text(literal) => {
                for c in literal.chars() {
                    if matches!(c, '%' | '_' | '\\') {
                        text.push('\\');
                    }
                    text.push(c);
                }
            }
            PatternPart::Any => text.push('%'),
            PatternPart::One | PatternPart::Set { .. } => text.push('_'),
        }
    }
    text
}

/// Parts of the calendar that an engine knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calendar {
    Year,
    Month,
    Day,
    DayOfYear,
}
