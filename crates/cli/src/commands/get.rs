//! `restock get`: an object, or with a folder a version of a package as plain files.

mod http;
mod listing;
mod remote;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;
use restock_content::get::{ChunkSource, GetError, GetOptions, GetReport};
use restock_content::library::Library;
use restock_content::manifest::{Manifest, ManifestRoot, PageSource};
use restock_names::{Digest, HumanBytes};
use serde::Serialize;

use self::remote::Remote;
use crate::commands::library::{LibraryDoor, open};
use crate::commands::objects::{self, As};
use crate::commands::progress::ProgressLine;
use crate::commands::version_ref::version_ref;
use crate::commands::{Session, package_id};
use crate::control::{Ask, ContentRoot, VersionRef, library_root};
use crate::failure::{Failure, Kind, chain};
use crate::output::{Done, count, shown_path};

const EXAMPLE: &str = "\
Example:
  restock get 'SMS_Package.PackageID=\"XYZ00001\"'     an object
  restock get XYZ00001 ./editor                      the version that is served, as files
  restock get XYZ00001.3 ./editor --delete           version 3, and nothing else in the folder
  restock --data /srv/dp1 get XYZ00001 ./editor      from the library of a DP
  restock get XYZ00001 ./editor --from https://dp1:8726 --ca ca.pem --token-file token";

/// Show one object with all its properties; with DEST bring a package's files into a folder
///
/// With DEST: every file is checked against its digest. What DEST holds already is reused, whatever
/// its name, so that only what it lacks is fetched; a run that was interrupted goes on where it
/// ended. Names, bytes, permission bits, times and links are those of the version; owners are the
/// caller's, and set-user and set-group bits are not given.
///
/// The content comes from the library of the site or DP of --data, or with --from from a DP's HTTP
/// address. Over HTTP links arrive as the files they lead to, and times in whole seconds.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Get {
    /// The object, such as SMS_Package.PackageID="XYZ00001"; with DEST: PKG or PKG.VERSION
    #[arg(value_name = "PATH|PKG")]
    what: String,

    /// Folder that is to hold the files; it is made if need be
    #[arg(value_name = "DEST", conflicts_with = "user")]
    destination: Option<PathBuf>,

    /// Remove from DEST what the version does not have
    #[arg(long, requires = "destination")]
    delete: bool,

    /// Address of a DP's content, in place of the library of --data
    #[arg(long, value_name = "URL", requires = "destination")]
    from: Option<String>,

    /// File with a content token (restock content-token create), for packages that are not public; sent
    /// over https only
    #[arg(long, value_name = "FILE", requires = "from")]
    token_file: Option<PathBuf>,

    /// File with the certificate that https is to be trusted by, in PEM
    #[arg(long, value_name = "FILE", requires = "from")]
    ca: Option<PathBuf>,

    #[command(flatten)]
    r#as: As,
}

/// What `--json` prints of a version that was brought.
#[derive(Debug, Serialize)]
struct Brought {
    package: String,
    version: u32,
    destination: String,
    files: u64,
    folders: u64,
    symlinks: u64,
    bytes: u64,
    files_kept: u64,
    bytes_fetched: u64,
    others: u64,
    removed: u64,
}

impl Get {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let Some(destination) = &self.destination else {
            return objects::get::show_one(session, self.r#as, self.what);
        };
        let of = version_ref(&self.what)?;
        let options = GetOptions { removes_others: self.delete };
        let mut line = ProgressLine::new(session.output, "getting");
        let got = match &self.from {
            Some(url) => {
                let access = http::Access { url, token: self.token_file.as_deref(), ca: self.ca.as_deref() };
                http::get(&access, of, destination, options, &mut line)
            }
            None => from_library(session, of, destination, options, &mut line),
        };
        line.finish();
        let (of, report) = got?;
        Ok(done(of, destination, &report))
    }
}

/// Brings a version from the library of the data folder into `destination`.
pub(in crate::commands) fn export(
    session: &Session,
    what: &str,
    destination: &Path,
    removes_others: bool,
) -> Result<Done, Failure> {
    let of = version_ref(what)?;
    let mut line = ProgressLine::new(session.output, "exporting");
    let got = from_library(session, of, destination, GetOptions { removes_others }, &mut line);
    line.finish();
    let (of, report) = got?;
    Ok(done(of, destination, &report))
}

