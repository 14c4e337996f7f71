//! A tar archive in the `ustar` form of POSIX.1-1988: regular files with short names.

use std::fs::File;
use std::io::{self, Write};

use restock_names::Timestamp;

const BLOCK: usize = 512;
/// The longest name that the form holds in one field, in bytes.
const NAME_BYTES_MAX: usize = 100;

/// An archive that is being written.
#[derive(Debug)]
pub(super) struct Tar {
    file: File,
    mtime: i64,
    files: u64,
    bytes: u64,
}

impl Tar {
    pub(super) fn new(file: File, now: Timestamp) -> Self {
        Self { file, mtime: now.0.div_euclid(1_000_000).max(0), files: 0, bytes: 0 }
    }

    /// Adds a file. A name that is too long is cut.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(&header(name, bytes.len() as u64, self.mtime))?;
        self.file.write_all(bytes)?;
        let padding = bytes.len().next_multiple_of(BLOCK) - bytes.len();
        self.file.write_all(&[0; BLOCK][..padding])?;
        self.files += 1;
        self.bytes += (BLOCK + bytes.len() + padding) as u64;
        Ok(())
    }

    /// Ends the archive; its files and bytes.
    pub(super) fn finish(mut self) -> io::Result<(u64, u64)> {
        self.file.write_all(&[0; 2 * BLOCK])?;
        self.file.sync_all()?;
        Ok((self.files, self.bytes + 2 * BLOCK as u64))
    }
}

fn header(name: &str, length: u64, mtime: i64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name.as_bytes()[..name.len().min(NAME_BYTES_MAX)]);
    put(100, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{length:011o}\0").as_bytes());
    put(136, format!("{mtime:011o}\0").as_bytes());
    // The sum counts its own field as spaces.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}
