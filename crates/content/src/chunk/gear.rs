//! Searching for a cut with the gear hash, in four places at once.
//!
//! Each step of the hash needs the one before, so a single search waits for its own results most of the
//! time. No mask of the profile has a bit above [`WINDOW`], and a byte moves up by one bit with each byte
//! behind it: what a mask looks at depends on the last [`WINDOW`] bytes alone, so that a search can begin
//! anywhere after reading as many. Cuts are those of a single search.
//!
//! Source: docs/formats/chunking.md, "Rule".

use std::borrow::Cow;
use std::sync::LazyLock;

use fastcdc::v2020::get_gear_with_seed;

/// Bytes that the lower bits of a hash depend on, as many as those bits.
pub(super) const WINDOW: usize = 48;
/// Bytes of one of the four places.
const LANE_BYTES: usize = 1_024;
const BLOCK_BYTES: usize = 4 * LANE_BYTES;

/// The table of the format.
static GEAR: LazyLock<[u64; 256]> = LazyLock::new(|| {
    let gear: Cow<'static, [u64]> = get_gear_with_seed(0).0;
    (*gear).try_into().expect("the table has a number for each byte")
});

/// The first index from `from` to below `to` at which `mask` is met, or else the hash at the end.
///
/// `hash`: what a search that ended at `from` returned, 0 where hashing begins. `mask` has bits below
/// [`WINDOW`] only.
pub(super) fn search(bytes: &[u8], from: usize, to: usize, mask: u64, hash: u64) -> Result<usize, u64> {
    let gear = &*GEAR;
    let (mut at, mut hash) = (from, hash);
    while to.saturating_sub(at) >= BLOCK_BYTES {
        let lane = |number: usize| &bytes[at + number * LANE_BYTES..][..LANE_BYTES];
        let before = |number: usize| {
            let end = at + number * LANE_BYTES;
            bytes[end - WINDOW..end].iter().fold(0, |hash, byte| step(gear, hash, *byte))
        };
        let (mut one, mut two, mut three) = (before(1), before(2), before(3));
        let mut nearest = usize::MAX;
        let lanes = lane(0).iter().zip(lane(1)).zip(lane(2)).zip(lane(3));
        for (index, (((a, b), c), d)) in lanes.enumerate() {
            hash = step(gear, hash, *a);
            one = step(gear, one, *b);
            two = step(gear, two, *c);
            three = step(gear, three, *d);
            if hash & mask == 0 {
                return Ok(at + index);
            }
            for (number, hash) in [(1, one), (2, two), (3, three)] {
                if hash & mask == 0 {
                    nearest = nearest.min(number * LANE_BYTES + index);
                }
            }
        }
        if nearest < BLOCK_BYTES {
            return Ok(at + nearest);
        }
        hash = three;
        at += BLOCK_BYTES;
    }
    for (index, byte) in (at..to).zip(bytes.get(at..to).unwrap_or_default()) {
        hash = step(gear, hash, *byte);
        if hash & mask == 0 {
            return Ok(index);
        }
    }
    Err(hash)
}

fn step(gear: &[u64; 256], hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(gear[usize::from(byte)])
}
