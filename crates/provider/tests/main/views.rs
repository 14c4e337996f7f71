//! The views beside the declarations: the same columns, values that can be read, indexes that are used.

mod columns;
mod plans;
#[path = "../../../sitedb/tests/main/server.rs"]
mod server;
pub(crate) mod world;
