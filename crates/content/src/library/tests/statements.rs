//! What became of a statement's file on the disk.

use super::{create, manifest, reopen, statement, version};
use crate::library::{Library, Role};

/// A library with one version, and its statement's file.
fn with_a_version() -> (tempfile::TempDir, Library, std::path::PathBuf) {
    let (folder, library) = create(Role::DistributionPoint);
    let writer = library.begin();
    let root = manifest(&writer, 0..3);
    writer.seal().expect("sealed");
    library.store_statement(&statement(1, root)).expect("stored");
    library.activate(&version(1)).expect("activated");
    let path = folder.path().join("versions/XYZ00001/00000001.00000001.statement");
    (folder, library, path)
}

#[test]
fn a_statement_of_which_one_bit_changed_is_set_aside_wherever_the_bit_is() {
    let (folder, library, path) = with_a_version();
    drop(library);
    let bytes = std::fs::read(&path).expect("readable");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&path, &damaged).expect("writable");
        let (library, recovered) = reopen(folder.path());
        assert_eq!(
            (recovered.statements_damaged.len(), recovered.pointers_damaged.len()),
            (1, 1),
            "byte {at}"
        );
        assert!(library.statement(&version(1)).expect("readable").is_none(), "byte {at}");
        assert!(library.active(&version(1).package).is_none(), "byte {at}");
        assert_eq!(std::fs::read(path.with_extension("damaged")).expect("kept"), damaged);
    }
}

#[test]
fn a_statement_without_a_checksum_is_of_an_earlier_release() {
    let (folder, library, path) = with_a_version();
    let stored = library.statement(&version(1)).expect("readable");
    drop(library);
    let bytes = std::fs::read(&path).expect("readable");
    std::fs::write(&path, &bytes[..bytes.len() - 4]).expect("writable");
    let (library, recovered) = reopen(folder.path());
    assert_eq!(recovered.statements_damaged, []);
    assert_eq!(library.statement(&version(1)).expect("readable"), stored);
}
