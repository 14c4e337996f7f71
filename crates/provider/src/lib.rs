//! The operations of the SMS Provider: what a command or a front door may ask of a site.
//!
//! [`Provider::perform`] takes an [`Operation`] and gives an [`Answer`] or an [`OperationError`].
//! Each operation writes its intent in one transaction and returns; the loops of `restock-site`
//! make it true. Nothing here touches files or the network, and nothing reads a package's source.
//!
//! [`rows`] holds what answers consist of; they are what the control socket sends as JSON.

mod distribution;
mod error;
mod operation;
mod packages;
mod perform;
mod refreshing;
pub mod rows;
mod sources;
mod views;

pub use error::{ErrorKind, OperationError};
pub use operation::{Answer, Call, NewPackage, NewSourceRoot, Operation, PackageChange};
pub use perform::Provider;
pub use restock_sitedb::Why;
pub use restock_sitedb::message::Severity;
pub use restock_sitedb::state::TargetState;
