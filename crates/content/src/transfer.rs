//! Moving a content version between holders: what is lacking, in which order it is fetched, and
//! when a frame may be stored.
//!
//! [`accept_statement`] turns bytes from a peer into an [`AcceptedStatement`], the only thing a
//! [`Receiver`] starts from. The receiver walks the manifest pages it lacks, plans the chunks it
//! lacks, and hands out [`Request`]s to any number of connections within a window; [`Expected`] is
//! what a frame must be before it is stored. A [`Sender`] turns a request into the digests of its
//! frames.
//!
//! Nothing here does I/O beyond reading pages that are at hand; shells are in `restock-transfer`.
//!
//! Source: docs/formats/link.md, "Fetching a version".

mod accept;
mod feed;
mod item;
mod locate;
mod receiver;
mod sender;
#[cfg(test)]
mod tests;
mod verify;
mod walk;

pub use accept::{AcceptError, AcceptedStatement, JumpPolicy, accept_statement, accept_within};
pub use feed::{
    FEED_CHUNKS_MAX, FEED_PART_MAX, Feed, FeedChunk, FeedEnd, FeedError, FeedPart, FeedRates,
    fuzz_one as fuzz_feed,
};
pub use item::{
    FRAME_HEADER_BYTES, FrameHeader, Item, ItemError, ItemKind, REQUEST_RANGES_MAX, Range, Request, fuzz_one,
};
pub use locate::locate;
pub use receiver::{ConnectionId, Inventory, Planned, ReceiveError, Receiver, Step, WINDOW_BYTES};
pub use sender::{Outgoing, SendError, Sender};
pub use verify::{Expected, FrameError};
pub use walk::WalkError;
