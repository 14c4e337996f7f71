//! A site over real files and a real database; distribution points are played or joined by link.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests join the tasks they spawn")]

mod distribution;
mod failing;
mod joining;
mod load;
mod other_actions;
mod refreshing;
mod restart;
mod world;
