use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use restock_names::{Digest, PackageId, SystemClock};
use tempfile::TempDir;

use super::{CHUNKS_PER_FETCH, ChunkSource, GetError, GetOptions, GetReport, WORK_FOLDER, get};
use crate::files::DiskFiles;
use crate::library::{Library, Role};
use crate::manifest::{Manifest, ManifestRoot};
use crate::snapshot::{self, SnapshotOptions};

/// A library, a source and a destination.
struct World {
    temp: TempDir,
    library: Library,
}

/// Chunks of a library, counted; the bytes may be spoilt.
struct Counted<'a> {
    library: &'a Library,
    spoils: bool,
}

impl ChunkSource for Counted<'_> {
    fn chunks(
        &mut self,
        wanted: &[Digest],
    ) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        assert!((1..=CHUNKS_PER_FETCH).contains(&wanted.len()));
        let mut chunks = Vec::new();
        for digest in wanted {
            let mut bytes = self.library.read(digest)?;
            if self.spoils {
                bytes[0] ^= 1;
            }
            chunks.push(bytes);
        }
        Ok(chunks)
    }
}

impl World {
    fn new() -> Self {
        let temp = TempDir::new().expect("a folder");
        let library = Library::create(Arc::new(DiskFiles), &temp.path().join("library"), Role::Site);
        let world = Self { library: library.expect("a library"), temp };
        for name in ["source", "destination"] {
            fs::create_dir(world.path(name)).expect("a folder");
        }
        world
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.temp.path().join(name)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("written");
    }

    fn root(&self) -> ManifestRoot {
        let package: PackageId = "XYZ00001".parse().expect("an ID");
        let (source, options) = (self.path("source"), SnapshotOptions::default());
        let taken = snapshot::take(&self.library, &source, &package, None, options, &SystemClock, &());
        taken.expect("a snapshot").root
    }

    fn get(&self, root: ManifestRoot, options: GetOptions) -> Result<GetReport, GetError> {
        self.get_until(root, options, u64::MAX)
    }

    /// Stops when more than `bytes` were fetched.
    fn get_until(&self, root: ManifestRoot, options: GetOptions, bytes: u64) -> Result<GetReport, GetError> {
        let mut source = Counted { library: &self.library, spoils: false };
        let mut progress = |report: &GetReport| {
            if report.bytes_fetched > bytes { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let manifest = Manifest::new(&self.library, root);
        get(&manifest, &self.path("destination"), &mut source, options, &mut progress)
    }

    fn assert_same(&self) {
        assert_eq!(tree(&self.path("source")), tree(&self.path("destination")));
    }
}

/// Every entry with its mode, time and content.
fn tree(folder: &Path) -> BTreeMap<Vec<u8>, (u32, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at).expect("readable") {
            let path = entry.expect("readable").path();
            let metadata = fs::symlink_metadata(&path).expect("readable");
            let content = if metadata.is_dir() {
                waiting.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).expect("a link").as_os_str().as_bytes().to_vec()
            } else {
                fs::read(&path).expect("readable")
            };
            let name = path.strip_prefix(folder).expect("beneath").as_os_str().as_bytes().to_vec();
            let mtime_ns = metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec();
            found.insert(name, (metadata.mode(), mtime_ns, content));
        }
    }
    found
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let step = |n: u64| n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    let word = |_| {
        state = step(state);
        (state >> 33) as u8
    };
    (0..length).map(word).collect()
}

#[test]
fn a_version_arrives_with_bytes_modes_times_links_holes_and_odd_names() {
    let world = World::new();
    world.write("source/a/b/deep", b"x");
    world.write("source/big", &noise(1, 3_000_000));
    world.write("source/empty", b"");
    fs::write(world.path("source").join(std::ffi::OsStr::from_bytes(b"odd\xff\n")), b"odd").expect("written");
    fs::create_dir(world.path("source/hollow")).expect("a folder");
    symlink("a/b/deep", world.path("source/link")).expect("a link");
    symlink("/nowhere", world.path("source/out")).expect("a link");
    let hole = fs::File::create(world.path("source/hole")).expect("a file");
    hole.write_all_at(b"end", 40 << 20).expect("written");
    for (path, mode) in [("a/b/deep", 0o400), ("big", 0o755), ("a", 0o555)] {
        let mode = fs::Permissions::from_mode(mode);
        fs::set_permissions(world.path("source").join(path), mode).expect("a mode");
    }
    let root = world.root();
    let report = world.get(root, GetOptions::default()).expect("all is well");
    world.assert_same();
    assert_eq!((report.files, report.folders, report.symlinks), (5, 3, 2));
    assert_eq!((report.bytes_total, report.files_kept, report.others), (root.bytes, 0, 0));
    let blocks = fs::metadata(world.path("destination/hole")).expect("there").blocks();
    assert!(blocks * 512 < 1 << 20, "a hole of 40 MiB takes {blocks} blocks");

    // Again: nothing is fetched and nothing is written, read-only folders or not.
    let before = fs::metadata(world.path("destination/big")).expect("there").ino();
    let report = world.get(root, GetOptions::default()).expect("all is well");
    world.assert_same();
    assert_eq!((report.bytes_fetched, report.files_kept), (0, 5));
    assert_eq!(fs::metadata(world.path("destination/big")).expect("there").ino(), before);
    assert!(!world.path("destination").join(WORK_FOLDER).exists());
}

