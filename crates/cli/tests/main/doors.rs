//! The doors for management requests beside each other: what each published client does, and that the
//! same request gets the same answer.

mod conformance;
mod same_answers;
