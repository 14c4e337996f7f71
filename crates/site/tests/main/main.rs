//! Sites over real links in one process: two and three levels, with distribution points.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod backups;
mod content;
mod fetching;
mod heads;
mod healing;
mod hostile;
mod joining;
mod ownership;
mod point;
mod restored;
mod rotation;
mod world;
