//! Random trees and edits travel from a source to a holder and come out as they went in.

use std::path::Path;
use std::sync::Arc;

use restock_content::files::{DiskFiles, Files};
use restock_content::library::{Library, Role};
use restock_content::snapshot::{self, SnapshotOptions};
use restock_content::statement::{SigningKey, Statement};
use restock_names::{ContentVersion, Epoch, SourceVersion, SystemClock, Timestamp};
use restock_testkit::receive::Receive;
use restock_testkit::tree::{self, Shape};
use restock_testkit::{scratch, version};

fn disk() -> Arc<dyn Files> {
    Arc::new(DiskFiles)
}

/// Publishes the source as version `number` of a package, read by `threads` threads.
fn publish(library: &Library, source: &Path, package: &str, number: u32, threads: usize) -> Statement {
    let package = package.parse().expect("a package ID");
    let base = library.active(&package).map(|statement| statement.root);
    let options = SnapshotOptions { threads, ..SnapshotOptions::default() };
    let snapshot = snapshot::take(library, source, &package, base.as_ref(), options, &SystemClock, &())
        .expect("nothing disturbs the source");
    let version = ContentVersion { package, epoch: Epoch(1), version: SourceVersion(number) };
    let key = SigningKey::from_bytes(&[7; 32]);
    let statement = Statement::sign(package.site(), version, snapshot.root, Timestamp(0), &key);
    library.store_statement(&statement).expect("stores");
    library.activate(&version).expect("activates");
    snapshot.commit().expect("commits");
    statement
}

#[test]
fn fetching_what_is_missing_gives_the_new_tree_for_random_trees_and_edits() {
    for seed in 0..12 {
        let folder = scratch().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("source")).expect("fresh");
        let shape = Shape { folders: 8, files: 40, symlinks: 5, file_bytes_max: 300_000 };
        tree::generate(&at("source"), seed, shape).expect("generates");
        let site = Library::create(disk(), &at("site"), Role::Site).expect("creates");
        drop(Library::create(disk(), &at("dp"), Role::DistributionPoint).expect("creates"));
        for number in 1..=4 {
            let statement = publish(&site, &at("source"), "XYZ00001", number, 1 + number as usize % 3);
            // Another library, another number of threads, no version before: the same root.
            let other = at(&format!("other{number}"));
            let fresh = Library::create(disk(), &other, Role::Site).expect("creates");
            let again = publish(&fresh, &at("source"), "XYZ00001", number, 2);
            assert_eq!(again.root, statement.root, "seed {seed}, version {number}");
            Receive::new(&site, &statement).run(disk(), &at("dp"), &|_| {}).expect("receives");
            let (dp, _) = Library::open(disk(), &at("dp")).expect("opens");
            let found = version::read(&dp, &statement.root).expect("whole");
            let source = tree::read(&at("source")).expect("reads");
            assert_eq!(
                tree::differences(&source, &found),
                Vec::<String>::new(),
                "seed {seed}, version {number}"
            );
            drop(dp);
            tree::edit(&at("source"), seed * 100 + u64::from(number), 10).expect("edits");
        }
    }
}

#[test]
fn a_version_does_not_rest_on_chunks_of_a_draft_that_is_given_up() {
    let folder = scratch().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("source")).expect("fresh");
    tree::generate(&at("source"), 5, Shape::default()).expect("generates");
    let site = Library::create(disk(), &at("site"), Role::Site).expect("creates");
    let first = publish(&site, &at("source"), "XYZ00001", 1, 1);
    let second = publish(&site, &at("source"), "XYZ00002", 1, 1);
    drop(Library::create(disk(), &at("dp"), Role::DistributionPoint).expect("creates"));
    let broken_off = Receive { chunks_max: 20, ..Receive::new(&site, &first) };
    assert!(broken_off.run(disk(), &at("dp"), &|_| {}).is_err());
    Receive::new(&site, &second).run(disk(), &at("dp"), &|_| {}).expect("receives the same content");
    let (dp, _) = Library::open(disk(), &at("dp")).expect("opens");
    dp.abandon(&first.version);
    drop(dp);
    let (dp, _) = Library::open(disk(), &at("dp")).expect("opens");
    let found = version::read(&dp, &second.root).expect("whole without the draft");
    let source = tree::read(&at("source")).expect("reads");
    assert_eq!(tree::differences(&source, &found), Vec::<String>::new());
}
