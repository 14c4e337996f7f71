//! OData v4 in JSON, as the AdminService speaks it.
//!
//! A request: [`Route`] says what a path names, [`read_json`] and [`Body`] what a body says by the
//! declarations. An answer: [`Shown`] writes instances, method answers and documents;
//! [`metadata()`] describes all classes; [`ErrorBody`] a refusal.
//!
//! Source: docs/formats/adminservice.md; OData 4.01 URL conventions and JSON format.

mod address;
mod answer;
pub(crate) mod body;
mod entity;
mod error;
pub mod filter;
mod json;
mod keys;
mod metadata;
mod options;
pub(crate) mod time;
pub(crate) mod value;

pub use address::{AddressError, Route, SegmentKey, fuzz_one as fuzz_path};
pub use answer::{ServiceDocument, method_answer, service_document};
pub use body::{Body, BodyError, BodyForm, fuzz_one as fuzz_body};
pub use entity::{Selection, Shown, address_of, etag, path_etag};
pub use error::{ErrorBody, http_status};
pub use json::{Json, JsonError, read_json};
pub use keys::{KeyError, path_of};
pub use metadata::{empty_metadata, entity_sets, metadata};
pub use options::QueryOptions;

/// The namespace of all types in documents.
pub const NAMESPACE: &str = "AdminService";
