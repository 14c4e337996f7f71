//! A real file system in a loop-mounted image whose power can be cut.
//!
//! Needs root, loop devices, and the programs that make the file system. Cutting means the shutdown
//! ioctl of ext4 and xfs without flushing the log: what the journal and the disk have not, is gone.
//! It does not lose what a drive's own cache would.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::ioctl::{Setter, ioctl, opcode};

/// Which file system is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileSystem {
    Ext4,
    Xfs,
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub struct LoopDisk {
    image: PathBuf,
    mount: PathBuf,
    is_mounted: bool,
}

/// `XFS_IOC_GOINGDOWN`, which ext4 knows too: `_IOR('X', 125, u32)`.
const SHUTDOWN: u32 = opcode::read::<u32>(b'X', 125);
/// Stop without writing the log.
const WITHOUT_LOG_FLUSH: u32 = 2;

impl LoopDisk {
    /// Makes a file system of `size_mib` in an image in `folder` and mounts it there.
    pub fn create(folder: &Path, kind: FileSystem, size_mib: u64) -> Result<Self> {
        let image = folder.join("disk.image");
        let mount = folder.join("disk");
        std::fs::create_dir_all(&mount).with_context(|| format!("failed to make {}", mount.display()))?;
        let file = File::create(&image).with_context(|| format!("failed to make {}", image.display()))?;
        file.set_len(size_mib << 20).context("failed to size the image")?;
        let (program, options): (&str, &[&str]) = match kind {
            FileSystem::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            FileSystem::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        };
        run(Command::new(program).args(options).arg(&image))?;
        let mut disk = Self { image, mount, is_mounted: false };
        disk.mount()?;
        Ok(disk)
    }

    /// The folder it is mounted on.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power: from now on every access fails, and what was not durable is lost.
    #[expect(unsafe_code, reason = "there is no safe wrapper of this ioctl")]
    pub fn cut(&self) -> Result<()> {
        let folder = File::open(&self.mount).context("failed to open the mount point")?;
        // SAFETY: the request reads one u32 through the pointer, which is what `Setter` passes; it
        // changes no memory of this process.
        let result = unsafe { ioctl(&folder, Setter::<SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH)) };
        result.with_context(|| format!("{} has no shutdown ioctl", self.mount.display()))
    }

    /// Unmounts and mounts again, which replays the journal. No process may have files open there.
    pub fn remount(&mut self) -> Result<()> {
        self.unmount()?;
        self.mount()
    }

    fn mount(&mut self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.mount))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<()> {
        run(Command::new("umount").arg(&self.mount))?;
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            // The test is over; a mount that stays is seen in its folder, which cannot be removed.
            let _ended = Command::new("umount").arg("-l").arg(&self.mount).status();
        }
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
