//! What happens to the fleet every half minute.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use restock_testkit::fleet::{Fleet, Member};
use restock_testkit::random::Random;

use super::DPS;
use super::content::Content;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A distribution point or the site stands still and goes on.
    Pause,
    /// A distribution point is killed and started.
    KillPoint,
    /// The source is out of reach for a while.
    HideSource,
    /// Cleaning at once, everywhere.
    Clean,
    /// The site is killed and started.
    KillSite,
    /// A bit of a pack flips while its distribution point is away.
    FlipBit,
    /// A member is stopped and started in good order.
    Restart,
    /// A pack is gone when its distribution point comes back.
    RemovePack,
}

impl Fault {
    pub(super) const ALL: [Self; 8] = [
        Self::Pause,
        Self::KillPoint,
        Self::HideSource,
        Self::Clean,
        Self::KillSite,
        Self::FlipBit,
        Self::Restart,
        Self::RemovePack,
    ];
}

/// Takes the members in turn.
#[derive(Debug, Default)]
pub(super) struct Faults {
    count: usize,
}

impl Faults {
    /// Does it; true when something was met.
    pub(super) fn inflict(
        &mut self,
        fault: Fault,
        fleet: &mut Fleet,
        content: &Content,
        random: &mut Random,
    ) -> Result<bool> {
        self.count += 1;
        let point = Member::Dp(1 + self.count % DPS);
        let members = fleet.members();
        let anybody = members[random.index(members.len())];
        match fault {
            Fault::Pause => {
                let process = fleet.process(anybody).context("everybody runs")?;
                process.pause(true);
                std::thread::sleep(Duration::from_secs(1));
                process.pause(false);
            }
            Fault::KillPoint => restart(fleet, point, true)?,
            Fault::KillSite => restart(fleet, Member::Site, true)?,
            Fault::Restart => restart(fleet, anybody, false)?,
            Fault::HideSource => {
                let away = content.folder().with_extension("away");
                std::fs::rename(content.folder(), &away)?;
                std::thread::sleep(Duration::from_secs(1));
                std::fs::rename(&away, content.folder())?;
            }
            Fault::Clean => {
                for member in members {
                    let answer = fleet.call_at(member, &["library", "gc", "--grace", "0s"])?;
                    ensure!(answer.code == 0, "{member:?}: {}", answer.talk);
                }
            }
            Fault::FlipBit => {
                fleet.stop(point, true)?;
                flip_bit(&largest_pack(&fleet.library(point))?, random)?;
                fleet.start(point, None)?;
            }
            Fault::RemovePack => {
                fleet.stop(point, true)?;
                std::fs::remove_file(largest_pack(&fleet.library(point))?)?;
                fleet.start(point, None)?;
            }
        }
        Ok(true)
    }
}

fn restart(fleet: &mut Fleet, member: Member, is_killed: bool) -> Result<()> {
    fleet.stop(member, is_killed)?;
    fleet.start(member, None)
}

/// The sealed data that most frames lie in.
fn largest_pack(library: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(library.join("packs"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".data") && !name.contains(".open.") {
            found.push((entry.metadata()?.len(), entry.path()));
        }
    }
    found.into_iter().max().map(|(_, path)| path).context("there is no pack")
}

fn flip_bit(file: &Path, random: &mut Random) -> Result<()> {
    let bytes = std::fs::read(file)?;
    std::fs::set_permissions(file, Permissions::from_mode(0o644))?;
    let at = random.index(bytes.len());
    OpenOptions::new()
        .write(true)
        .open(file)?
        .write_all_at(&[bytes[at] ^ 1 << random.below(8)], at as u64)?;
    Ok(())
}
