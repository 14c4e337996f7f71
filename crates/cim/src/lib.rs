//! What a management object is: CIM values, class declarations, object paths and queries.
//!
//! [`Value`] and [`Instance`] are the data; [`Class`] and [`Schema`] the declarations, read from
//! MOF text; [`ObjectPath`] names an instance; [`query::Query`] is the one syntax tree that every
//! query language becomes.
//!
//! What it does not do: no I/O, no clock, no rights, no SQL.

mod class;
mod datetime;
mod instance;
mod name;
mod path;
pub mod query;
mod value;

pub use class::{Class, Direction, Method, Parameter, Property, Qualifier};
pub use datetime::DateTime;
pub use instance::Instance;
pub use name::Name;
pub use path::{KeyValue, Keys, ObjectPath};
pub use value::{CimType, DataType, Value};
