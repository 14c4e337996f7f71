//! The database at its two doors, on SQLite always and on PostgreSQL when a server can be started.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod admin;
mod doors;
mod groups;
mod query;
mod replicas;
mod samples;
mod server;
mod statements;
