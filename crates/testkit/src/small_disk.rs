//! A file system in memory of a chosen size, mounted over a folder, that can be full and grow.
//!
//! Needs root. Its writes fail at once with ENOSPC; errors that a real file system keeps until a sync are
//! not shown by it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system over `folder`, with the files that are there and `free_bytes` beside them.
    ///
    /// Nothing may have files open there.
    pub fn mount_over(folder: &Path, free_bytes: u64) -> Result<Self> {
        let aside = folder.with_extension("aside");
        std::fs::rename(folder, &aside).with_context(|| format!("failed to move {}", folder.display()))?;
        std::fs::create_dir(folder).with_context(|| format!("failed to make {}", folder.display()))?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=1g,mode=700", "tmpfs"]).arg(folder))?;
        let disk = Self { folder: folder.to_owned() };
        run(Command::new("cp").arg("-a").arg(format!("{}/.", aside.display())).arg(folder))?;
        std::fs::remove_dir_all(&aside).with_context(|| format!("failed to remove {}", aside.display()))?;
        disk.leave_free(free_bytes)?;
        Ok(disk)
    }

    /// Bytes that are free.
    pub fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(&self.folder).context("failed to ask for the room")?;
        Ok(found.f_bavail * found.f_frsize)
    }

    /// Sets the size so that this much is free beside what is there.
    pub fn leave_free(&self, free_bytes: u64) -> Result<()> {
        let found = rustix::fs::statvfs(&self.folder).context("failed to ask for the room")?;
        let used = (found.f_blocks - found.f_bfree) * found.f_frsize;
        let options = format!("remount,size={}", used + free_bytes);
        run(Command::new("mount").args(["-o", &options]).arg(&self.folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A mount that stays is seen in its folder, which cannot be removed.
        let _ended = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let out = command.output().with_context(|| {
        format!("{:?} did not start; cargo xtask ci installs what is missing", command.get_program())
    })?;
    if !out.status.success() {
        bail!("{command:?} ended with {}: {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}
