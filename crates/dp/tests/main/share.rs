//! Package shares over real folders: what users see equals the version, at every moment.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use restock_content::files::DiskFiles;
use restock_content::library::{Library, Role};
use restock_content::manifest::ManifestRoot;
use restock_content::snapshot::{self, SnapshotOptions};
use restock_dp::{ShareReport, Shares};
use restock_names::{Clock, ContentVersion, Epoch, ManualClock, PackageId, SourceVersion, SystemClock};
use restock_testkit::tree::{self, Entries, SeenKind, Shape};
use tempfile::TempDir;

/// A library, a source folder, and the root of a share.
struct World {
    library: Arc<Library>,
    folder: TempDir,
    base: Option<ManifestRoot>,
    version: u32,
}

fn package(number: u32) -> PackageId {
    format!("XYZ{number:05X}").parse().expect("an ID")
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir_all(folder.path().join("source")).expect("made");
        let library = folder.path().join("library");
        std::fs::create_dir(&library).expect("made");
        let library = Library::create(Arc::new(DiskFiles), &library, Role::Site).expect("a library");
        Self { library: Arc::new(library), folder, base: None, version: 0 }
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("share")
    }

    fn shares(&self) -> Shares {
        Shares::open(&self.root(), Arc::clone(&self.library)).expect("opened")
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.source().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, bytes).expect("written");
    }

    /// What the source holds, as the next version.
    fn publish(&mut self) -> (ContentVersion, ManifestRoot) {
        let clock = ManualClock::new(SystemClock.now().after(Duration::from_secs(60)));
        let options = SnapshotOptions { threads: 2, ..SnapshotOptions::default() };
        let (source, id) = (self.source(), package(1));
        let taken = snapshot::take(&self.library, &source, &id, self.base.as_ref(), options, &clock, &());
        let root = taken.expect("taken").root;
        self.base = Some(root);
        self.version += 1;
        (ContentVersion { package: id, epoch: Epoch(1), version: SourceVersion(self.version) }, root)
    }

    fn keep(&mut self, shares: &Shares, name: &str) -> ShareReport {
        let (content, root) = self.publish();
        let report = shares.keep(name, &content, root, &|| false).expect("kept");
        let damage = shares.check(&content.package, root, true, &|| false).expect("checked");
        assert!(damage.expect("a folder").is_none(), "what was just made is right");
        report
    }

    /// Fails unless the folder is what the source is, as far as a share is.
    fn assert_equal(&self, name: &str) -> u64 {
        let found = tree::read(&self.root().join(name)).expect("readable");
        let (expected, left_out) = as_shared(tree::read(&self.source()).expect("readable"), &found);
        assert_eq!(tree::differences(&expected, &found), Vec::<String>::new());
        left_out
    }
}

/// The entries as a share has them: without bits that give rights, and without links that lead out.
fn as_shared(source: Entries, found: &Entries) -> (Entries, u64) {
    let mut left_out = 0;
    let mut expected = Entries::new();
    for (path, mut seen) in source {
        match &seen.kind {
            SeenKind::Folder => seen.mode = seen.mode & 0o777 | 0o700,
            SeenKind::File(_) => seen.mode &= 0o777,
            SeenKind::Symlink(target) => {
                let may_lead_out = target.starts_with(b"/") || target.windows(2).any(|w| w == b"..");
                if may_lead_out && !found.contains_key(&path) {
                    left_out += 1;
                    continue;
                }
            }
        }
        expected.insert(path, seen);
    }
    (expected, left_out)
}

fn inodes(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(at).expect("listed") {
            let path = entry.expect("listed").path();
            let stat = path.symlink_metadata().expect("a stat");
            if stat.is_dir() {
                folders.push(path);
            } else if stat.is_file() {
                found.insert(path.strip_prefix(folder).expect("beneath").to_owned(), stat.ino());
            }
        }
    }
    found
}

#[test]
fn a_share_equals_each_version_and_leaves_alone_what_did_not_change() {
    for (seed, by_links) in [(1, false), (2, true), (3, false)] {
        let mut world = World::new();
        tree::generate(&world.source(), seed, Shape { files: 120, ..Shape::default() }).expect("made");
        let shares = world.shares();
        let shares = if by_links { shares.switching_by_links().expect("opened") } else { shares };
        let first = world.keep(&shares, "Apps$");
        let left_out = world.assert_equal("Apps$");
        assert_eq!((first.files_linked, first.links_left_out), (0, left_out));
        for round in 0..8 {
            let (before, kept) =
                (tree::read(&world.source()).expect("read"), inodes(&world.root().join("Apps$")));
            tree::edit(&world.source(), seed * 100 + round, 6).expect("edited");
            let report = world.keep(&shares, "Apps$");
            world.assert_equal("Apps$");
            let (after, now) =
                (tree::read(&world.source()).expect("read"), inodes(&world.root().join("Apps$")));
            for (path, inode) in &now {
                let key = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
                if before.contains_key(key) && before.get(key) == after.get(key) {
                    assert_eq!(kept.get(path), Some(inode), "{path:?} did not change");
                }
            }
            let changed = after.iter().filter(|(path, seen)| before.get(*path) != Some(seen)).count() as u64;
            // Each tree catches up with at most two versions.
            assert!(report.files_written <= changed, "{report:?}, {changed} changed");
        }
        // The same again is nothing.
        assert_eq!(world.keep(&shares, "Apps$"), ShareReport::default());
    }
}

