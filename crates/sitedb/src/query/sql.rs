//! A statement being written: text of this program and bound values, nothing else.

use crate::Engine;

/// A value bound to a statement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    Int(i64),
    Real(f64),
    Text(String),
}

/// The text written so far and the values bound to its `$1`, `$2`, ….
///
/// What a caller wrote gets into a statement by [`Sql::bind`] alone; names of classes and
/// properties by [`Sql::name`], in their declared spelling.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    pub(crate) engine: Engine,
    pub(crate) text: String,
    pub(crate) values: Vec<Bound>,
}

impl Sql {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, text: String::with_capacity(1024), values: Vec::new() }
    }

    /// Adds text of this program.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a number of this program.
    pub(crate) fn number(&mut self, number: impl std::fmt::Display) -> &mut Self {
        use std::fmt::Write as _;
        write!(self.text, "{number}").expect("writing to a String cannot fail");
        self
    }

    /// Adds a placeholder for `value`.
    pub(crate) fn bind(&mut self, value: Bound) -> &mut Self {
        self.values.push(value);
        let place = self.values.len();
        self.push("$").number(place)
    }

    /// Adds a name in double quotes.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.text.push('"');
        for c in name.chars() {
            self.text.push(c);
            if c == '"' {
                self.text.push('"');
            }
        }
        self.text.push('"');
        self
    }

    /// Adds each item by `write`, with `between` between them.
    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        between: &str,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(between);
            }
            write(self, item);
        }
        self
    }
}
