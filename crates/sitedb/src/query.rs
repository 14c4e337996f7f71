//! Queries over the classes' views: what may be asked, by whom, and the rows that come back.
//!
//! A resolved query together with a [`Sight`] becomes an [`Allowed`], the only thing that has SQL
//! (`compile`); [`crate::Database::query`] runs it on a connection that can only read and
//! answers with [`Rows`].
//!
//! What it does not do: it knows no names of people or roles. Whoever calls says what may be seen.

mod compile;
pub(crate) mod connections;
mod decode;
mod dialect;
mod failed;
mod rows;
pub(crate) mod sight;
mod sql;

pub use compile::{Allowed, PRODUCT_ROWS_MAX, Statement};
pub use failed::QueryFailed;
pub use rows::{QueryOptions, Rows};
pub use sight::{Listed, Seen, Sight};
