//! Writes `docs/formats/samples` anew: run once when a format gets a new number, then commit.
//!
//! `cargo run -p restock-testkit --example write_samples -- FOLDER` refuses a folder that exists:
//! samples of a released format are never written again, only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use restock_content::files::{DiskFiles, Files};
use restock_content::hash::FileHasher;
use restock_content::library::{Library, Role};
use restock_content::manifest::Manifest;
use restock_content::snapshot::{self, SnapshotOptions};
use restock_content::statement::{KeyList, SigningKey, Statement};
use restock_names::{ContentVersion, Digest, Epoch, PackageId, SourceVersion, SystemClock, Timestamp};
use restock_testkit::receive::Receive;
use restock_testkit::tree::{self, Entries, SeenKind};
use serde_json::{Value, json};

/// A package with large files, kept by the site, and a small one that the distribution point receives.
const PACKAGES: [&str; 2] = ["XYZ00001", "XYZ00002"];

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).context("which folder?")?);
    if folder.exists() {
        bail!("{} exists; samples are written once", folder.display());
    }
    let scratch = tempfile::TempDir::new()?;
    std::fs::create_dir_all(&folder)?;
    let disk: Arc<dyn Files> = Arc::new(DiskFiles);
    let signing = SigningKey::from_bytes(&[1; 32]);
    let root_key = SigningKey::from_bytes(&[2; 32]);
    write_keys(&folder.join("keys"), &signing, &root_key)?;

    let (library, _) = {
        drop(Library::create(Arc::clone(&disk), &folder.join("site"), Role::Site)?);
        Library::open(Arc::clone(&disk), &folder.join("site"))?
    };
    let mut versions = Vec::new();
    for package in PACKAGES {
        let source = scratch.path().join(package);
        std::fs::create_dir(&source)?;
        make_source(&source, package == PACKAGES[0])?;
        for number in [1, 2] {
            if number == 2 {
                change_source(&source)?;
            }
            let statement = publish(&library, &source, package.parse()?, number, &signing)?;
            versions.push((statement, tree::read(&source)?));
        }
    }
    drop(Library::create(Arc::clone(&disk), &folder.join("dp"), Role::DistributionPoint)?);
    Receive::new(&library, &versions[2].0).run(Arc::clone(&disk), &folder.join("dp"), &|_| {})?;
    let broken_off = Receive { chunks_max: 2, ..Receive::new(&library, &versions[3].0) };
    if broken_off.run(disk, &folder.join("dp"), &|_| {}).is_ok() {
        bail!("the second version should have been broken off");
    }
    let note = note(&folder, &library, &versions)?;
    std::fs::write(folder.join("expected.json"), serde_json::to_string_pretty(&note)? + "\n")?;
    drop(library);
    for holder in ["site", "dp"] {
        std::fs::remove_file(folder.join(holder).join("lock"))?;
    }
    Ok(())
}

fn write_keys(folder: &Path, signing: &SigningKey, root: &SigningKey) -> Result<()> {
    std::fs::create_dir(folder)?;
    let other = SigningKey::from_bytes(&[3; 32]);
    let list = KeyList::sign("XYZ".parse()?, 1, vec![other.public(), signing.public()], root);
    std::fs::write(folder.join("list"), list.encode())?;
    std::fs::write(folder.join("root-public-key"), root.public().0)?;
    Ok(())
}

/// A small tree that meets every part of the formats: many entries, so that there are several
/// pages; a file of more than 64 runs; a hole; equal chunks; a name that is not UTF-8; links.
fn make_source(source: &Path, is_large: bool) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
    let many = source.join("many");
    std::fs::create_dir(&many)?;
    for number in 0..if is_large { 300 } else { 10 } {
        std::fs::write(many.join(format!("{number:03}.txt")), format!("file {number}\n"))?;
    }
    if is_large {
        let large = std::fs::File::create(source.join("large.bin"))?;
        large.set_len(80 * 262_144 + 5)?;
        for number in 0..70_u64 {
            large.write_all_at(&number.to_le_bytes(), number * 262_144)?;
        }
    }
    std::fs::write(source.join("empty"), "")?;
    std::fs::create_dir(source.join("empty folder"))?;
    let lines: String = (0..9_000).map(|n| format!("line {n}\n")).collect();
    std::fs::write(source.join("text"), &lines)?;
    std::fs::write(source.join("text again"), &lines)?;
    std::fs::set_permissions(source.join("text"), std::fs::Permissions::from_mode(0o4750))?;
    std::fs::write(source.join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "not UTF-8\n")?;
    symlink("text", source.join("link"))?;
    symlink("../outside", source.join("many/link outside"))?;
    set_times(source, 1_600_000_000_123_456_789)
}

fn change_source(source: &Path) -> Result<()> {
    let lines: String = (0..9_500).map(|n| format!("line {}\n", n * 2)).collect();
    std::fs::write(source.join("text"), lines)?;
    std::fs::remove_file(source.join("many/007.txt"))?;
    std::fs::write(source.join("many/new.txt"), "new\n")?;
    std::fs::write(source.join("many/noise"), restock_testkit::random::Random::new(4).bytes(40_000))?;
    set_times(source, 1_600_000_777_000_000_001)
}

