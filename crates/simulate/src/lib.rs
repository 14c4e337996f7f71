//! A hierarchy of sites in one process: seeded faults, checked safety, exact replay.
//!
//! A central site, two primaries, four secondaries and thirty distribution points. Every site is the
//! production site (database, library, loops, the methods its link calls), stepped one event at a time
//! by a scheduler that owns time, randomness and the network. A distribution point is the production
//! queue and transfer machines over memory.
//!
//! [`run()`] takes [`Options`], which are derived from a seed, and gives a [`Verdict`]. First faults
//! happen and safety is checked after each step; then everything is put right and must converge within a
//! bound of simulated time. Equal options give equal traces.
//!
//! [`measure_star`] measures how fast a change reaches many sites below one, without faults.
//!
//! What it does not show: the kernel, the files of SQLite, sockets and TLS.

mod batch;
mod clock;
mod content;
mod error;
mod exchange;
mod fetching;
mod image;
mod network;
mod node;
mod options;
mod point;
mod random;
mod run;
mod schedule;
mod sources;
mod star;
mod trace;
mod world;

pub use batch::{Batch, BatchReport, kept_seeds};
pub use error::SimulateError;
pub use image::Image;
pub use network::Fired;
pub use options::{Options, Sabotage};
pub use run::{Verdict, run};
pub use star::{StarCost, StarOptions, StarReport, measure_star};
