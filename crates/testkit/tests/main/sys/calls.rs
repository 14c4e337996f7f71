//! Reads what `strace` recorded.

use std::collections::BTreeMap;

/// System calls that change files. Names that a machine does not have are left out by `strace`.
pub(super) const WRITE_CALLS: &[&str] = &[
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "ftruncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "chmod",
    "fchmod",
    "fchmodat",
];

/// One call as it was entered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    /// Which call of this name of its thread, from 1 on: what `when=` counts.
    pub(super) number: u64,
    /// Seconds since 1970.
    pub(super) at: f64,
    /// The rest of the line: arguments, with the paths of descriptors.
    pub(super) arguments: String,
}

/// The calls of a record (`strace -f -ttt -y`), in order.
pub(super) fn parse(record: &str) -> Vec<Call> {
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in record.lines() {
        // Short process numbers are padded with spaces.
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { continue };
        let Some((at, rest)) = rest.trim_start().split_once(' ') else { continue };
        // `<... write resumed>` is the end of a call that was counted when it was entered.
        let Some((name, arguments)) = rest.trim_start().split_once('(') else { continue };
        let Ok(at) = at.parse() else { continue };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let number = counts.entry((thread, name)).or_default();
        *number += 1;
        calls.push(Call { name: name.to_owned(), number: *number, at, arguments: arguments.to_owned() });
    }
    calls
}

#[test]
fn calls_are_numbered_for_each_thread() {
    let record = "\
71 1700000000.000001 write(3</d/log>, \"\"..., 5) = 5
72 1700000000.000002 write(4</d/wal>, \"\"..., 9 <unfinished ...>
71    1700000000.000003 fsync(3</d/log>) = 0
72 1700000000.000004 <... write resumed>) = 9
71 1700000000.000005 write(3</d/log>, \"\"..., 5) = 5
72 1700000000.000006 +++ exited with 0 +++
";
    let found: Vec<(String, u64)> = parse(record).into_iter().map(|call| (call.name, call.number)).collect();
    let expected = [("write", 1), ("write", 1), ("fsync", 1), ("write", 2)];
    assert_eq!(found, expected.map(|(name, number)| (name.to_owned(), number)));
}