#[test]
fn nobody_sees_a_mixture_of_two_versions() {
    let mut world = World::new();
    let shares = world.shares();
    let set = |world: &World, n: u32| {
        for file in ["a", "sub/b", "z"] {
            world.put(file, format!("{n:04}").as_bytes());
        }
    };
    set(&world, 0);
    world.keep(&shares, "App");
    let (is_over, begun, looks) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let path = world.root().join("App");
        let (is_over, begun, looks) = (&is_over, &begun, &looks);
        scope.spawn(move || {
            loop {
                let is_last = is_over.load(Ordering::SeqCst);
                let before = begun.load(Ordering::SeqCst);
                // The folder is never missing, and within one opened folder all is of one version.
                let folder = std::fs::File::open(&path).expect("always there");
                let at = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
                let read = |file: &str| std::fs::read_to_string(at.join(file)).ok();
                let first = read("a");
                let rest = [read("sub/b"), read("z"), read("a")];
                // A switch leaves the folder of before as it is; the next one may change it.
                if begun.load(Ordering::SeqCst) == before {
                    assert_eq!(rest, [first.clone(), first.clone(), first.clone()]);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
                if is_last {
                    break;
                }
            }
        });
        for n in 1..30 {
            set(&world, n);
            begun.fetch_add(1, Ordering::SeqCst);
            world.keep(&shares, "App");
        }
        is_over.store(true, Ordering::SeqCst);
    });
    assert!(looks.load(Ordering::Relaxed) > 0);
}

#[test]
fn what_somebody_changed_in_a_share_is_found_and_mended_and_the_library_is_not_harmed() {
    let mut world = World::new();
    let bytes = restock_testkit::random::Random::new(3).bytes(300_000);
    for file in ["a", "d/big", "d/e/f", "gone", "turned/x"] {
        world.put(file, &bytes);
    }
    let shares = world.shares();
    world.keep(&shares, "App");
    world.put("b", b"b");
    world.keep(&shares, "App");
    let (content, root) = world.publish();
    let app = world.root().join("App");
    // The same length and time, another byte.
    let big = app.join("d/big");
    let stat = big.metadata().expect("a stat");
    std::fs::set_permissions(&big, std::fs::Permissions::from_mode(0o600)).expect("set");
    let file = std::fs::OpenOptions::new().write(true).open(&big).expect("opened");
    file.write_all_at(b"!", 1_000).expect("written");
    file.set_modified(stat.modified().expect("a time")).expect("set");
    std::fs::set_permissions(&big, stat.permissions()).expect("set");
    std::fs::remove_file(app.join("gone")).expect("removed");
    std::fs::write(app.join("d/e/more"), b"more").expect("written");
    std::fs::remove_dir_all(app.join("turned")).expect("removed");
    let outside = world.folder.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("x"), b"precious").expect("written");
    symlink(&outside, app.join("turned")).expect("linked");

    let check =
        |reads| shares.check(&content.package, root, reads, &|| false).expect("checked").expect("there");
    let (looked, read) = (check(false), check(true));
    assert!(!looked.is_none() && read.count == looked.count + 1, "{looked:?} {read:?}");
    shares.mend("App", &content, root, &read, &|| false).expect("mended");
    assert!(check(true).is_none());
    world.assert_equal("App");
    assert_eq!(std::fs::read(outside.join("x")).expect("read"), b"precious");
    let audit = world.library.audit(&root, |_| std::ops::ControlFlow::Continue(())).expect("read");
    assert!(audit.is_clean(), "{audit:?}");
    // What was wrong does not come back with the tree that was seen before.
    for n in 0..3_u8 {
        world.put("b", &[n]);
        world.keep(&shares, "App");
        world.assert_equal("App");
    }
}

#[test]
fn changes_in_the_tree_that_was_seen_before_do_not_come_back() {
    let mut world = World::new();
    for file in ["a/b/c", "a/d", "e"] {
        world.put(file, file.as_bytes());
    }
    let shares = world.shares();
    world.keep(&shares, "App");
    std::fs::write(world.root().join("App/a/b/stowaway"), b"x").expect("written");
    std::fs::write(world.root().join("App/top"), b"x").expect("written");
    for n in 0..4_u8 {
        world.put("e", &[n]);
        world.keep(&shares, "App");
        world.assert_equal("App");
    }
}

