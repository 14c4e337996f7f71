//! A library, those who use it, and what they must be able to read.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proptest::sample::Index;
use restock_content::files::Files;
use restock_content::hash::chunk_digest;
use restock_content::library::{CollectError, CollectOptions, Collection, Hold, Library, Role, Writer};
use restock_content::manifest::{
    Builder, ChunkRun, Entry, EntryKind, FileChunks, ManifestRoot, PageError, PageSink,
};
use restock_content::statement::{SigningKey, Statement};
use restock_names::{
    Clock, ContentVersion, Digest, EntryPath, Epoch, PackageId, SourceVersion, SystemClock, Timestamp,
};
use restock_testkit::faulty::{FaultyFiles, Sabotage};
use restock_testkit::history::{Deed, History, Seen};
use restock_testkit::{scratch, version};
use tempfile::TempDir;

/// Files by number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Range {
    pub(super) from: u32,
    pub(super) count: u32,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish { package: bool, range: Range },
    BeginDraft { package: bool, range: Range },
    GrowDraft { draft: Index, range: Range },
    FinishDraft(Index),
    DropDraft(Index),
    BeginReading(Index),
    EndReading(Index),
    Trim { package: bool, keep: usize },
    Forget(bool),
    BeginCleaning,
    EndCleaning,
    Restart,
}

struct Draft {
    _hold: Hold,
    writer: Writer,
    package: PackageId,
    files: Vec<u32>,
}

struct Reader {
    _hold: Hold,
    version: ContentVersion,
    root: ManifestRoot,
}

pub(super) struct World {
    // Before the library, which they use.
    drafts: Vec<Draft>,
    readers: Vec<Reader>,
    cleaning: Option<Collection>,
    library: Option<Library>,
    files: Arc<dyn Files>,
    folder: TempDir,
    /// Files of each version that is stored.
    versions: BTreeMap<ContentVersion, Vec<u32>>,
    number: u32,
    history: History,
}

struct Pages<'a>(&'a Writer);

impl PageSink for Pages<'_> {
    fn page(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), PageError> {
        let put = self.0.put_page(digest, bytes);
        put.map(drop).map_err(|error| PageError { digest, source: Box::new(error) })
    }
}

fn package(second: bool) -> PackageId {
    let id = if second { "XYZ00002" } else { "XYZ00001" };
    id.parse().expect("a package ID")
}

fn bytes(file: u32) -> Vec<u8> {
    format!("file {file}, ").repeat(20 + file as usize).into_bytes()
}

fn put(writer: &Writer, files: impl Iterator<Item = u32>) -> Result<()> {
    for file in files {
        writer.put_chunk(chunk_digest(&bytes(file)), &bytes(file))?;
    }
    Ok(())
}

fn manifest(writer: &Writer, files: &[u32]) -> Result<ManifestRoot> {
    let mut sink = Pages(writer);
    let mut builder = Builder::new(&mut sink);
    for file in files {
        let length = u32::try_from(bytes(*file).len())?;
        let run = ChunkRun { digest: chunk_digest(&bytes(*file)), length, repeat: 1 };
        let kind = EntryKind::File { size: length.into(), chunks: FileChunks::Inline(vec![run]) };
        let path = EntryPath::new(format!("f{file:04}"))?;
        builder.push(Entry { path, mode: 0o644, mtime_ns: 0, kind })?;
    }
    Ok(builder.finish()?)
}

impl World {
    pub(super) fn new(sabotage: Sabotage) -> Self {
        let folder = scratch().expect("a folder");
        let disk = FaultyFiles::new(folder.path()).expect("an empty folder");
        disk.sabotage(sabotage);
        let files: Arc<dyn Files> = Arc::new(disk);
        let at = folder.path().join("library");
        let library = Library::create(Arc::clone(&files), &at, Role::Site).expect("an empty folder");
        Self {
            drafts: Vec::new(),
            readers: Vec::new(),
            cleaning: None,
            library: Some(library),
            files,
            folder,
            versions: BTreeMap::new(),
            number: 0,
            history: History::new("cleaning"),
        }
    }