#[test]
fn only_chunks_that_the_destination_lacks_are_fetched() {
    let world = World::new();
    let big = noise(2, 5_000_000);
    world.write("source/big", &big);
    world.write("source/other", &noise(3, 300_000));
    let root = world.root();
    // The same bytes under another name, and with bytes in front that move all others.
    world.write("destination/elsewhere", &noise(3, 300_000));
    world.write("destination/big", &[b"in front".as_slice(), &big].concat());
    let report = world.get(root, GetOptions::default()).expect("all is well");
    assert!(report.bytes_fetched < 300_000, "{report:?}");
    assert_eq!(report.others, 1);
    assert_eq!(fs::read(world.path("destination/big")).expect("there"), big);
    let report = world.get(root, GetOptions { removes_others: true }).expect("all is well");
    assert_eq!((report.others, report.removed, report.bytes_fetched), (0, 1, 0));
    world.assert_same();
}

#[test]
fn an_interrupted_run_is_taken_up_where_it_ended() {
    let world = World::new();
    world.write("source/one", &noise(4, 30_000_000));
    world.write("source/two", &noise(5, 1_000_000));
    let root = world.root();
    let stopped = world.get_until(root, GetOptions::default(), 12_000_000);
    assert!(matches!(stopped, Err(GetError::Cancelled)), "{stopped:?}");
    assert!(!world.path("destination/one").exists(), "nothing half is in place");
    let report = world.get(root, GetOptions::default()).expect("all is well");
    world.assert_same();
    assert!(report.bytes_fetched < root.bytes - 7_000_000, "{report:?} of {}", root.bytes);
}

#[test]
fn no_link_of_the_destination_is_followed() {
    let world = World::new();
    world.write("source/a/file", b"new");
    world.write("source/b", b"new");
    world.write("outside/file", b"old");
    let root = world.root();
    symlink("../outside", world.path("destination/a")).expect("a link");
    symlink("../outside/file", world.path("destination/b")).expect("a link");
    let refused = world.get(root, GetOptions::default()).expect_err("a link is in the way");
    assert!(matches!(&refused, GetError::InTheWay { path, .. } if path == "a"), "{refused}");
    assert!(refused.to_string().starts_with("DEST_IN_THE_WAY: a is a link"), "{refused}");
    fs::remove_file(world.path("destination/a")).expect("removed");
    world.get(root, GetOptions::default()).expect("a link in place of a file is replaced");
    world.assert_same();
    assert_eq!(fs::read(world.path("outside/file")).expect("there"), b"old");
}

#[test]
fn a_folder_where_a_file_is_to_be_is_not_removed() {
    let world = World::new();
    world.write("source/a", b"new");
    world.write("destination/a/mine", b"mine");
    let refused = world.get(world.root(), GetOptions { removes_others: true });
    assert!(matches!(refused, Err(GetError::InTheWay { .. })), "{refused:?}");
    assert_eq!(fs::read(world.path("destination/a/mine")).expect("there"), b"mine");
}

#[test]
fn bytes_that_are_not_what_was_asked_for_are_not_written() {
    let world = World::new();
    world.write("source/a", b"right");
    let root = world.root();
    let mut source = Counted { library: &world.library, spoils: true };
    let manifest = Manifest::new(&world.library, root);
    let (destination, mut progress) = (world.path("destination"), |_: &GetReport| ControlFlow::Continue(()));
    let refused = get(&manifest, &destination, &mut source, GetOptions::default(), &mut progress);
    assert!(matches!(refused, Err(GetError::Mismatch { .. })), "{refused:?}");
    assert!(!world.path("destination/a").exists());
}

#[test]
fn set_user_bits_are_not_given_and_the_work_folder_is_not_overwritten() {
    let world = World::new();
    world.write("source/tool", b"x");
    let set_user = fs::Permissions::from_mode(0o6755);
    fs::set_permissions(world.path("source/tool"), set_user).expect("a mode");
    world.get(world.root(), GetOptions::default()).expect("all is well");
    assert_eq!(fs::metadata(world.path("destination/tool")).expect("there").mode() & 0o7777, 0o755);
    world.write(&format!("source/{WORK_FOLDER}/x"), b"x");
    let refused = world.get(world.root(), GetOptions::default());
    assert!(matches!(refused, Err(GetError::NameTaken)), "{refused:?}");
}

#[test]
fn two_runs_do_not_share_a_destination() {
    let world = World::new();
    world.write("source/a", b"x");
    let _first = super::Folder::open(&world.path("destination")).expect("free");
    let refused = world.get(world.root(), GetOptions::default());
    assert!(matches!(refused, Err(GetError::Busy(_))), "{refused:?}");
}