/// Gives every entry a fixed time before 1970 or after it, so that samples do not depend on the day.
fn set_times(source: &Path, from_ns: i64) -> Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let paths: Vec<Vec<u8>> = tree::read(source)?.into_keys().rev().collect();
    for (number, path) in paths.iter().enumerate() {
        let at = source.join(std::ffi::OsStr::from_bytes(path));
        let is_early = path == b"empty";
        tree::set_mtime(&at, if is_early { -1_500_000_000 } else { from_ns + number as i64 })?;
    }
    Ok(())
}

fn publish(
    library: &Library,
    source: &Path,
    package: PackageId,
    number: u32,
    key: &SigningKey,
) -> Result<Statement> {
    let base = library.active(&package).map(|statement| statement.root);
    let options = SnapshotOptions { threads: 1, ..SnapshotOptions::default() };
    let snapshot = snapshot::take(library, source, &package, base.as_ref(), options, &SystemClock, &())?;
    let version = ContentVersion { package, epoch: Epoch(1), version: SourceVersion(number) };
    let published_at = Timestamp(1_700_000_000_000_000 + i64::from(number));
    let statement = Statement::sign(package.site(), version, snapshot.root, published_at, key);
    library.store_statement(&statement)?;
    library.activate(&version)?;
    snapshot.commit()?;
    Ok(statement)
}

/// What readers must find: contents noted from the source itself, numbers from the library.
fn note(folder: &Path, library: &Library, versions: &[(Statement, Entries)]) -> Result<Value> {
    let mut noted = serde_json::Map::new();
    for (statement, entries) in versions {
        let root = &statement.root;
        let manifest = Manifest::new(library, *root);
        let pages: Vec<String> =
            manifest.pages_from(0).map(|p| Ok(p?.0.to_string())).collect::<Result<_>>()?;
        let chunks: Vec<String> =
            manifest.chunks_from(0).map(|run| Ok(run?.digest.to_string())).collect::<Result<_>>()?;
        let version = json!({
            "statement": {
                "pages": root.pages, "entries": root.entries, "runs": root.chunks, "bytes": root.bytes,
                "root": root.digest.to_string(), "published_at_us": statement.published_at.0,
            },
            "page_ordinals": pages,
            "chunk_ordinals": chunks,
            "tree": note_tree(&manifest, entries)?,
        });
        let name = format!("{}.{}", statement.version.package, statement.version.version);
        noted.insert(name, version);
    }
    let [large, small] = PACKAGES;
    Ok(json!({
        "holders": {
            "site": {
                "versions": [format!("{large}.1"), format!("{large}.2"), format!("{small}.1"), format!("{small}.2")],
                "active": { large: [1, 2], small: [1, 2] },
                "packs": count_packs(&folder.join("site"))?,
            },
            "dp": {
                "versions": [format!("{small}.1")],
                "active": { small: [1, 1] },
                "packs": count_packs(&folder.join("dp"))?,
            },
        },
        "versions": noted,
    }))
}

fn note_tree(manifest: &Manifest<'_>, entries: &Entries) -> Result<Value> {
    let mut noted = serde_json::Map::new();
    for (path, seen) in entries {
        let mut entry = json!({ "mode": seen.mode, "mtime_ns": seen.mtime_ns });
        match &seen.kind {
            SeenKind::Folder => entry["kind"] = "folder".into(),
            SeenKind::Symlink(target) => {
                entry["kind"] = "symlink".into();
                entry["target"] = hex(target).into();
            }
            SeenKind::File(bytes) => {
                let found = manifest.find(&restock_names::EntryPath::new(path.as_slice())?)?;
                let found = found.context("the manifest lacks a file of the source")?;
                let mut hasher = FileHasher::default();
                for run in manifest.runs(&found) {
                    let (_, run) = run?;
                    hasher.run(&run.digest, run.length, run.repeat);
                }
                entry["kind"] = "file".into();
                entry["size"] = bytes.len().into();
                entry["blake3"] = Digest(*blake3::hash(bytes).as_bytes()).to_string().into();
                entry["file_digest"] = hasher.finish().to_string().into();
            }
        }
        noted.insert(hex(path), entry);
    }
    Ok(noted.into())
}

/// Counts files of packs by name, and frames by the sizes of tables.
fn count_packs(library: &Path) -> Result<Value> {
    let (mut sealed, mut open, mut planned, mut frames) = (0, 0, 0, 0);
    for entry in std::fs::read_dir(library.join("packs"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let records = (entry.metadata()?.len() / 64).saturating_sub(1);
        if name.ends_with(".open.table") {
            open += 1;
            frames += records;
        } else if name.ends_with(".table") {
            sealed += 1;
            frames += records;
        } else if name.ends_with(".plan") {
            planned += 1;
        }
    }
    Ok(json!({ "sealed": sealed, "open": open, "planned": planned, "frames": frames }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
