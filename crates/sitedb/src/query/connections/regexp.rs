//! SQLite's `REGEXP`, for which it has the word and no function.
//!
//! `text REGEXP pattern` is true when the pattern is found somewhere in the text, and `NULL` when one of them
//! is. Patterns are those of the crate `regex`; one that stays the same is made once for a statement.

use std::borrow::Cow;

use regex::Regex;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error};

/// Gives the function to a connection.
pub(super) fn register(connection: &Connection) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("regexp", 2, flags, is_found)
}

/// The pattern comes first, although it is written last.
fn is_found(context: &Context<'_>) -> Result<Option<bool>, Error> {
    let (Some(pattern), Some(text)) = (text(context.get_raw(0))?, text(context.get_raw(1))?) else {
        return Ok(None);
    };
    let regex = context.get_or_create_aux(0, |_| Regex::new(&pattern))?;
    Ok(Some(regex.is_match(&text)))
}

/// A value as text; `None` of `NULL`.
fn text(value: ValueRef<'_>) -> Result<Option<Cow<'_, str>>, Error> {
    Ok(Some(match value {
        ValueRef::Null => return Ok(None),
        ValueRef::Integer(number) => number.to_string().into(),
        ValueRef::Real(number) => number.to_string().into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            std::str::from_utf8(bytes).map_err(|error| Error::UserFunctionError(error.into()))?.into()
        }
    }))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    #[test]
    fn a_pattern_is_looked_for_in_text() {
        let connection = Connection::open_in_memory().expect("memory");
        super::register(&connection).expect("the function is taken");
        let ask = |text: &str| {
            connection.query_row(&format!("SELECT {text}"), [], |row| row.get::<_, Option<bool>>(0))
        };
        for (text, expected) in [
            ("'value 2' REGEXP '.*2'", Some(true)),
            ("'value 2' REGEXP 'lue'", Some(true)),
            ("'value 2' REGEXP '^2'", Some(false)),
            ("'Ä' REGEXP '(?i)^ä$'", Some(true)),
            ("42 REGEXP '^4'", Some(true)),
            ("NULL REGEXP 'a'", None),
            ("'a' REGEXP NULL", None),
        ] {
            assert_eq!(ask(text), Ok(expected), "{text}");
        }
        assert!(ask("'a' REGEXP '('").is_err());
        // One statement with several patterns.
        let sum = "SELECT SUM(t REGEXP p) FROM (SELECT 'a' t, 'a' p UNION ALL SELECT 'a', 'b' UNION ALL SELECT 'b', 'b')";
        assert_eq!(connection.query_row(sum, [], |row| row.get::<_, i64>(0)), Ok(2));
    }
}
