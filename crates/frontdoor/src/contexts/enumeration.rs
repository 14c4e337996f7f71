//! Rows that are read piece by piece.

use std::collections::VecDeque;
use std::sync::Arc;

use restock_cim::query::{Query, Select};
use restock_cim::{Class, Instance};
use restock_provider::{Caller, Provider, Refusal};

use crate::page::{Paged, Place};

/// Rows of one piece at most, whatever is asked for.
pub(crate) const PIECE_ROWS_MAX: usize = 1_000;
/// Rows that are kept of a query that cannot be cut into pieces (a join, `DISTINCT`, a class
/// without keys).
pub(crate) const KEPT_ROWS_MAX: usize = 10_000;

/// Where an enumeration stands.
#[derive(Debug)]
pub(crate) struct Enumeration {
    /// Queries whose rows follow, the present one first.
    queries: VecDeque<Query>,
    /// Where the present one goes on.
    place: Option<Place>,
    /// Rows that were read and not given out.
    kept: VecDeque<Instance>,
    /// Rows that may still be given out; `None`: all.
    left: Option<u64>,
}

/// Some rows.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) rows: Vec<Instance>,
    /// No row follows.
    pub(crate) is_over: bool,
}

/// Why no piece is given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PieceError {
    /// The provider refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The query must be kept whole and has too many rows.
    #[error(
        "QUERY_LIMIT: the query cannot be read piece by piece beyond {KEPT_ROWS_MAX} rows; read it at once, or ask for less"
    )]
    TooManyRows,
}

impl Enumeration {
    /// The rows of `queries`, one query after the other.
    pub(crate) fn of(queries: impl IntoIterator<Item = Query>) -> Self {
        Self { queries: queries.into_iter().collect(), place: None, kept: VecDeque::new(), left: None }
    }

    /// Rows that are there already.
    pub(crate) fn of_rows(rows: impl IntoIterator<Item = Instance>) -> Self {
        Self { queries: VecDeque::new(), place: None, kept: rows.into_iter().collect(), left: None }
    }

    /// The same with so many rows at most.
    pub(crate) fn at_most(self, rows: Option<u64>) -> Self {
        Self { left: rows, ..self }
    }

    /// The next rows: up to `rows` of them and never more than [`PIECE_ROWS_MAX`]; with 0 none.
    ///
    /// Errors: what the provider refuses; the enumeration is then of no more use.
    pub(crate) async fn next(
        &mut self,
        provider: &Provider,
        caller: &Caller,
        rows: usize,
    ) -> Result<Piece, PieceError> {
        let allowed = self.left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        let wanted = rows.min(PIECE_ROWS_MAX).min(allowed);
        let mut piece = Vec::new();
        // One row more than wanted tells whether another follows.
        while piece.len() <= wanted {
            if let Some(row) = self.kept.pop_front() {
                piece.push(row);
                continue;
            }
            if self.queries.is_empty() {
                break;
            }
            self.read(provider, caller, wanted.saturating_add(1) - piece.len()).await?;
        }
        let is_over = piece.len() <= wanted || wanted == allowed;
        let rest = piece.split_off(wanted.min(piece.len()));
        rest.into_iter().rev().for_each(|row| self.kept.push_front(row));
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Ok(Piece { rows: piece, is_over })
    }

    /// Puts rows back to the front, in their order: they did not fit into the answer.
    pub(crate) fn give_back(&mut self, rows: Vec<Instance>) {
        self.left = self.left.map(|left| left.saturating_add(rows.len() as u64));
        for row in rows.into_iter().rev() {
            self.kept.push_front(row);
        }
    }

    /// Reads rows of the present query into `kept`, or finds that it has no more.
    async fn read(&mut self, provider: &Provider, caller: &Caller, rows: usize) -> Result<(), PieceError> {
        let Some(query) = self.queries.front() else { return Ok(()) };
        let mut cut = query.clone();
        let class = provider.schema().class(query.from.first.class.as_str());
        let paged = class
            .filter(|_| is_seekable(query))
            .and_then(|class| Paged::cut(&mut cut, class, rows, self.place.take()));
        match paged {
            Some(paged) => {
                let mut rows = provider.query(caller, cut).await?.all().await?;
                let most = usize::try_from(paged.rows).unwrap_or(usize::MAX);
                if rows.len() > most {
                    rows.truncate(most);
                    let place = rows.last().and_then(|row| paged.place_after(row));
                    self.place = Some(place.ok_or(PieceError::TooManyRows)?);
                } else {
                    self.queries.pop_front();
                }
                self.kept.extend(rows.into_iter().map(|row| hidden(row, &paged)));
            }
            None => {
                let mut rows = provider.query(caller, query.clone()).await?;
                while let Some(row) = rows.next().await {
                    if self.kept.len() >= KEPT_ROWS_MAX {
                        return Err(PieceError::TooManyRows);
                    }
                    self.kept.push_back(row?);
                }
                self.queries.pop_front();
            }
        }
        Ok(())
    }
}

/// True for a query that can go on after a row: one class, each row for itself.
fn is_seekable(query: &Query) -> bool {
    query.from.joins.is_empty() && !query.is_distinct && !matches!(query.select, Select::Count(_))
}

/// A row without what was read for its order alone.
fn hidden(mut row: Instance, paged: &Paged) -> Instance {
    let class: Arc<Class> = Arc::clone(&row.class);
    for name in &paged.hidden {
        if let Some(value) = class.property_index(name.as_str()).and_then(|at| row.values.get_mut(at)) {
            *value = None;
        }
    }
    row
}
