//! The operations over a SQLite database: what a call makes visible, refuses and answers twice.

#![allow(clippy::unwrap_used, reason = "tests")]

mod packages;
mod refreshing;
mod site;
mod sources;
mod targets;
