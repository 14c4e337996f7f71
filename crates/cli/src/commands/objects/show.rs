//! Objects as people and programs read them.

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
/// Columns are the properties of the first row. They are as wide as the first page of rows needs;
/// a longer cell further on moves the rest of its line.
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
            if self.count == 0 {
                self.measure(page);
                let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
                let heading = self.line(names.into_iter().map(str::to_owned));
                text.push_str(&format!("{}\n", self.output.style.strong(&heading)));
            }
            for row in page.iter().filter_map(Value::as_object) {
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

    fn measure(&mut self, page: &[Value]) {
        let rows: Vec<&Map<String, Value>> = page.iter().filter_map(Value::as_object).collect();
        let names = rows.first().map(|row| row.keys().filter(|name| !name.starts_with("__")));
        let width = |name: &String| {
            let cells = rows.iter().map(|row| column(row, name).chars().count());
            cells.max().unwrap_or(0).max(name.chars().count())
        };
        self.columns = names.into_iter().flatten().map(|name| (name.clone(), width(name))).collect();
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let padded = self.columns.iter().zip(cells).map(|((_, width), cell)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
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

    use super::object;
    use crate::output::Style;

    #[test]
    fn an_object_is_escaped_line_by_line() {
        let value = json!({"Name": "\u{1b}[31m<script>", "__RELPATH": "X", "Sizes": [1, 2], "None": null});
        let expected = "__RELPATH  X\nName       \\x1b[31m<script>\nNone       \nSizes      [1,2]\n";
        assert_eq!(object(&value, Style::plain()), expected);
    }
}
