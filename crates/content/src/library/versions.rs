//! Statements of content versions, and the pointer that makes one active.

use std::io;
use std::path::{Path, PathBuf};

use restock_names::{ContentVersion, Epoch, PackageId, SourceVersion};

use super::{Inner, Library, LibraryError, Recovered, io_error};
use crate::codec::Reader;
use crate::files::replace;
use crate::statement::{Statement, StatementError};

const POINTER_MAGIC: &[u8; 4] = b"RSpp";
const FORMAT: u16 = 1;
/// Of a statement file that is none, instead of `statement`.
const DAMAGED_EXTENSION: &str = "damaged";

impl Library {
    /// Keeps a statement durably. The objects it names must be sealed before.
    pub fn store_statement(&self, statement: &Statement) -> Result<(), LibraryError> {
        let path = self.inner.statement_path(&statement.version);
        let folder = path.parent().expect("a statement lies in its package's folder");
        if !folder.exists() {
            self.inner.files.create_folder(folder).map_err(io_error("create", folder))?;
            let parent = self.inner.folder.join("versions");
            self.inner.files.sync_folder(&parent).map_err(io_error("sync", &parent))?;
        }
        replace(&*self.inner.files, &path, &encode_statement(statement)).map_err(io_error("write", &path))
    }

    /// The statement of one version.
    pub fn statement(&self, version: &ContentVersion) -> Result<Option<Statement>, LibraryError> {
        self.inner.statement(version)
    }

    /// All statements of a package, oldest first.
    pub fn statements(&self, package: &PackageId) -> Result<Vec<Statement>, LibraryError> {
        let folder = self.inner.folder.join("versions").join(package.as_str());
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(LibraryError::Io { step: "read", path: folder, source }),
        };
        let mut statements = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error("read", &folder))?.file_name();
            let Some(version) = name.to_str().and_then(|name| parse_statement_name(*package, name)) else {
                continue;
            };
            statements.extend(self.inner.statement(&version)?);
        }
        statements.sort_by_key(|statement| statement.version);
        Ok(statements)
    }

    /// Makes a version the one that is served: one small file is replaced.
    ///
    /// Errors: its statement is not stored; a higher version is active (`VERSION_DOWNGRADE`).
    pub fn activate(&self, version: &ContentVersion) -> Result<(), LibraryError> {
        let statement = self.statement(version)?.ok_or(LibraryError::NoStatement(*version))?;
        if let Some(active) = self.active(&version.package)
            && active.version > *version
        {
            return Err(LibraryError::Downgrade { have: active.version, got: *version });
        }
        let path = self.inner.pointer_path(&version.package);
        replace(&*self.inner.files, &path, &encode_pointer(version)).map_err(io_error("write", &path))?;
        self.inner
            .active
            .write()
            .expect("no code panics while holding this lock")
            .insert(version.package, statement);
        Ok(())
    }

    /// The active version of a package.
    pub fn active(&self, package: &PackageId) -> Option<Statement> {
        self.inner.active.read().expect("no code panics while holding this lock").get(package).cloned()
    }

    /// Packages with an active version, in order.
    pub fn packages(&self) -> Vec<PackageId> {
        self.inner.active.read().expect("no code panics while holding this lock").keys().copied().collect()
    }

    /// Removes a package: the pointer first, then its statements. Frames stay until cleaning.
    pub fn forget(&self, package: &PackageId) -> Result<(), LibraryError> {
        self.inner.active.write().expect("no code panics while holding this lock").remove(package);
        let pointer = self.inner.pointer_path(package);
        self.inner.files.remove(&pointer).map_err(io_error("remove", &pointer))?;
        let folder = self.inner.folder.join("packages");
        self.inner.files.sync_folder(&folder).map_err(io_error("sync", &folder))?;
        for statement in self.statements(package)? {
            self.remove_statement(&statement.version)?;
        }
        let scan = self.scan_cache_path(package);
        self.inner.files.remove(&scan).map_err(io_error("remove", &scan))
    }

    /// Removes one statement, for example of a draft that was never published.
    pub fn remove_statement(&self, version: &ContentVersion) -> Result<(), LibraryError> {
        let path = self.inner.statement_path(version);
        self.inner.files.remove(&path).map_err(io_error("remove", &path))?;
        match path.parent() {
            Some(folder) if folder.exists() => {
                self.inner.files.sync_folder(folder).map_err(io_error("sync", folder))
            }
            _ => Ok(()),
        }
    }
}

impl Inner {
    fn statement_path(&self, version: &ContentVersion) -> PathBuf {
        let name = format!("{:08x}.{:08x}.statement", version.epoch.0, version.version.0);
        self.folder.join("versions").join(version.package.as_str()).join(name)
    }

    fn pointer_path(&self, package: &PackageId) -> PathBuf {
        self.folder.join("packages").join(package.as_str())
    }

