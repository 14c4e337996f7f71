//! Times and intervals of CIM.

use restock_names::Timestamp;

/// A value of the type `datetime`. Source: DSP0004, 5.2.4; DMTF text of 25 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DateTime {
    /// A moment, with the offset from UTC in minutes in which it is shown.
    Moment(Timestamp, i16),
    /// Digits of a clock whose zone is not stated (`+***`): microseconds since 1970-01-01 00:00
    /// as if the digits were UTC.
    Local(i64),
    /// A length of time in microseconds, never negative.
    Interval(i64),
}
