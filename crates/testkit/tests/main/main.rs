//! Fault suites: the content library and the real binary under faults.

mod power;
