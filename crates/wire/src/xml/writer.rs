//! From values to text.

use super::is_char;

/// Writes elements one after the other into a text.
///
/// Everything given as text is escaped, and what XML cannot hold becomes U+FFFD. An element is
/// closed by its own end tag, also when nothing stands in it, unless [`Writer::close_empty`] is
/// asked for: some clients cannot read `<PROPERTY/>`.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
    /// The names of open elements, one after the other, and where each begins.
    names: String,
    begins: Vec<usize>,
    /// The start tag of the last element is not ended.
    is_in_tag: bool,
}

impl Writer {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A document: begins with the XML declaration.
    pub fn document() -> Self {
        Self { out: "<?xml version=\"1.0\" encoding=\"utf-8\"?>".to_owned(), ..Self::default() }
    }

    /// Begins an element. `name` is one of the program's own, with its prefix.
    pub fn open(&mut self, name: &str) {
        self.end_tag();
        self.out.push('<');
        self.out.push_str(name);
        self.begins.push(self.names.len());
        self.names.push_str(name);
        self.is_in_tag = true;
    }

    /// Adds an attribute to the element begun last; nothing may stand in it yet.
    pub fn attribute(&mut self, name: &str, value: &str) {
        debug_assert!(self.is_in_tag, "an attribute stands in a start tag");
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        escape(&mut self.out, value, true);
        self.out.push('"');
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) {
        self.end_tag();
        escape(&mut self.out, text, false);
    }

    /// Adds what another writer made.
    pub fn raw(&mut self, xml: &str) {
        self.end_tag();
        self.out.push_str(xml);
    }

    /// Ends the element begun last.
    pub fn close(&mut self) {
        self.end_tag();
        self.close_begun();
    }

    /// Ends the element begun last; when nothing stands in it, as `<name/>`.
    pub fn close_empty(&mut self) {
        if !self.is_in_tag {
            return self.close_begun();
        }
        self.is_in_tag = false;
        self.out.push_str("/>");
        if let Some(begin) = self.begins.pop() {
            self.names.truncate(begin);
        }
    }

    /// An element with text and nothing else.
    pub fn element(&mut self, name: &str, text: &str) {
        self.open(name);
        self.text(text);
        self.close();
    }

    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True when nothing waits to be taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written since the last time; open elements stay open.
    pub fn take(&mut self) -> String {
        self.end_tag();
        std::mem::take(&mut self.out)
    }

    /// Ends all open elements and gives what was not taken.
    pub fn finish(mut self) -> String {
        while !self.begins.is_empty() {
            self.close();
        }
        self.out
    }

    fn end_tag(&mut self) {
        if std::mem::take(&mut self.is_in_tag) {
            self.out.push('>');
        }
    }

    fn close_begun(&mut self) {
        debug_assert!(!self.begins.is_empty(), "each end has a beginning");
        let Some(begin) = self.begins.pop() else { return };
        self.out.push_str("</");
        self.out.push_str(self.names.get(begin..).unwrap_or_default());
        self.out.push('>');
        self.names.truncate(begin);
    }
}

fn escape(out: &mut String, text: &str, is_attribute: bool) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let instead = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' if is_attribute => "&quot;",
            '\t' if is_attribute => "&#9;",
            '\n' if is_attribute => "&#10;",
            '\r' => "&#13;",
            c if !is_char(c) => "\u{fffd}",
            _ => continue,
        };
        out.push_str(text.get(plain..at).unwrap_or_default());
        out.push_str(instead);
        plain = at.saturating_add(c.len_utf8());
    }
    out.push_str(text.get(plain..).unwrap_or_default());
}