    fn statement(&self, version: &ContentVersion) -> Result<Option<Statement>, LibraryError> {
        let path = self.statement_path(version);
        match std::fs::read(&path) {
            Ok(bytes) => {
                decode_statement(&bytes).map(Some).map_err(|source| LibraryError::Statement { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LibraryError::Io { step: "read", path, source }),
        }
    }

    /// Packages that have a folder of statements.
    pub(super) fn packages_with_statements(&self) -> Result<Vec<PackageId>, LibraryError> {
        let folder = self.folder.join("versions");
        let mut packages = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let name = entry.map_err(io_error("read", &folder))?.file_name();
            packages.extend(name.to_str().and_then(|name| name.parse::<PackageId>().ok()));
        }
        packages.sort();
        Ok(packages)
    }

    pub(super) fn load_pointers(&self, recovered: &mut Recovered) -> Result<(), LibraryError> {
        let folder = self.folder.join("packages");
        // Names that are believed from here on must survive a power cut (see recover_packs).
        let versions = self.folder.join("versions");
        for at in [&folder, &versions] {
            self.files.sync_folder(at).map_err(io_error("sync", at))?;
        }
        for package in self.packages_with_statements()? {
            let at = versions.join(package.as_str());
            self.set_damaged_statements_aside(package, &at, recovered)?;
            self.files.sync_folder(&at).map_err(io_error("sync", &at))?;
        }
        for entry in std::fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let entry = entry.map_err(io_error("read", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".tmp") {
                self.files.remove(&entry.path()).map_err(io_error("remove", &entry.path()))?;
                continue;
            }
            match self.load_pointer(&name) {
                Ok(statement) => {
                    let mut active = self.active.write().expect("no code panics while holding this lock");
                    active.insert(statement.version.package, statement);
                }
                Err(reason) => {
                    tracing::error!(package = name, reason, "package has no usable active version");
                    recovered.pointers_damaged.push((name, reason));
                }
            }
        }
        Ok(())
    }

    /// Renames statement files that are none, so that one of an old version keeps nobody from reading the
    /// others; the caller syncs the folder.
    fn set_damaged_statements_aside(
        &self,
        package: PackageId,
        folder: &Path,
        recovered: &mut Recovered,
    ) -> Result<(), LibraryError> {
        for entry in std::fs::read_dir(folder).map_err(io_error("read", folder))? {
            let path = entry.map_err(io_error("read", folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(version) = name.and_then(|name| parse_statement_name(package, name)) else { continue };
            let reason = match self.statement(&version) {
                Ok(Some(statement)) if statement.version != version => "it is of another version".to_owned(),
                Err(LibraryError::Statement { source, .. }) => source.to_string(),
                _ => continue,
            };
            tracing::error!(%version, reason, "a statement is damaged and set aside");
            let aside = path.with_extension(DAMAGED_EXTENSION);
            self.files.rename(&path, &aside).map_err(io_error("rename", &path))?;
            recovered.statements_damaged.push((version, reason));
        }
        Ok(())
    }

    fn load_pointer(&self, name: &str) -> Result<Statement, String> {
        let package: PackageId = name.parse().ok().ok_or("the file's name is not a package ID")?;
        let bytes = std::fs::read(self.pointer_path(&package)).map_err(|error| error.to_string())?;
        let version = decode_pointer(package, &bytes).ok_or("the pointer is damaged")?;
        match self.statement(&version) {
            Ok(Some(statement)) if statement.version == version => Ok(statement),
            Ok(Some(_)) => Err("the statement is of another version".to_owned()),
            Ok(None) => Err("the statement is missing".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn parse_statement_name(package: PackageId, name: &str) -> Option<ContentVersion> {
    let (epoch, version) = name.strip_suffix(".statement")?.split_once('.')?;
    let number = |hex: &str| (hex.len() == 8).then(|| u32::from_str_radix(hex, 16).ok()).flatten();
    Some(ContentVersion { package, epoch: Epoch(number(epoch)?), version: SourceVersion(number(version)?) })
}

/// A statement's file: its bytes and their checksum. The signature is for others; that a bit of the file
/// changed shows without any key.
fn encode_statement(statement: &Statement) -> Vec<u8> {
    let mut bytes = statement.encode();
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads a statement's file; one of an earlier release has no checksum.
fn decode_statement(bytes: &[u8]) -> Result<Statement, StatementError> {
    match bytes.split_last_chunk() {
        Some((statement, checksum)) if crc32fast::hash(statement).to_le_bytes() == *checksum => {
            Statement::decode(statement)
        }
        _ => Statement::decode(bytes),
    }
}

fn encode_pointer(version: &ContentVersion) -> Vec<u8> {
    let mut bytes = POINTER_MAGIC.to_vec();
    bytes.extend(FORMAT.to_le_bytes());
    bytes.extend(version.package.as_str().as_bytes());
    bytes.extend(version.epoch.0.to_le_bytes());
    bytes.extend(version.version.0.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

fn decode_pointer(package: PackageId, bytes: &[u8]) -> Option<ContentVersion> {
    let mut reader = Reader::new(bytes);
    let is_pointer = reader.take(4).ok()? == POINTER_MAGIC
        && reader.u16().ok()? == FORMAT
        && reader.take(8).ok()? == package.as_str().as_bytes();
    let version = ContentVersion {
        package,
        epoch: Epoch(reader.u32().ok()?),
        version: SourceVersion(reader.u32().ok()?),
    };
    let checked = bytes.get(..reader.at())?;
    let is_right = reader.u32().ok()? == crc32fast::hash(checked) && reader.finish().is_ok();
    (is_pointer && is_right).then_some(version)
}
