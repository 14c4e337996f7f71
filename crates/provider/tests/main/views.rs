//! The views beside the declarations: the same columns, values that can be read, indexes that are used.

mod columns;
mod plans;
mod server;
pub(crate) mod world;
