//! A large file whose older state is known is cut as if it were new.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use tempfile::TempDir;

use crate::{Site, let_file_clock_advance};

/// What happens to a file between two snapshots. Places are shares of its length.
#[derive(Debug, Clone)]
enum Edit {
    Overwrite { at: f64, seed: u64, length: usize },
    Insert { at: f64, seed: u64, length: usize },
    Remove { at: f64, length: usize },
    Zero { at: f64, length: usize },
    Repeat { at: f64, from: f64, length: usize },
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, seed, length) = (0.0..1.0_f64, any::<u64>(), 1_usize..400_000);
    prop_oneof![
        (at.clone(), seed, length.clone()).prop_map(|(at, seed, length)| Edit::Overwrite {
            at,
            seed,
            length
        }),
        (at.clone(), seed, length.clone()).prop_map(|(at, seed, length)| Edit::Insert { at, seed, length }),
        (at.clone(), length.clone()).prop_map(|(at, length)| Edit::Remove { at, length }),
        (at.clone(), 1_usize..3_000_000).prop_map(|(at, length)| Edit::Zero { at, length }),
        (at.clone(), at, length).prop_map(|(at, from, length)| Edit::Repeat { at, from, length }),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let place = |bytes: &Vec<u8>, share: f64| (bytes.len() as f64 * share) as usize;
    match edit {
        Edit::Overwrite { at, seed, length } => {
            let at = place(bytes, *at);
            let end = (at + length).min(bytes.len());
            bytes[at..end].copy_from_slice(&noise(*seed, end - at));
        }
        Edit::Insert { at, seed, length } => {
            let at = place(bytes, *at);
            bytes.splice(at..at, noise(*seed, *length));
        }
        Edit::Remove { at, length } => {
            let at = place(bytes, *at);
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
        }
        Edit::Zero { at, length } => {
            let at = place(bytes, *at);
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(0);
        }
        Edit::Repeat { at, from, length } => {
            let (at, from) = (place(bytes, *at), place(bytes, *from));
            let copied = bytes[from..(from + length).min(bytes.len())].to_vec();
            bytes.splice(at..at, copied);
        }
    }
}

/// Fails unless the root after `before` became `after` is the one of a library that never saw `before`.
fn roots(before: &[u8], after: &[u8]) {
    let (source, site) = (TempDir::new().expect("a folder"), Site::new());
    let write = |bytes: &[u8]| std::fs::write(source.path().join("large"), bytes).expect("written");
    write(before);
    let first = site.take(source.path(), None).expect("taken");
    let_file_clock_advance(source.path());
    write(after);
    let known = site.take(source.path(), Some(&first.root)).expect("taken");
    let alone = Site::new().take(source.path(), None).expect("taken");
    assert!(known.root == alone.root, "the same tree has the same root");
    site.assert_holds(&known.root, source.path());
}

/// Bytes that do not repeat.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (word ^ (word >> 27)).to_le_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

#[test]
fn bytes_put_in_front_move_all_cuts_and_change_none() {
    let before = noise(1, 12 << 20);
    roots(&before, &[b"in front", &before[..]].concat());
    roots(&before, &before[5_000..]);
    roots(&before, &before);
    // The last chunk ended with the file: with more behind it, it may end elsewhere.
    roots(&before, &[&before[..], &noise(2, 700_000)].concat());
    roots(&before, &before[..(12 << 20) - 9]);
}

#[test]
fn a_file_that_repeats_itself_is_cut_as_if_it_were_new() {
    let twice = noise(7, 6 << 20).repeat(2);
    for at in [0, 1 << 20, (6 << 20) + 5, 11 << 20] {
        let mut after = twice.clone();
        after.splice(at..at, noise(8, 4_096));
        roots(&twice, &after);
        // Zeros are one chunk many times: behind the change they lie in another phase.
        let zeros = [&twice[..at], &vec![0; 9 << 20][..], &twice[at..]].concat();
        let mut after = zeros.clone();
        after[at + 1_000_000..at + 1_070_000].copy_from_slice(&noise(9, 70_000));
        roots(&zeros, &after);
    }
}

#[test]
fn another_file_in_the_same_place_is_read_as_a_new_one() {
    roots(&noise(3, 10 << 20), &noise(4, 11 << 20));
    roots(&vec![0; 10 << 20], &noise(5, 9 << 20));
    roots(&noise(6, 10 << 20), &vec![0; 12 << 20]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_edits_give_the_root_that_a_first_snapshot_gives(
        seed in any::<u64>(),
        length in (9_usize << 20)..(20 << 20),
        edits in prop::collection::vec(edit(), 0..8),
    ) {
        let before = noise(seed, length);
        let mut after = before.clone();
        edits.iter().for_each(|edit| apply(&mut after, edit));
        roots(&before, &after);
    }
}
