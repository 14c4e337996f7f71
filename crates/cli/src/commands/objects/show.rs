//! Objects as people and programs read them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::output::{Output, Style, guarded};

/// A cell shows no more characters than this; `--json` and `get` show all.
const CELL_CHARS_MAX: usize = 60;

/// Text from a caller as a terminal may show it: NAL paths keep their backslashes.
pub(super) fn text(text: &str) -> String {
    guarded(text)
}

/// One object, a property on each line; system members come first.
pub(super) fn object(object: &Value, style: Style) -> String {
    let Value::Object(members) = object else { return format!("{}\n", cell(object)) };
    let width = members.keys().map(|name| name.len()).max().unwrap_or(0);
    let (system, properties): (Vec<_>, Vec<_>) = members.iter().partition(|(name, _)| name.starts_with("__"));
    let mut text = String::new();
    for (name, value) in system.into_iter().chain(properties) {
        let padding = " ".repeat(width - name.len());
        text.push_str(&format!("{}{padding}  {}\n", style.strong(&guarded(name)), cell(value)));
    }
    text
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => guarded(text),
        other => guarded(&other.to_string()),
    }
}

/// The rows of a query, printed as they come.
///
/// Columns are the properties of the first page's rows, those of a join as `alias.Property`. They
/// are as wide as that page needs; a longer cell further on moves the rest of its line.
pub(super) struct Rows {
    output: Output,
    columns: Vec<(String, usize)>,
    count: u64,
}

impl Rows {
    pub(super) fn new(output: Output) -> Self {
        Self { output, columns: Vec::new(), count: 0 }
    }

    pub(super) fn add(&mut self, page: &[Value]) {
        let mut text = String::new();
        if self.output.json {
            for row in page {
                text.push_str(if self.count == 0 { "[\n" } else { ",\n" });
                text.push_str(&row.to_string());
                self.count += 1;
            }
        } else {
            let rows: Vec<Cow<'_, Map<String, Value>>> =
                page.iter().filter_map(Value::as_object).map(flat).collect();
            if self.count == 0 {
                self.measure(&rows);
                let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
                let heading = self.line(names.into_iter().map(str::to_owned));
                text.push_str(&format!("{}\n", self.output.style.strong(&heading)));
            }
            for row in &rows {
                text.push_str(&self.line(self.columns.iter().map(|(name, _)| column(row, name))));
                text.push('\n');
                self.count += 1;
            }
        }
        self.output.data(&text);
    }

    pub(super) fn end(&self) {
        match (self.output.json, self.count) {
            (true, 0) => self.output.line("[]"),
            (true, _) => self.output.line("\n]"),
            (false, 0) => self.output.talk("No rows.\n"),
            (false, _) => {}
        }
    }

    fn measure(&mut self, rows: &[Cow<'_, Map<String, Value>>]) {
        let names: BTreeSet<&String> = rows.iter().flat_map(|row| row.keys()).collect();
        let width = |name: &String| {
            let cells = rows.iter().map(|row| column(row, name).chars().count());
            cells.max().unwrap_or(0).max(name.chars().count())
        };
        let shown = names.into_iter().filter(|name| !name.starts_with("__"));
        self.columns = shown.map(|name| (name.clone(), width(name))).collect();
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let padded = self.columns.iter().zip(cells).map(|((_, width), cell)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// A row of a join with the properties of its objects side by side; an object that an outer join
/// found no partner for leaves its columns empty.
fn flat(row: &Map<String, Value>) -> Cow<'_, Map<String, Value>> {
    let nested = |value: &Value| value.as_object().is_some_and(|members| members.contains_key("@odata.type"));
    if row.get("__CLASS").is_none_or(|class| class != "__Generic") || !row.values().any(nested) {
        return Cow::Borrowed(row);
    }
    let mut side_by_side = Map::new();
    for (alias, value) in row {
        match value {
            Value::Object(members) => {
                let properties = members.iter().filter(|(name, _)| !name.starts_with('@'));
                side_by_side
                    .extend(properties.map(|(name, value)| (format!("{alias}.{name}"), value.clone())));
            }
            Value::Null => {}
            other => _ = side_by_side.insert(alias.clone(), other.clone()),
        }
    }
    Cow::Owned(side_by_side)
}

fn column(row: &Map<String, Value>, name: &str) -> String {
    let text = row.get(name).map(cell).unwrap_or_default();
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    text.chars().take(CELL_CHARS_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{column, flat, object};
    use crate::output::Style;

    #[test]
    fn an_object_is_escaped_line_by_line() {
        let value = json!({"Name": "\u{1b}[31m<script>", "__RELPATH": "X", "Sizes": [1, 2], "None": null});
        let expected = "__RELPATH  X\nName       \\x1b[31m<script>\nNone       \nSizes      [1,2]\n";
        assert_eq!(object(&value, Style::plain()), expected);
    }

    #[test]
    fn the_objects_of_a_joins_row_stand_side_by_side() {
        let part = json!({"@odata.type": "#AdminService.SMS_Package", "Name": "P1", "PackageID": "XYZ00001"});
        let row = json!({"__CLASS": "__Generic", "__RELPATH": null, "d": null, "p": part});
        let row = flat(row.as_object().unwrap()).into_owned();
        let names: Vec<&String> = row.keys().collect();
        assert_eq!(names, ["__CLASS", "p.Name", "p.PackageID"]);
        assert_eq!((column(&row, "p.Name").as_str(), column(&row, "d.SiteCode").as_str()), ("P1", ""));
    }
}
