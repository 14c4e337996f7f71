//! The site database: tables, migrations, transactions, leases. The only crate that runs SQL.
//!
//! [`Database`] opens SQLite or PostgreSQL and has two doors: [`Database::transact`] changes
//! things, [`Database::read`] looks at one consistent state. Both hand out a [`Tx`], on which the
//! modules below put their statements: [`package`], [`refresh`], [`schedule`], [`version`],
//! [`point`], [`target`], [`group`], [`program`], [`source_root`], [`token`], [`message`],
//! [`request`], [`site`], [`loops`], [`admin`], [`audit`]. [`query`] compiles questions of front
//! doors to SQL.
//!
//! Two modules are pure and decide what rows may become: [`state`] (one state per
//! package and distribution point) and [`refresh::Refresh`] (which requests a run covers).
//!
//! What it does not do: it reads no clock, no files and no configuration, and knows nothing of
//! rights. Source: docs/formats/database.md.

pub mod admin;
pub mod announced;
pub mod audit;
mod checkpoint;
pub mod copies;
mod database;
mod engine;
mod error;
mod fact;
pub mod group;
pub mod hierarchy;
pub mod loops;
pub mod message;
mod migration;
mod own_text;
pub mod package;
pub mod point;
pub mod program;
pub mod query;
mod recovery;
pub mod refresh;
pub mod replica;
pub mod request;
pub mod schedule;
pub mod site;
pub mod source_root;
pub mod state;
mod statistics;
pub mod target;
pub mod token;
mod tx;
pub mod version;
mod view;
mod why;
mod writer;

pub use database::{Database, Wake, WakeListener};
pub use engine::Engine;
pub use error::{DatabaseError, StopCause};
pub use tx::Tx;
pub use view::{View, Views};
pub use why::Why;
