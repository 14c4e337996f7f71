//! Where missing chunks will lie: offsets known before the first byte arrives.
//!
//! The chunks a version lacks are placed in manifest order, so a new file becomes one contiguous
//! range and arrival order, connections and restarts do not matter.
//!
//! Source: docs/formats/pack.md, "Planned packs".

use restock_names::Digest;

use crate::pack::{PACK_BYTES_MAX, PACK_FRAMES_MAX};

/// Files of at least this many bytes begin on [`ALIGNMENT`].
pub const ALIGNED_FILE_BYTES_MIN: u64 = 64 * 1024;
/// The boundary large files begin on, in bytes.
pub const ALIGNMENT: u64 = 4096;

/// A chunk that has to be fetched, as the manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Ordinal of its first occurrence.
    pub ordinal: u64,
    /// Its digest.
    pub digest: Digest,
    /// Its raw length in bytes.
    pub length: u32,
    /// True for the first chunk of a file of at least [`ALIGNED_FILE_BYTES_MIN`] bytes.
    pub is_aligned: bool,
}

/// Where one missing chunk goes: the index of the pack among the planned ones, and the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Pack, counted from 0 in this plan.
    pub pack: usize,
    /// First byte in the pack's data.
    pub offset: u64,
}

/// Places chunks in the order given. Returns a place for each, and the data length of each pack.
///
/// Limits: a pack's data is at most [`PACK_BYTES_MAX`], its frames [`PACK_FRAMES_MAX`]. Cost: O(n), no I/O.
pub fn place(missing: &[Missing]) -> (Vec<Place>, Vec<u64>) {
    let mut places = Vec::with_capacity(missing.len());
    let mut lengths: Vec<u64> = Vec::new();
    let mut frames = 0;
    for chunk in missing {
        let end = lengths.last().copied().unwrap_or(PACK_BYTES_MAX);
        let start = if chunk.is_aligned { end.next_multiple_of(ALIGNMENT) } else { end };
        let is_full = start + u64::from(chunk.length) > PACK_BYTES_MAX || frames >= PACK_FRAMES_MAX;
        let offset = if lengths.is_empty() || is_full {
            lengths.push(0);
            frames = 0;
            0
        } else {
            start
        };
        frames += 1;
        let pack = lengths.len() - 1;
        lengths[pack] = offset + u64::from(chunk.length);
        places.push(Place { pack, offset });
    }
    (places, lengths)
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, Missing, Place, place};
    use crate::pack::{PACK_BYTES_MAX, PACK_FRAMES_MAX};
    use restock_names::Digest;

    fn chunk(length: u32, is_aligned: bool) -> Missing {
        Missing { ordinal: 0, digest: Digest::ZERO, length, is_aligned }
    }

    #[test]
    fn large_files_begin_on_a_boundary_and_small_ones_follow_directly() {
        let (places, lengths) = place(&[chunk(100, false), chunk(200_000, true), chunk(5, false)]);
        assert_eq!(places.iter().map(|p| p.offset).collect::<Vec<_>>(), [0, ALIGNMENT, ALIGNMENT + 200_000]);
        assert_eq!(lengths, [ALIGNMENT + 200_005]);
    }

    #[test]
    fn no_pack_exceeds_its_limit() {
        let many = vec![chunk(256 * 1024, false); 4_097];
        let (places, lengths) = place(&many);
        assert_eq!(lengths, [PACK_BYTES_MAX, 256 * 1024]);
        assert_eq!(places[4_096], Place { pack: 1, offset: 0 });
        assert_eq!(place(&[]), (vec![], vec![]));
        let small = vec![chunk(1, false); PACK_FRAMES_MAX as usize + 3];
        let (places, lengths) = place(&small);
        assert_eq!(lengths, [PACK_FRAMES_MAX, 3]);
        assert_eq!(places.last(), Some(&Place { pack: 1, offset: 2 }));
    }
}
