//! Which bytes of a file's older state a new chunk of it is compressed with.

use std::collections::HashMap;

use restock_names::Digest;

use super::{PREFIX_ITEMS_MAX, Prefix};
use crate::manifest::ChunkRun;

/// Bytes taken on each side of the place a chunk is expected at.
const MARGIN_BYTES: u64 = 16 * 1024;

/// A file's older chunk list, to be looked up in.
pub(super) struct OldFile<'a> {
    runs: &'a [ChunkRun],
    /// Ordinal of its first run.
    first: u64,
    /// Where each run begins, repeats counted once; one more for the end.
    starts: Vec<u64>,
    by_digest: HashMap<Digest, usize>,
}

impl<'a> OldFile<'a> {
    /// The list `runs`, whose first run has the ordinal `first` in the base.
    pub(super) fn new(runs: &'a [ChunkRun], first: u64) -> Self {
        let mut starts = Vec::with_capacity(runs.len() + 1);
        let mut at = 0;
        let mut by_digest = HashMap::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            starts.push(at);
            at += u64::from(run.length);
            by_digest.entry(run.digest).or_insert(index);
        }
        starts.push(at);
        Self { runs, first, starts, by_digest }
    }

    fn bytes(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Calls `found` with the index of every run of `new` that is not in this list, and its prefix.
    ///
    /// A chunk is expected where the last chunk that both lists have in common says, and before the
    /// first of those at the same share of the file.
    pub(super) fn align(&self, new: &[ChunkRun], mut found: impl FnMut(usize, Prefix)) {
        let new_bytes: u64 = new.iter().map(|run| u64::from(run.length)).sum();
        if self.bytes() == 0 || new_bytes == 0 {
            return;
        }
        let mut at = 0_u64;
        // Where the last common chunk ends: in the new list and in this one.
        let mut common: Option<(u64, u64)> = None;
        for (index, run) in new.iter().enumerate() {
            let length = u64::from(run.length);
            if let Some(old) = self.by_digest.get(&run.digest) {
                common = Some((at + length, self.starts[old + 1]));
            } else {
                let expected = match common {
                    Some((new_end, old_end)) => old_end + (at - new_end),
                    None => {
                        let share = u128::from(at) * u128::from(self.bytes()) / u128::from(new_bytes);
                        u64::try_from(share).unwrap_or(u64::MAX)
                    }
                };
                if let Some(prefix) = self.around(expected, length) {
                    found(index, prefix);
                }
            }
            at += length;
        }
    }

    /// The bytes from a margin before `start` to a margin after its end.
    fn around(&self, start: u64, length: u64) -> Option<Prefix> {
        let from = start.saturating_sub(MARGIN_BYTES);
        let to = (start + length + MARGIN_BYTES).min(self.bytes());
        if from >= to {
            return None;
        }
        let first = self.starts.partition_point(|begin| *begin <= from) - 1;
        let end = self.starts.partition_point(|begin| *begin < to).min(self.runs.len());
        let end = end.min(first + PREFIX_ITEMS_MAX as usize);
        let to = to.min(self.starts[end]);
        Some(Prefix {
            first: self.first + first as u64,
            count: u32::try_from(end - first).ok()?,
            skip: u32::try_from(from - self.starts[first]).ok()?,
            length: u32::try_from(to - from).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::OldFile;
    use crate::delta::Prefix;
    use crate::hash::chunk_digest;
    use crate::manifest::ChunkRun;

    fn run(name: &str, length: u32) -> ChunkRun {
        ChunkRun { digest: chunk_digest(name.as_bytes()), length, repeat: 1 }
    }

    fn aligned(old: &[ChunkRun], new: &[ChunkRun]) -> Vec<(usize, Prefix)> {
        let mut found = Vec::new();
        OldFile::new(old, 100).align(new, |index, prefix| found.push((index, prefix)));
        found
    }

    #[test]
    fn a_changed_chunk_is_expected_behind_the_last_common_one() {
        let old = [run("a", 60_000), run("b", 60_000), run("c", 60_000), run("d", 60_000)];
        let new = [run("a", 60_000), run("b2", 70_000), run("c", 60_000), run("d", 60_000)];
        let found = aligned(&old, &new);
        // 60,000 - 16,384 to 130,000 + 16,384.
        let prefix = Prefix { first: 100, count: 3, skip: 43_616, length: 102_768 };
        assert_eq!(found, [(1, prefix)]);
    }

    #[test]
    fn without_a_common_chunk_the_same_share_of_the_file_is_taken() {
        let old = [run("a", 200_000), run("b", 200_000)];
        let new = [run("x", 100_000), run("y", 100_000)];
        let found = aligned(&old, &new);
        assert_eq!(found[0].1, Prefix { first: 100, count: 1, skip: 0, length: 116_384 });
        assert_eq!(found[1].1, Prefix { first: 100, count: 2, skip: 183_616, length: 132_768 });
    }

    #[test]
    fn what_lies_behind_the_end_has_no_prefix() {
        let old = [run("a", 10_000)];
        let new = [run("a", 10_000), run("b", 9_000), run("c", 250_000), run("d", 9_000)];
        let found: Vec<usize> = aligned(&old, &new).into_iter().map(|(index, _)| index).collect();
        assert_eq!(found, [1, 2]);
        assert_eq!(aligned(&[], &new), []);
        assert_eq!(aligned(&old, &[]), []);
    }

    #[test]
    fn a_prefix_never_has_more_objects_than_it_may() {
        let old: Vec<ChunkRun> = (0..1_000).map(|i| run(&format!("o{i}"), 300)).collect();
        let found = aligned(&old, &[run("x", 250_000)]);
        assert_eq!((found[0].1.count, found[0].1.length), (64, 64 * 300));
    }
}
