//! The operations over a SQLite database: what a call makes visible, refuses and answers twice.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod accounts;
mod audit;
mod conformance;
mod counters;
mod declarations;
mod live;
mod objects;
mod packages;
mod queries;
mod refreshing;
mod rights;
mod site;
mod sites;
mod sources;
mod targets;
mod views;