fn done(of: VersionRef, destination: &Path, report: &GetReport) -> Done {
    let version = of.version.map_or(0, |version| version.0);
    let brought = Brought {
        package: of.package.to_string(),
        version,
        destination: destination.to_string_lossy().into_owned(),
        files: report.files,
        folders: report.folders,
        symlinks: report.symlinks,
        bytes: report.bytes_total,
        files_kept: report.files_kept,
        bytes_fetched: report.bytes_fetched,
        others: report.others,
        removed: report.removed,
    };
    let mut text = format!(
        "{} version {version} is in {}: {}, {}; {} fetched, {} as they were.\n",
        of.package,
        shown_path(destination),
        count(report.files, "file"),
        HumanBytes(report.bytes_total),
        HumanBytes(report.bytes_fetched),
        count(report.files_kept, "file"),
    );
    match (report.others, report.removed) {
        (0, 0) => {}
        (0, n) => text.push_str(&format!("{} that the version does not have: removed.\n", count(n, "entry"))),
        (n, _) => text.push_str(&format!(
            "{} that the version does not have: left there (--delete removes them).\n",
            count(n, "entry")
        )),
    }
    Done::with(&brought, text)
}

fn from_library(
    session: &Session,
    of: VersionRef,
    destination: &Path,
    options: GetOptions,
    line: &mut ProgressLine,
) -> Result<(VersionRef, GetReport), Failure> {
    let folder = session.folder()?;
    keep_apart(folder.path(), destination)?;
    match open(&folder, "restock get")? {
        LibraryDoor::Running(client) => {
            let remote = Remote::new(client);
            let root: ContentRoot = remote.ask(Ask::ContentRoot(of))?;
            let mut chunks = &remote;
            bring(&remote, root, &mut chunks, destination, options, line)
        }
        LibraryDoor::Opened(library, _lock) => {
            let root = library_root(&library, of)?;
            let _hold = library.hold();
            bring(&*library, root, &mut FromLibrary(&library), destination, options, line)
        }
    }
}

/// A library that this process has open.
struct FromLibrary<'a>(&'a Library);

impl ChunkSource for FromLibrary<'_> {
    fn chunks(
        &mut self,
        wanted: &[Digest],
    ) -> Result<Vec<Vec<u8>>, Box<dyn std::error::Error + Send + Sync>> {
        wanted.iter().map(|digest| self.0.read(digest).map_err(Into::into)).collect()
    }
}

fn bring(
    pages: &dyn PageSource,
    root: ContentRoot,
    chunks: &mut dyn ChunkSource,
    destination: &Path,
    options: GetOptions,
    line: &mut ProgressLine,
) -> Result<(VersionRef, GetReport), Failure> {
    let manifest = Manifest::new(pages, ManifestRoot::from(root.root));
    let mut progress = |report: &GetReport| {
        line.show(report.bytes_total, root.root.bytes);
        ControlFlow::Continue(())
    };
    let report = restock_content::get::get(&manifest, destination, chunks, options, &mut progress)
        .map_err(|error| failure(&error))?;
    let version = root.version;
    Ok((VersionRef { package: version.package, version: Some(version.version) }, report))
}

/// The destination must not lie in the data folder, nor hold it.
fn keep_apart(data: &Path, destination: &Path) -> Result<(), Failure> {
    let real = |path: &Path| {
        // What is not there yet lies where the nearest folder above it lies.
        path.ancestors().find_map(|above| {
            let rest = path.strip_prefix(above).ok()?;
            Some(above.canonicalize().ok()?.join(rest))
        })
    };
    let absolute = std::path::absolute(destination)
        .map_err(|e| Failure::caused(Kind::Usage, format!("cannot use {}", shown_path(destination)), &e))?;
    let (Some(data), Some(destination)) = (real(data), real(&absolute)) else { return Ok(()) };
    if destination.starts_with(&data) || data.starts_with(&destination) {
        let text = format!(
            "DEST_IS_DATA: {} and the data folder {} lie within each other",
            shown_path(&destination),
            shown_path(&data)
        );
        return Err(Failure::refused(text).hint("another folder"));
    }
    Ok(())
}

/// Why a version could not be brought, as a failure.
fn failure(error: &GetError) -> Failure {
    let (kind, hint) = match error {
        GetError::InTheWay { .. } => (Kind::Refused, "take it away, or name another folder"),
        GetError::NameTaken => (Kind::Refused, "read the version from a DP over HTTP"),
        GetError::Busy(_) => (Kind::Refused, "wait until the other run has ended"),
        GetError::NoSpace { .. } => (Kind::Failed, "make room; a further run goes on where this one ended"),
        GetError::Mismatch { .. } | GetError::Manifest(_) => (Kind::Failed, "restock library check"),
        GetError::Fetch(_) | GetError::Io { .. } | GetError::Cancelled => {
            (Kind::Failed, "the same command again: it goes on where this run ended")
        }
    };
    Failure::new(kind, chain(error)).hint(hint)
}

/// A package ID that may be meant as an object: used in the hint of a path that is none.
pub(crate) fn is_package(text: &str) -> bool {
    package_id(text.split(['.', '@']).next().unwrap_or(text)).is_ok()
}
