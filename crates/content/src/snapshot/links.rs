//! What a symbolic link of the source leads to, for packages that follow links.
//!
//! The way is gone component by component: each folder is opened through no link, each link is
//! read and gone by its text. So no step can leave the source folder, whatever happens to the
//! links meanwhile. The rules are those by which links are served (docs/formats/serving.md,
//! "Links"): an absolute target and `..` above the source folder lead out of it.

use std::collections::VecDeque;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::source::{Kind, Source, Stat, Trouble, join, stat_at, stat_of};

/// Links followed for one path before it counts as a circle (Linux allows as many).
const LINKS_MAX: usize = 40;
/// Components looked up for one path, so that links which multiply cannot keep a scan busy.
const STEPS_MAX: usize = 10_000;

/// Where a path leads once every link on it is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Beneath the root and without links; empty for the root itself.
    pub(super) real: Vec<u8>,
    /// Never a link.
    pub(super) stat: Stat,
}

/// Why a link cannot be followed.
#[derive(Debug)]
pub(super) enum Refused {
    /// It leads out of the source folder.
    Outside,
    /// Nothing is where it leads.
    Nothing,
    /// Links lead to each other.
    Circle,
    /// The way cannot be looked at.
    Trouble(Trouble),
}

/// Follows `path`, which starts in the folder at `from`, a path without links.
///
/// Cost: one open and one stat for each component.
pub(super) fn follow(source: &Source, from: &[u8], path: &[u8]) -> Result<Place, Refused> {
    let mut waiting: VecDeque<Vec<u8>> = components(path).collect();
    let mut here = from.to_vec();
    let (mut links, mut steps) = (0, 0);
    while let Some(name) = waiting.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." if here.is_empty() => return Err(Refused::Outside),
            b".." => {
                here.truncate(here.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            _ => {}
        }
        steps += 1;
        if steps > STEPS_MAX {
            return Err(Refused::Circle);
        }
        let (stat, target) = look(source, &here, &name)?;
        match target {
            Some(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Refused::Circle);
                }
                if target.starts_with(b"/") {
                    return Err(Refused::Outside);
                }
                components(&target).rev().for_each(|component| waiting.push_front(component));
            }
            None => {
                here = join(&here, &name);
                if stat.kind != Kind::Folder {
                    // Anything after a file, "." included, asks for a folder.
                    let is_end = waiting.is_empty();
                    return if is_end { Ok(Place { real: here, stat }) } else { Err(Refused::Nothing) };
                }
            }
        }
    }
    let stat = source.open(None, &here, OFlags::DIRECTORY).and_then(stat_of);
    let stat = stat.map_err(|errno| refused(source, &here, errno))?;
    Ok(Place { real: here, stat })
}

/// The target of the link `name` in the folder at `real`, as far as it can be read: for people.
pub(super) fn target_of(source: &Source, real: &[u8], name: &[u8]) -> Vec<u8> {
    look(source, real, name).ok().and_then(|(_, target)| target).unwrap_or_default()
}

fn components(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').map(<[u8]>::to_vec)
}

/// The stat of `name` in the folder at `folder`, and its target when it is a link.
fn look(source: &Source, folder: &[u8], name: &[u8]) -> Result<(Stat, Option<Vec<u8>>), Refused> {
    let looked = source.open(None, folder, OFlags::DIRECTORY).and_then(|fd| {
        use std::os::fd::AsFd as _;
        let stat = stat_at(fd.as_fd(), name)?;
        let target = match stat.kind {
            Kind::Symlink => Some(rustix::fs::readlinkat(&fd, name, Vec::new())?.into_bytes()),
            _ => None,
        };
        Ok((stat, target))
    });
    looked.map_err(|errno| refused(source, &join(folder, name), errno))
}

fn refused(source: &Source, path: &[u8], errno: Errno) -> Refused {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Refused::Nothing,
        errno => Refused::Trouble(source.trouble(path, errno)),
    }
}
