//! Fault suites: the content library and the real binary under faults.
#![expect(clippy::print_stdout, reason = "each suite tells how many faults it tried and how many fired")]

mod cleaning;
mod disk;
mod flip;
mod full;
mod power;
mod samples;
mod soak;
mod sys;
mod trees;
