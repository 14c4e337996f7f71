//! The index of a library's sealed packs: how a frame is found with one read, whatever their number.
//!
//! [`Packs`] is what there is to search. The records of most packs stand in one sorted file
//! ([`IndexFile`]), of which one block is read for a lookup. Of packs sealed since it was written a few
//! bytes a frame are kept in memory ([`Tail`]) and one record is read. What neither knows, because the
//! file was lost or memory would not do, is searched pack by pack until the next [`merge`].
//!
//! The file is derived: it names the packs it was made of by sequence and digest, each block has its
//! checksum, and what does not hold is given up and made anew from the tables. What it says of a frame
//! is only where to look: bytes are checked against their digest as ever.
//!
//! Source: docs/formats/library.md, "Index".

mod file;
pub(super) mod merge;
mod packs;
mod tail;
#[cfg(test)]
mod tests;

#[doc(hidden)]
pub use file::fuzz_one;
pub use merge::{IndexState, Merged};
pub(super) use packs::{FindError, Found, Packs};
