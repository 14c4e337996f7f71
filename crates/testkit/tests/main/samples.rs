//! Files of every format, written once, are read for ever.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use restock_content::files::DiskFiles;
use restock_content::library::Library;
use restock_content::statement::{KeyList, PublicKey, Statement};
use restock_names::Digest;
use restock_testkit::tree::SeenKind;
use restock_testkit::version;
use serde_json::Value;
use tempfile::TempDir;

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/samples")
}

fn expected() -> Value {
    let text = std::fs::read_to_string(samples().join("expected.json")).expect("committed");
    serde_json::from_str(&text).expect("valid")
}

/// A copy of a sample library: opening one takes its lock and recovers open packs.
fn open(holder: &str) -> (TempDir, Library, restock_content::library::Recovered) {
    let folder = TempDir::new().expect("a temporary folder");
    let target = folder.path().join(holder);
    copy(&samples().join(holder), &target);
    let (library, recovered) = Library::open(Arc::new(DiskFiles), &target).expect("the sample opens");
    (folder, library, recovered)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("fresh");
    for folder in ["packs", "versions", "packages", "scan"] {
        // Git keeps no empty folders.
        std::fs::create_dir_all(to.join(folder)).expect("writable");
    }
    for entry in std::fs::read_dir(from).expect("committed") {
        let entry = entry.expect("listable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("committed") {
        let entry = entry.expect("listable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

#[test]
fn sample_libraries_hold_what_they_were_made_from() {
    let expected = expected();
    let root = std::fs::read(samples().join("keys/root-public-key")).expect("committed");
    let root = PublicKey(root.try_into().expect("32 bytes"));
    let keys = std::fs::read(samples().join("keys/list")).expect("committed");
    let keys = KeyList::decode(&keys).expect("a key list");
    keys.verify(&root).expect("signed by the root key");
    for (holder, wanted) in expected["holders"].as_object().expect("an object") {
        let (_folder, library, recovered) = open(holder);
        assert_eq!(recovered.packs_damaged, [], "{holder}");
        assert_eq!(recovered.pointers_damaged, [], "{holder}");
        let mut names = Vec::new();
        for package in library.packages() {
            let active = library.active(&package).expect("a version is active").version;
            assert_eq!(
                wanted["active"][package.as_str()],
                serde_json::json!([active.epoch.0, active.version.0])
            );
            for statement in library.statements(&package).expect("readable") {
                statement.verify(&keys).expect("signed by a listed key");
                let name = format!("{package}.{}", statement.version.version);
                check_version(&library, &statement, &expected["versions"][&name]);
                names.push(name);
            }
        }
        assert_eq!(wanted["versions"], serde_json::json!(names), "{holder}");
    }
}

fn check_version(library: &Library, statement: &Statement, note: &Value) {
    assert_eq!(note["statement"]["root"], statement.root.digest.to_string());
    assert_eq!(note["statement"]["published_at_us"], statement.published_at.0);
    let tree = note["tree"].as_object().expect("an object");
    let found = version::read(library, &statement.root).expect("every object is there");
    assert_eq!(found.len(), tree.len(), "{}", statement.version);
    for (path, seen) in found {
        let path: String = path.iter().map(|byte| format!("{byte:02x}")).collect();
        let note = &tree[&path];
        assert_eq!((&note["mode"], &note["mtime_ns"]), (&seen.mode.into(), &seen.mtime_ns.into()), "{path}");
        if let SeenKind::File(bytes) = seen.kind {
            assert_eq!(note["blake3"], Digest(*blake3::hash(&bytes).as_bytes()).to_string(), "{path}");
        }
    }
}

#[test]
fn a_receive_that_an_old_release_broke_off_goes_on() {
    let (_folder, library, recovered) = open("dp");
    assert_eq!((recovered.packs_recovered > 0, recovered.frames_dropped), (true, 0), "{recovered:?}");
    assert_eq!(library.drafts().len(), 1, "the planned pack belongs to a draft");
}