#[test]
fn a_share_that_was_stopped_is_as_it_was_and_can_go_on() {
    let mut world = World::new();
    tree::generate(&world.source(), 9, Shape::default()).expect("made");
    let shares = world.shares();
    world.keep(&shares, "App");
    let before = tree::read(&world.root().join("App")).expect("read");
    tree::edit(&world.source(), 10, 12).expect("edited");
    let (content, root) = world.publish();
    for after in [0_u64, 1, 7, 20, 50] {
        let asked = AtomicU64::new(0);
        let stopped = shares.keep("App", &content, root, &|| asked.fetch_add(1, Ordering::Relaxed) >= after);
        assert_eq!(stopped.expect_err("stopped").code(), "CANCELLED");
        let found = tree::read(&world.root().join("App")).expect("read");
        assert_eq!(tree::differences(&before, &found), Vec::<String>::new());
        let own: Vec<_> = std::fs::read_dir(world.root().join(".restock")).expect("listed").collect();
        assert_eq!(own.len(), 1, "only the record is left: {own:?}");
    }
    shares.keep("App", &content, root, &|| false).expect("kept");
    world.assert_equal("App");
}

#[test]
fn a_crash_between_the_switch_and_its_record_is_understood() {
    for by_links in [false, true] {
        let mut world = World::new();
        world.put("a", b"1");
        let open = |world: &World| {
            let shares = world.shares();
            if by_links { shares.switching_by_links().expect("opened") } else { shares }
        };
        world.keep(&open(&world), "App");
        world.put("a", b"2");
        world.keep(&open(&world), "App");
        // The record as it was written before the switch: the two trees the other way round.
        let record = world.root().join(".restock/XYZ00001.json");
        let text = std::fs::read_to_string(&record).expect("read");
        let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let (live, spare) = (value["live"].take(), value["spare"].take());
        (value["live"], value["spare"]) = (spare, live);
        std::fs::write(&record, value.to_string()).expect("written");
        let (content, root) = world.publish();
        let shares = open(&world);
        assert_eq!(shares.keep("App", &content, root, &|| false).expect("kept"), ShareReport::default());
        world.assert_equal("App");
        world.put("a", b"3");
        world.keep(&shares, "App");
        world.assert_equal("App");
    }
}

#[test]
fn a_share_has_the_name_it_is_given_and_takes_nobody_elses() {
    let mut world = World::new();
    world.put("a", b"1");
    let shares = world.shares();
    let (content, root) = world.publish();
    let code = |name: &str, content: &ContentVersion| {
        shares
            .keep(name, content, root, &|| false)
            .map(|_| ())
            .map_err(|error| (error.code(), error.is_transient()))
    };
    for bad in ["", "..", ".restock", "a/b", "../out", "x\ny", "XYZ00002"] {
        assert_eq!(code(bad, &content), Err(("SHARE_NAME_INVALID", false)), "{bad:?}");
    }
    std::fs::create_dir(world.root().join("theirs")).expect("made");
    std::fs::write(world.root().join("theirs/x"), b"x").expect("written");
    assert_eq!(code("theirs", &content), Err(("SHARE_NAME_TAKEN", false)));
    assert_eq!(code("XYZ00001", &content), Ok(()));
    assert_eq!(code("Tools$", &content), Ok(()));
    assert!(!world.root().join("XYZ00001").exists(), "it was given another name");
    world.assert_equal("Tools$");
    let other = ContentVersion { package: package(2), ..content };
    assert_eq!(code("Tools$", &other), Err(("SHARE_NAME_TAKEN", false)));
    assert_eq!(code("Others", &other), Ok(()));
    assert_eq!(code("theirs", &content), Err(("SHARE_NAME_TAKEN", false)), "a rename takes nothing either");
    world.assert_equal("Tools$");
    assert_eq!(shares.packages().expect("listed"), [package(1), package(2)]);
    shares.remove(&package(1)).expect("removed");
    shares.remove(&package(1)).expect("nothing is fine");
    let mut left: Vec<_> =
        std::fs::read_dir(world.root()).expect("listed").map(|e| e.expect("listed").file_name()).collect();
    left.sort();
    assert_eq!(left, [".restock", "Others", "theirs"]);
    shares.remove(&package(2)).expect("removed");
    let own: Vec<_> = std::fs::read_dir(world.root().join(".restock")).expect("listed").collect();
    assert!(own.is_empty(), "{own:?}");
}

#[test]
fn a_file_of_holes_is_one_of_holes_in_the_share() {
    let mut world = World::new();
    let file = std::fs::File::create(world.source().join("image")).expect("made");
    file.set_len(20 << 30).expect("set");
    let bytes = restock_testkit::random::Random::new(5).bytes(400_000);
    file.write_all_at(&bytes, 7 << 30).expect("written");
    drop(file);
    let shares = world.shares();
    let (content, root) = world.publish();
    shares.keep("App", &content, root, &|| false).expect("kept");
    let image = std::fs::File::open(world.root().join("App/image")).expect("opened");
    let stat = image.metadata().expect("a stat");
    assert_eq!(stat.len(), 20 << 30);
    assert!(stat.blocks() * 512 < 64 << 20, "{} blocks", stat.blocks());
    let mut found = vec![0; bytes.len()];
    image.read_exact_at(&mut found, 7 << 30).expect("read");
    assert_eq!(found, bytes);
    assert!(
        shares.check(&content.package, root, true, &|| false).expect("checked").expect("there").is_none()
    );
}
