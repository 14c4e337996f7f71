//! The SMS Provider: what a command or a front door may ask of a site.
//!
//! The object API ([`object`]) reads, queries, writes, deletes and calls the objects of the
//! declared classes ([`classes`]) for a [`Caller`], and refuses with a [`Refusal`].
//! [`Provider::perform`] is the API of the site's own commands; it takes an [`Operation`] and
//! gives an [`Answer`] or an [`OperationError`].
//! Each operation writes its intent in one transaction and returns; the loops of `restock-site`
//! make it true. Nothing here touches files or the network, and nothing reads a package's source.
//!
//! [`rows`] holds what answers consist of; they are what the control socket sends as JSON.

pub mod account;
pub mod admin;
pub mod audit;
pub mod classes;
mod distribution;
mod error;
mod errors;
pub mod object;
mod operation;
mod ownership;
mod packages;
mod perform;
mod refreshing;
pub mod rights;
pub mod rows;
mod sources;
mod views;

pub use error::{ErrorKind, OperationError};
pub use errors::{CoreStatus, ExtendedStatus, Refusal, document as errors_document};
pub use object::{
    Caller, Compatibility, Door, MethodAnswer, MethodCall, MethodFailure, ProviderConfig, Put, PutForm, Rows,
    relative_path_of,
};
pub use operation::{Answer, Call, NewPackage, NewSourceRoot, Operation, PackageChange, Share};
pub use perform::Provider;
pub use restock_sitedb::Why;
pub use restock_sitedb::message::Severity;
pub use restock_sitedb::state::TargetState;
