use std::path::{Path, PathBuf};

use restock_content::files::{Files, replace};
use tempfile::TempDir;

use super::{Fault, FaultyFiles, OperationKind, Sabotage};

/// A disk with a durable file `old` of five bytes, and where its image goes.
fn disk() -> (TempDir, PathBuf, FaultyFiles) {
    let folder = TempDir::new().expect("a temporary folder");
    let root = folder.path().join("disk");
    std::fs::create_dir(&root).expect("fresh");
    std::fs::write(root.join("old"), "bytes").expect("writable");
    let files = FaultyFiles::new(&root).expect("readable");
    (folder, root, files)
}

/// The image after the planned or given fault, as `name=bytes` words.
fn image(folder: &TempDir, files: &FaultyFiles, fault: Option<Fault>) -> String {
    let to = folder.path().join("image");
    match fault {
        Some(fault) => files.image_after(fault, &to).expect("writable"),
        None => files.crash_image(&to).expect("writable"),
    }
    let text = list(&to, &to).join(" ");
    std::fs::remove_dir_all(&to).expect("removable");
    text
}

fn list(folder: &Path, root: &Path) -> Vec<String> {
    let mut words = Vec::new();
    for entry in std::fs::read_dir(folder).expect("listable") {
        let path = entry.expect("listable").path();
        let name = path.strip_prefix(root).expect("beneath").display().to_string();
        if path.is_dir() {
            words.push(format!("{name}/"));
            words.extend(list(&path, root));
        } else {
            words.push(format!(
                "{name}={}",
                String::from_utf8_lossy(&std::fs::read(&path).expect("readable"))
            ));
        }
    }
    words.sort();
    words
}

#[test]
fn a_power_cut_keeps_only_what_was_synced() {
    let (folder, root, files) = disk();
    let file = files.create(&root.join("new")).expect("creates");
    file.write_all_at(b"abcd", 0).expect("writes");
    assert_eq!(image(&folder, &files, Some(Fault::Power)), "old=bytes");
    assert_eq!(image(&folder, &files, Some(Fault::PowerKeepsNames)), "new= old=bytes");
    assert_eq!(image(&folder, &files, Some(Fault::Kill)), "new=abcd old=bytes");
    files.sync_folder(&root).expect("syncs");
    assert_eq!(
        image(&folder, &files, Some(Fault::Power)),
        "new= old=bytes",
        "an unsynced file comes back empty"
    );
    file.sync().expect("syncs");
    file.write_all_at(b"XY", 1).expect("writes");
    assert_eq!(image(&folder, &files, Some(Fault::Power)), "new=abcd old=bytes");
    assert_eq!(image(&folder, &files, Some(Fault::Kill)), "new=aXYd old=bytes");
}

#[test]
fn a_folder_is_durable_only_after_its_parent_was_synced() {
    let (folder, root, files) = disk();
    files.create_folder(&root.join("a/b")).expect("creates");
    replace(&files, &root.join("a/b/c"), b"x").expect("replaces");
    assert_eq!(image(&folder, &files, Some(Fault::Power)), "old=bytes");
    files.sync_folder(&root.join("a")).expect("syncs");
    files.sync_folder(&root).expect("syncs");
    assert_eq!(image(&folder, &files, Some(Fault::Power)), "a/ a/b/ a/b/c=x old=bytes");
}

#[test]
fn every_cut_of_a_replacement_leaves_old_or_new_bytes() {
    let (_folder, root, files) = disk();
    replace(&files, &root.join("old"), b"fresh").expect("replaces");
    let kinds: Vec<OperationKind> = files.trace().into_iter().map(|o| o.kind).collect();
    use OperationKind::{Create, Rename, Sync, SyncFolder, Write};
    assert_eq!(kinds, [Create, Write, Sync, Rename, SyncFolder]);
    for number in 1..=5 {
        for fault in [
            Fault::Nothing,
            Fault::Half,
            Fault::Kill,
            Fault::Power,
            Fault::PowerKeepsNames,
            Fault::PowerMixed(number),
        ] {
            let (folder, root, files) = disk();
            files.fail_at(number, fault);
            assert!(replace(&files, &root.join("old"), b"fresh").is_err());
            assert_eq!(files.fired().map(|o| o.number), Some(number));
            assert!(files.create(&root.join("later")).is_err(), "the disk is dead after a cut");
            let left = image(&folder, &files, None);
            assert!(
                left.contains("old=bytes") || left.contains("old=fresh"),
                "{fault:?} at {number}: {left}"
            );
        }
    }
}

#[test]
fn taking_out_the_sync_is_visible_in_an_image() {
    for (sabotage, fault) in [
        (Sabotage::SkipSync(|_| true), Fault::PowerKeepsNames),
        (Sabotage::SkipFolderSync(|_| true), Fault::Power),
    ] {
        let (folder, root, files) = disk();
        files.sabotage(sabotage);
        replace(&files, &root.join("old"), b"fresh").expect("replaces");
        assert_ne!(image(&folder, &files, Some(fault)), "old=fresh");
    }
}

#[test]
fn bytes_of_a_failed_sync_are_lost_though_the_next_sync_succeeds() {
    let (folder, root, files) = disk();
    let file = files.create(&root.join("new")).expect("creates");
    file.write_all_at(b"abcd", 0).expect("writes");
    files.fail_at(3, Fault::Error);
    assert!(file.sync().is_err());
    file.sync().expect("the disk lives on");
    files.sync_folder(&root).expect("syncs");
    assert_eq!(image(&folder, &files, Some(Fault::Power)), "new=\0\0\0\0 old=bytes");
}

#[test]
fn objects_can_be_made_durable_after_the_pointer() {
    let objects_then_pointer = |cut_at: Option<u64>| {
        let (folder, root, files) = disk();
        files.create_folder(&root.join("packs")).expect("creates");
        files.sync_folder(&root).expect("syncs");
        files.sabotage(Sabotage::PointerFirst(|path| path.starts_with("packs")));
        if let Some(number) = cut_at {
            files.fail_at(number, Fault::Power);
        }
        let result = replace(&files, &root.join("packs/p"), b"object")
            .and_then(|()| replace(&files, &root.join("old"), b"pointer"))
            .and_then(|()| files.create_folder(&root.join("later")));
        assert_eq!(result.is_err(), cut_at.is_some());
        image(&folder, &files, cut_at.is_none().then_some(Fault::Power))
    };
    assert_eq!(objects_then_pointer(Some(8)), "old=bytes packs/");
    assert_eq!(objects_then_pointer(Some(13)), "old=pointer packs/");
    assert_eq!(objects_then_pointer(None), "old=pointer packs/ packs/p=object");
}
