//! What a distribution point knows of a package beside its content: whether anybody may read it,
//! and its name.
//!
//! One small file, replaced as a whole. A package without a record is not public. Removed with the
//! package. Source: docs/formats/serving.md, "packages.json".

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use restock_content::files::{Files, replace};
use restock_names::PackageId;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
/// The file's name in the distribution point's folder.
pub const PACKAGES_FILE: &str = "packages.json";

/// The records of all packages, in memory and on disk.
#[derive(Debug)]
pub struct Packages {
    files: Arc<dyn Files>,
    path: PathBuf,
    records: RwLock<BTreeMap<PackageId, PackageFacts>>,
}

/// The record of one package.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PackageFacts {
    /// Anybody may read it without a right.
    pub is_public: bool,
    /// Its name, shown only.
    pub name: String,
    /// The folder of plain files it is kept in too, see [`crate::Shares`]; none for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    packages: BTreeMap<PackageId, PackageFacts>,
}

/// Why the records cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    #[error("failed to read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} is not a list of packages", .path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("{} has format {found}, this version reads up to {FORMAT}", .path.display())]
    Format { path: PathBuf, found: u32 },
    #[error("failed to write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

impl Packages {
    /// Reads the records in `folder`; none when the file is not there.
    pub fn open(files: Arc<dyn Files>, folder: &Path) -> Result<Self, PackagesError> {
        let path = folder.join(PACKAGES_FILE);
        let records = match std::fs::read(&path) {
            Ok(bytes) => {
                let stored: Stored = serde_json::from_slice(&bytes)
                    .map_err(|source| PackagesError::Form { path: path.clone(), source })?;
                if stored.format != FORMAT {
                    return Err(PackagesError::Format { path, found: stored.format });
                }
                stored.packages
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(PackagesError::Read { path, source }),
        };
        Ok(Self { files, path, records: RwLock::new(records) })
    }

    /// Whether anybody may read `package`.
    pub fn is_public(&self, package: &PackageId) -> bool {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(package).is_some_and(|facts| facts.is_public)
    }

    /// The record of `package`, the default one when there is none.
    pub fn facts(&self, package: &PackageId) -> PackageFacts {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records.get(package).cloned().unwrap_or_default()
    }

    /// Replaces the record of `package`. On an error the old one stays, in memory and on disk.
    pub fn set(&self, package: PackageId, facts: PackageFacts) -> Result<(), PackagesError> {
        self.change(|records| match records.get(&package) {
            Some(known) if *known == facts => false,
            _ => {
                records.insert(package, facts);
                true
            }
        })
    }

    /// Forgets `package`; from then on it is not public.
    pub fn remove(&self, package: &PackageId) -> Result<(), PackagesError> {
        self.change(|records| records.remove(package).is_some())
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<PackageId, PackageFacts>) -> bool,
    ) -> Result<(), PackagesError> {
        let mut records = self.records.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = records.clone();
        if !change(&mut changed) {
            return Ok(());
        }
        let stored = Stored { format: FORMAT, packages: changed };
        let bytes = serde_json::to_vec_pretty(&stored).expect("strings and flags are JSON");
        replace(&*self.files, &self.path, &bytes)
            .map_err(|source| PackagesError::Write { path: self.path.clone(), source })?;
        *records = stored.packages;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{PackageFacts, Packages, PackagesError};
    use restock_content::files::DiskFiles;
    use restock_names::PackageId;

    #[test]
    fn records_survive_a_restart_and_end_with_the_package() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Packages::open(Arc::new(DiskFiles), folder.path());
        let package: PackageId = "XYZ00001".parse().expect("valid");
        let packages = open().expect("opens");
        assert!(!packages.is_public(&package));
        let facts = PackageFacts { is_public: true, name: "=cmd()\n\"".into(), share: Some("Apps$".into()) };
        packages.set(package, facts.clone()).expect("written");
        let again = open().expect("opens");
        assert_eq!((again.is_public(&package), again.facts(&package)), (true, facts));
        again.remove(&package).expect("written");
        assert!(!open().expect("opens").is_public(&package));
    }

    #[test]
    fn a_file_of_another_format_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(super::PACKAGES_FILE);
        std::fs::write(&path, r#"{"format":2,"packages":{}}"#).expect("written");
        let opened = Packages::open(Arc::new(DiskFiles), folder.path());
        assert!(matches!(opened, Err(PackagesError::Format { found: 2, .. })));
        std::fs::write(&path, "{").expect("written");
        let opened = Packages::open(Arc::new(DiskFiles), folder.path());
        assert!(matches!(opened, Err(PackagesError::Form { .. })));
    }
}
