//! Collections, written while they are read.
//!
//! The head of an answer is sent when the first row is there; so what the query is refused for is
//! a proper refusal, and only what happens later breaks an answer that has begun. At any time one
//! piece is in memory; the next is made when the client has taken it.

use bytes::Bytes;
use futures_util::stream;
use restock_cim::{Instance, Name};
use restock_provider::{Refusal, Rows};
use restock_wire::odata::{Selection, Shown};

use crate::content::{Broken, Pieces};
use crate::page::{Paged, Place};

/// Bytes of one piece; a row may come on top.
const PIECE_BYTES: usize = 16 * 1024;

/// A collection to be written.
pub(crate) struct Collection {
    pub(crate) rows: Rows,
    pub(crate) shown: Shown,
    pub(crate) selection: Selection,
    /// `@odata.context`.
    pub(crate) context: String,
    /// `@odata.count`.
    pub(crate) count: Option<u64>,
    /// `None`: the whole collection.
    pub(crate) page: Option<Page>,
    /// For the log.
    pub(crate) correlation: String,
}

/// Makes the address of the page after a place; `None` without randomness.
pub(crate) type NextLink = Box<dyn Fn(&Place) -> Option<String> + Send>;

/// A page of a collection.
pub(crate) struct Page {
    pub(crate) paged: Paged,
    /// The address of the next page, once the place is known where this one ends.
    pub(crate) next: NextLink,
}

struct Writing {
    collection: Collection,
    first: Option<Instance>,
    last: Option<Instance>,
    written: u64,
    is_over: bool,
}

impl Collection {
    /// Reads the first row and makes the rest a stream.
    ///
    /// Errors: the query failed before any row.
    pub(crate) async fn start(mut self) -> Result<Pieces, Refusal> {
        let first = self.rows.next().await.transpose()?;
        let writing = Writing { first, last: None, written: 0, is_over: false, collection: self };
        Ok(Box::pin(stream::unfold(Some(writing), |writing| async move {
            let mut writing = writing.filter(|writing| !writing.is_over)?;
            match writing.piece().await {
                Ok(piece) => Some((Ok(piece), Some(writing))),
                Err(refusal) => {
                    tracing::error!(
                        target: "adminservice",
                        correlation = %writing.collection.correlation,
                        code = refusal.code(),
                        "an answer broke off: {}", refusal.description()
                    );
                    Some((Err(Broken), None))
                }
            }
        })))
    }
}

impl Writing {
    async fn piece(&mut self) -> Result<Bytes, Refusal> {
        let mut out = String::with_capacity(PIECE_BYTES + PIECE_BYTES / 4);
        if self.written == 0 && self.last.is_none() {
            self.begin(&mut out);
        }
        while out.len() < PIECE_BYTES {
            let row = match self.first.take() {
                Some(row) => Some(row),
                None => self.collection.rows.next().await.transpose()?,
            };
            let Some(row) = row else {
                self.end(&mut out, false);
                break;
            };
            if self.collection.page.as_ref().is_some_and(|page| self.written >= page.paged.rows) {
                self.end(&mut out, true);
                break;
            }
            self.row(&mut out, row);
        }
        Ok(out.into())
    }

    fn begin(&mut self, out: &mut String) {
        out.push_str("{\"@odata.context\":");
        out.push_str(&json_text(&self.collection.context));
        if let Some(count) = self.collection.count {
            out.push_str(&format!(",\"@odata.count\":{count}"));
        }
        out.push_str(",\"value\":[");
    }

    fn row(&mut self, out: &mut String, mut row: Instance) {
        if self.written > 0 {
            out.push(',');
        }
        self.written += 1;
        let Some(page) = &self.collection.page else {
            self.collection.shown.write(out, &row, &self.collection.selection, None);
            return;
        };
        if self.written == page.paged.rows {
            self.last = Some(row.clone());
        }
        hide(&mut row, &page.paged.hidden);
        self.collection.shown.write(out, &row, &self.collection.selection, None);
    }

    fn end(&mut self, out: &mut String, has_more: bool) {
        self.is_over = true;
        out.push(']');
        if has_more
            && let Some(page) = &self.collection.page
            && let Some(place) = self.last.as_ref().and_then(|row| page.paged.place_after(row))
            && let Some(next) = (page.next)(&place)
        {
            out.push_str(",\"@odata.nextLink\":");
            out.push_str(&json_text(&next));
        }
        out.push('}');
    }
}

/// Makes the named properties as if they had not been read.
fn hide(row: &mut Instance, names: &[Name]) {
    for name in names {
        if let Some(place) = row.class.property_index(name.as_str()).and_then(|at| row.values.get_mut(at)) {
            *place = None;
        }
    }
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