    fn library(&self) -> &Library {
        self.library.as_ref().expect("open between steps")
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Publish { package, range } => {
                self.begin(*package, *range)?;
                self.publish(self.drafts.len() - 1)?;
            }
            Step::BeginDraft { package, range } => self.begin(*package, *range)?,
            Step::GrowDraft { draft, range } if !self.drafts.is_empty() => {
                let draft = draft.get_mut(&mut self.drafts);
                put(&draft.writer, range.from..range.from + range.count)?;
                draft.files.extend(range.from..range.from + range.count);
            }
            Step::FinishDraft(draft) if !self.drafts.is_empty() => {
                self.publish(draft.index(self.drafts.len()))?;
            }
            Step::DropDraft(draft) if !self.drafts.is_empty() => {
                let at = draft.index(self.drafts.len());
                drop(self.drafts.swap_remove(at));
            }
            Step::BeginReading(which) if !self.versions.is_empty() => self.read(*which)?,
            Step::EndReading(reader) if !self.readers.is_empty() => {
                let at = reader.index(self.readers.len());
                drop(self.readers.swap_remove(at));
            }
            Step::Trim { package: of, keep } => {
                for gone in self.library().trim(&package(*of), *keep)? {
                    self.versions.remove(&gone);
                }
            }
            Step::Forget(of) => {
                let of = package(*of);
                self.library().forget(&of)?;
                self.versions.retain(|version, _| version.package != of);
            }
            Step::BeginCleaning => self.begin_cleaning()?,
            Step::EndCleaning => self.end_cleaning()?,
            Step::Restart => self.restart()?,
            Step::GrowDraft { .. } | Step::FinishDraft(_) | Step::DropDraft(_) => {}
            Step::BeginReading(_) | Step::EndReading(_) => {}
        }
        self.judge().with_context(|| format!("after {step:?}"))
    }

    fn begin(&mut self, second: bool, range: Range) -> Result<()> {
        let hold = self.library().hold();
        let writer = self.library().begin();
        let files: Vec<u32> = (range.from..range.from + range.count).collect();
        put(&writer, files.iter().copied())?;
        self.drafts.push(Draft { _hold: hold, writer, package: package(second), files });
        Ok(())
    }

    fn publish(&mut self, at: usize) -> Result<()> {
        let Draft { _hold, writer, package, mut files } = self.drafts.swap_remove(at);
        files.sort_unstable();
        files.dedup();
        let root = manifest(&writer, &files)?;
        writer.seal()?;
        self.number += 1;
        let version = ContentVersion { package, epoch: Epoch::FIRST, version: SourceVersion(self.number) };
        let key = SigningKey::from_bytes(&[1; 32]);
        let statement = Statement::sign("XYZ".parse()?, version, root, Timestamp(0), &key);
        self.library().store_statement(&statement)?;
        self.library().activate(&version)?;
        self.history.note(
            "publisher",
            Deed::Change,
            &version.to_string(),
            &[Seen::content(&version, root.digest)],
        );
        self.versions.insert(version, files);
        Ok(())
    }

    fn read(&mut self, which: Index) -> Result<()> {
        let hold = self.library().hold();
        let version = *self.versions.keys().nth(which.index(self.versions.len())).context("there is one")?;
        let statement = self.library().statement(&version)?.context("the statement is stored")?;
        self.readers.push(Reader { _hold: hold, version, root: statement.root });
        Ok(())
    }

    fn options(&self) -> CollectOptions {
        let now = SystemClock.now();
        CollectOptions { now, grace: Duration::ZERO, rewrite_bytes_max: u64::MAX }
    }

    fn begin_cleaning(&mut self) -> Result<()> {
        if self.cleaning.is_none() {
            self.cleaning = Some(self.library().collect(self.options(), || ControlFlow::Continue(()))?);
        }
        Ok(())
    }

    fn end_cleaning(&mut self) -> Result<()> {
        let Some(cleaning) = self.cleaning.take() else { return Ok(()) };
        if cleaning.waits_for() > 0 {
            self.cleaning = Some(cleaning);
            return Ok(());
        }
        cleaning.finish(|_| ControlFlow::Continue(()))?;
        Ok(())
    }

    /// The process ends between two steps, and another one begins.
    fn restart(&mut self) -> Result<()> {
        self.drafts.clear();
        self.readers.clear();
        self.cleaning = None;
        self.library = None;
        let (library, recovered) =
            Library::open(Arc::clone(&self.files), &self.folder.path().join("library"))?;
        ensure!(recovered.packs_damaged.is_empty(), "{recovered:?}");
        self.library = Some(library);
        Ok(())
    }

    /// Everything that anybody may read is there and right.
    fn judge(&self) -> Result<()> {
        for (version, files) in &self.versions {
            let statement = self.library().statement(version)?;
            let statement = statement.with_context(|| format!("{version} is stored"))?;
            let found = version::read(self.library(), &statement.root)
                .with_context(|| format!("version {version}"))?;
            ensure!(found.len() == files.len(), "{version} has {} files", found.len());
            let seen = Seen::content(version, statement.root.digest);
            self.history.note("library", Deed::Rest, &version.to_string(), &[seen]);
        }
        for reader in &self.readers {
            version::read(self.library(), &reader.root)
                .with_context(|| format!("a reader of {}", reader.version))?;
            let seen = Seen::content(&reader.version, reader.root.digest);
            self.history.note("reader", Deed::Read, &reader.version.to_string(), &[seen]);
        }
        Ok(())
    }

    /// Everybody ends: what nothing refers to is gone, but for a rest in packs that are full enough.
    pub(super) fn end(mut self) -> Result<()> {
        while !self.drafts.is_empty() {
            self.publish(0)?;
        }
        self.judge()?;
        self.readers.clear();
        self.cleaning = None;
        let cleaning = match self.library().collect(self.options(), || ControlFlow::Continue(())) {
            Err(CollectError::Busy) => anyhow::bail!("an ended cleaning is still under way"),
            begun => begun?,
        };
        let collected = cleaning.finish(|_| ControlFlow::Continue(()))?;
        let stored = self.library().stat()?.stored_bytes;
        ensure!(collected.bytes_left * 2 <= stored, "{collected:?} of {stored}");
        self.judge()?;
        self.restart()?;
        self.judge()?;
        let report = self.library().check(|_| ControlFlow::Continue(()))?;
        ensure!(report.damaged.is_empty() && report.incomplete.is_empty(), "{report:?}");
        if !self.versions.is_empty() {
            self.history.expect_clean()?;
        }
        Ok(())
    }
}
