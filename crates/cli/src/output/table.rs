//! Columns of text for people.

use super::Style;

/// Rows of cells under headings, aligned by the widest cell.
///
/// Shape: headings that begin with `>` are aligned right. The last column is not padded.
/// Cells are shown as they are: escape what came from callers before.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<(String, bool)>,
    rows: Vec<Vec<Cell>>,
}

#[derive(Debug)]
struct Cell {
    text: String,
    tone: Tone,
}

/// What a cell's colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// No colour.
    Plain,
    /// As wanted.
    Good,
    /// Under way.
    Busy,
    /// Failed.
    Bad,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings = headings
            .iter()
            .map(|h| h.strip_prefix('>').map_or(((*h).to_owned(), false), |h| (h.to_owned(), true)))
            .collect();
        Self { headings, rows: Vec::new() }
    }

    /// Adds a row; `tone` colours the cell in `column`.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N], tone: Option<(usize, Tone)>) {
        let cells = cells
            .into_iter()
            .enumerate()
            .map(|(i, text)| Cell { text, tone: tone.filter(|(c, _)| *c == i).map_or(Tone::Plain, |t| t.1) })
            .collect();
        self.rows.push(cells);
    }

    /// The table as lines; `nothing` when it has no rows.
    pub(crate) fn text(&self, style: Style, nothing: &str) -> String {
        if self.rows.is_empty() {
            return format!("{nothing}\n");
        }
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column)).map(|c| c.text.chars().count());
            cells.max().unwrap_or(0).max(self.headings[column].0.chars().count())
        };
        let widths: Vec<usize> = (0..self.headings.len()).map(width).collect();
        let mut text = String::new();
        let heading =
            |(i, (h, right)): (usize, &(String, bool))| style.strong(&self.pad(i, h, widths[i], *right));
        let line: Vec<String> = self.headings.iter().enumerate().map(heading).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
        for row in &self.rows {
            let cell = |(i, c): (usize, &Cell)| {
                let padded = self.pad(i, &c.text, widths[i], self.headings[i].1);
                match c.tone {
                    Tone::Plain => padded,
                    Tone::Good => style.good(&padded),
                    Tone::Busy => style.busy(&padded),
                    Tone::Bad => style.bad(&padded),
                }
            };
            let line: Vec<String> = row.iter().enumerate().map(cell).collect();
            text.push_str(line.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    fn pad(&self, column: usize, text: &str, width: usize, right: bool) -> String {
        let fill = " ".repeat(width.saturating_sub(text.chars().count()));
        match (right, column + 1 == self.headings.len()) {
            (true, _) => format!("{fill}{text}"),
            (false, true) => text.to_owned(),
            (false, false) => format!("{text}{fill}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::{Table, Tone};
    use crate::output::Style;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["Name", ">Size", "State"]);
        table.row(["a".into(), "1 B".into(), "installed".into()], Some((2, Tone::Good)));
        table.row(["longer name".into(), "12.3 MiB".into(), String::new()], None);
        expect![[r#"
            Name             Size  State
            a                 1 B  installed
            longer name  12.3 MiB
        "#]]
        .assert_eq(&table.text(Style::plain(), "nothing"));
        assert_eq!(Table::new(&["A"]).text(Style::plain(), "No packages."), "No packages.\n");
    }
}
