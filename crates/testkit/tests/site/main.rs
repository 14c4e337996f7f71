//! A site over real files and a real database; distribution points are played or joined by link.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests join the tasks they spawn"
)]

mod damage;
mod distribution;
mod failing;
mod joining;
mod load;
mod other_actions;
mod postgres;
mod refreshing;
mod restart;
mod scheduled;
#[path = "../../../sitedb/tests/main/server.rs"]
#[allow(dead_code, reason = "shared with the tests of sitedb")]
mod server;
mod world;
