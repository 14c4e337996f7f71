//! The sources of packages: folders that every site reads by the same UNC path.
//!
//! A change raises the generation, which stands in the name of a file: so every version tells which
//! state of the source it has.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::content::GENERATION;
use crate::random::Random;

/// The UNC form by which packages name the folder.
pub(crate) const ALIAS: &str = r"\\fs01\src";

/// The folder of all sources.
#[derive(Debug)]
pub(crate) struct Sources {
    folder: PathBuf,
}

impl Sources {
    pub(crate) fn create(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder: folder.canonicalize()? })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path a package is created with.
    pub(crate) fn unc(name: &str) -> String {
        format!(r"{ALIAS}\{name}")
    }

    /// Makes the source of `name` be of this generation.
    pub(crate) fn write(&self, name: &str, generation: u64, random: &mut Random) -> io::Result<()> {
        let folder = self.folder.join(name);
        std::fs::create_dir_all(&folder)?;
        if generation > 1 {
            std::fs::remove_file(folder.join(format!("{GENERATION}{:08}", generation - 1)))?;
        }
        std::fs::write(
            folder.join(format!("{GENERATION}{generation:08}")),
            format!("{name} {generation}\n"),
        )?;
        if generation == 1 {
            std::fs::write(folder.join("readme.txt"), format!("the software {name}\n").repeat(20))?;
        }
        // A length of its own for each generation: a change that no clock tick separates is seen.
        let length = 64 + 7 * (generation as usize % 500) + random.below(7) as usize;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        bytes.truncate(length);
        write(&folder.join("setup.bin"), &bytes, generation)
    }
}

/// Writes a file whose time says the generation, so that every run has the same manifests.
fn write(path: &Path, bytes: &[u8], generation: u64) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000 + generation))
}
