//! What a management object is: CIM values, class declarations, object paths and queries.
//!
//! [`Value`] and [`Instance`] are the data; [`Class`] and [`Schema`] the declarations, read from
//! MOF text; [`ObjectPath`] names an instance; [`query::Query`] is the one syntax tree that every
//! query language becomes; [`schedule`] holds schedule tokens and their arithmetic.
//!
//! What it does not do: no I/O, no clock, no rights, no SQL.

mod class;
mod datetime;
mod instance;
mod mof;
mod name;
mod path;
pub mod query;
pub mod schedule;
mod schema;
mod status;
mod value;
mod values;

pub use class::{Class, Direction, Method, Parameter, Property, Qualifier};
pub use datetime::{DateTime, DateTimeError};
pub use instance::Instance;
pub use mof::{MofError, fuzz_one as fuzz_mof};
pub use name::Name;
pub use path::{KeyValue, Keys, ObjectPath, PathError, fuzz_one as fuzz_path};
pub use schema::Schema;
pub use status::Status;
pub use value::{CimType, DataType, TypeError, Value};
pub use values::{Values, ValuesIter};
