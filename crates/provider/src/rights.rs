//! What accounts may do: grants, objects, and the operations on them.
//!
//! [`Rights`] are the effective grants of an account, [`require()`] asks for operations on a
//! [`Securable`], and [`Rights::sight`] says what the database shows. Nobody gives more than they
//! hold: [`require_cover`].
//!
//! What it does not do: it signs nobody in and stores nothing. Source: docs/rights.md.

mod grant;
mod held;
pub mod object_types;
pub mod operations;
mod require;
mod sight;

pub use grant::{TooWide, require_cover, require_cover_of_account, require_cover_of_role, settle};
pub use held::{Operations, Rights};
pub use require::{Denied, Securable, require};
