//! Delta frames: a chunk or page compressed with bytes that the receiver holds already.
//!
//! A receiver that holds a *base* version complete says so. The sender compresses a new object with
//! a *prefix*: the place in the base that the object probably came from. [`DeltaMap`] finds these
//! places by comparing two manifests, [`DeltaSender`] makes the frames, [`DeltaBase`] decodes them.
//!
//! A delta frame lives on a link only: it is never stored, so no object depends on another, and
//! what comes out is checked against the digest like any other frame.
//!
//! Source: docs/formats/link.md, "Delta frames".

mod align;
mod cursor;
mod frame;
mod map;
mod receive;
mod send;

pub use cursor::DeltaCursor;
pub use frame::{DeltaError, DeltaFrame, PREFIX_BYTES_MAX, fuzz_one};
pub use map::DeltaMap;
pub use receive::DeltaBase;
pub use send::DeltaSender;

/// Where in the base the bytes lie that an object is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    /// The first page or chunk of the base version, of the same kind as the object.
    pub first: u64,
    /// How many follow each other, 1 to [`PREFIX_ITEMS_MAX`]; each counts once, whatever its repeats.
    pub count: u32,
    /// Bytes left out at the front.
    pub skip: u32,
    /// Bytes taken, 1 to [`PREFIX_BYTES_MAX`].
    pub length: u32,
}

/// Objects that one prefix may consist of.
pub const PREFIX_ITEMS_MAX: u32 = 64;
