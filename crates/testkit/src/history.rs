//! What a fault suite asked for and saw, written down, and checked afterwards.
//!
//! A harness takes a [`History`], which is a file of JSON lines (docs/formats/history.md), and notes
//! each call twice: when it is made and when its answer is there. An answer that never came is
//! *unknown*, not failed: its effect may be there or not. [`check`] reads the file and judges it with
//! four rules, [`Rule`]. It knows nothing of Restock but that versions are pairs of epoch and version
//! that only rise, and it cannot find what nobody observed.

mod check;
mod record;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result, ensure};
use restock_names::{ContentVersion, Digest};

use record::{End, Record};

pub use check::{HistoryError, Rule, Verdict, Violation, check, check_file};
#[doc(hidden)]
pub use record::fuzz_one;

/// Where histories are kept; without it they go when the suite ends well.
const FOLDER_VARIABLE: &str = "RESTOCK_HISTORY_FOLDER";

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Asks that a version be made or served. Once answered, at least what the answer names must be
    /// there when everything has come to rest.
    Change,
    /// Looks at what is there.
    Read,
    /// Looks when everything has come to rest: whatever was acknowledged before must show.
    Rest,
}

/// One version as an observer saw it, or as an answer promised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The epoch, 1 for what has none.
    pub epoch: u32,
    /// The version: a source version, or a number that rises in the same way.
    pub version: u32,
    /// The digest of the whole content, where the observer knows it.
    pub root: Option<Digest>,
}

impl Seen {
    /// Epoch 1, and no content.
    pub fn version(version: u64) -> Self {
        Self { epoch: 1, version: u32::try_from(version).unwrap_or(u32::MAX), root: None }
    }

    /// A content version with the root of its manifest.
    pub fn content(version: &ContentVersion, root: Digest) -> Self {
        Self { epoch: version.epoch.0, version: version.version.0, root: Some(root) }
    }

    /// What orders versions.
    fn number(&self) -> (u32, u32) {
        (self.epoch, self.version)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.version)
    }
}

/// A history that is being written; clones share it.
#[derive(Debug, Clone)]
pub struct History(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    /// Goes with the history unless it is to be kept.
    _folder: Option<tempfile::TempDir>,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    calls: u64,
}

/// A call without an answer. Dropped without one, it stays unknown.
#[derive(Debug)]
#[must_use = "a call without an answer is unknown for ever"]
pub struct Pending {
    history: History,
    id: u64,
}

impl History {
    /// An empty history of a suite: in the folder that `RESTOCK_HISTORY_FOLDER` names, else in one
    /// that goes with it.
    pub fn new(suite: &str) -> Self {
        Self::in_folder(suite).expect("the folder for histories can be written")
    }

    fn in_folder(suite: &str) -> io::Result<Self> {
        let name = format!("{suite}-{}", std::process::id());
        let (folder, at) = match std::env::var_os(FOLDER_VARIABLE) {
            Some(kept) => (None, PathBuf::from(kept)),
            None => {
                let folder = crate::scratch()?;
                let at = folder.path().to_owned();
                (Some(folder), at)
            }
        };
        let mut number = 0;
        let (path, mut file) = loop {
            let path = at.join(format!("{name}-{number}.jsonl"));
            match File::create_new(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        };
        file.write_all(record::heading(suite).as_bytes())?;
        let log = Mutex::new(Log { file, calls: 0 });
        Ok(Self(Arc::new(Shared { path, _folder: folder, log })))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock().expect("no code panics while holding this lock")
    }

    /// Notes that `observer` calls now. `of`: a package, or a package and a path in it.
    pub fn begin(&self, observer: &str, deed: Deed, of: &str) -> Pending {
        let mut log = self.log();
        log.calls += 1;
        let id = log.calls;
        let (observer, of) = (observer.to_owned(), of.to_owned());
        log.write(&Record::Invoke { id, observer, deed, of });
        Pending { history: self.clone(), id }
    }

    /// A call that is over at once and was answered.
    pub fn note(&self, observer: &str, deed: Deed, of: &str, seen: &[Seen]) {
        self.begin(observer, deed, of).ok(seen);
    }

    /// Reads the history back and judges it.
    pub fn verdict(&self) -> Result<Verdict> {
        check_file(&self.0.path).with_context(|| format!("failed to check {}", self.0.path.display()))
    }

    /// The verdict of a history without violations and with at least one call.
    pub fn expect_clean(&self) -> Result<Verdict> {
        let verdict = self.verdict()?;
        ensure!(verdict.calls > 0, "nothing was written into the history");
        if let Some(first) = verdict.violations.first() {
            let kept = std::env::temp_dir().join(self.0.path.file_name().unwrap_or_default());
            std::fs::copy(&self.0.path, &kept).context("failed to keep the history")?;
            anyhow::bail!("{first} ({} in all, see {})", verdict.violations.len(), kept.display());
        }
        Ok(verdict)
    }
}

impl Log {
    fn write(&mut self, record: &Record) {
        let line = record.encode();
        self.file.write_all(line.as_bytes()).expect("the history can be written");
    }
}

impl Pending {
    fn end(self, end: End) {
        self.history.log().write(&Record::End { id: self.id, end });
    }

    /// It was answered: with what was seen, one for each piece of the answer, or with the version
    /// that was promised. Nothing: the observer was told that there is nothing.
    pub fn ok(self, seen: &[Seen]) {
        self.end(End::Ok(seen.to_vec()));
    }

    /// It was refused and has had no effect.
    pub fn failed(self, why: &str) {
        self.end(End::Failed(why.to_owned()));
    }

    /// No answer came, or one that leaves open whether it had an effect.
    pub fn unknown(self) {
        self.end(End::Unknown);
    }
}

/// A history that is checked when it is dropped, for worlds of many small tests.
#[derive(Debug)]
pub struct Watched(pub History);

impl Drop for Watched {
    fn drop(&mut self) {
        // A test that fails already says why itself.
        if !std::thread::panicking() {
            let verdict = self.0.verdict().expect("the history can be read");
            assert!(verdict.violations.is_empty(), "{}", verdict.violations[0]);
        }
    }
}
