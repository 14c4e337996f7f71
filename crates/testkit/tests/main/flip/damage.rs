//! One damage to one file of a member that does not run.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use restock_testkit::random::Random;

/// Which file is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Data,
    Table,
    Statement,
    Pointer,
    ScanCache,
    Database,
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    FlipBit,
    Truncate,
    Delete,
    Zero,
}

/// How many bytes are replaced by zeros: a page.
const ZEROS: usize = 4096;

impl Damage {
    pub(super) const ALL: [Self; 4] = [Self::FlipBit, Self::Truncate, Self::Delete, Self::Zero];

    /// Does it to a file; false when the file is the same afterwards.
    pub(super) fn inflict(self, file: &Path, random: &mut Random) -> Result<bool> {
        let before = std::fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        if self == Self::Delete || before.is_empty() {
            std::fs::remove_file(file)?;
            return Ok(true);
        }
        // Sealed packs are read-only, even for who damages them.
        std::fs::set_permissions(file, Permissions::from_mode(0o644))?;
        let out = OpenOptions::new().write(true).open(file)?;
        let at = random.index(before.len());
        match self {
            Self::FlipBit => out.write_all_at(&[before[at] ^ 1 << random.below(8)], at as u64)?,
            Self::Truncate => out.set_len(at as u64)?,
            Self::Zero | Self::Delete => {
                let from = at / ZEROS * ZEROS;
                let length = ZEROS.min(before.len() - from);
                out.write_all_at(&vec![0; length], from as u64)?;
            }
        }
        out.sync_all()?;
        Ok(std::fs::read(file)? != before)
    }
}

impl Place {
    /// A file of this kind in a member's data folder.
    pub(super) fn pick(self, data: &Path, random: &mut Random) -> Result<PathBuf> {
        let library = data.join("library");
        let found = match self {
            Self::Data => files(&library.join("packs"), "data")?,
            Self::Table => files(&library.join("packs"), "table")?,
            Self::Statement => files(&library.join("versions"), "statement")?,
            Self::Pointer => files(&library.join("packages"), "")?,
            Self::ScanCache => files(&library.join("scan"), "")?,
            Self::Database => vec![data.join("site.db")],
        };
        anyhow::ensure!(!found.is_empty(), "there is no {self:?} in {}", data.display());
        Ok(found[random.index(found.len())].clone())
    }
}

/// All files beneath a folder whose names end so, in order.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("failed to list {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, extension)?);
        } else if path.extension().unwrap_or_default() == extension {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
