//! Packs: frames on disk. A `.data` file holds bytes and nothing else, a `.table` file one
//! checksummed record for each frame.
//!
//! An open pack's table is in the order of arrival; sealing sorts it by digest, makes both files
//! durable and gives them their final, read-only names. A sealed pack is never written again.
//!
//! Source: docs/formats/pack.md.

mod checked;
mod frame;
mod marks;
mod open;
mod open_files;
mod sealed;
mod table;

pub(crate) use frame::decode_frame_in;
pub use frame::{DecodeFrameError, Encoding, compress, decode_frame};
pub(crate) use marks::Marks;
pub(crate) use open::{OpenPack, SealError, open_data_path, open_table_path, plan_path};
pub(crate) use open_files::{OPEN_FILES_MAX, OpenFiles};
pub(crate) use sealed::{PackTally, Run, SealedPack};
pub use table::{FrameKind, HEADER_BYTES, Header, PackState, RECORD_BYTES, Record, TableError, fuzz_one};

/// A pack is closed when its data would exceed this many bytes.
pub const PACK_BYTES_MAX: u64 = 1 << 30;
/// A pack is closed when it has this many frames: its table, 8 MiB, is sorted in memory.
pub const PACK_FRAMES_MAX: u64 = 128 * 1024;
