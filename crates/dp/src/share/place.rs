//! Where a package's two trees lie, and how they change places in one step.
//!
//! Where the file system can exchange two names ([`Switching::Exchange`]) the seen tree is the folder
//! itself and the spare one lies in the share's own folder. Elsewhere ([`Switching::Link`]) both lie
//! there, and the folder is a link to one of them that is replaced.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use restock_content::manifest::ManifestRoot;
use restock_names::PackageId;
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use super::state::Tree;
use super::{OWN_FOLDER, ShareError, folders};

/// How two trees change places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switching {
    Exchange,
    Link,
}

/// Finds out what the file system can do.
pub(super) fn probe(own: &OwnedFd) -> Result<Switching, Errno> {
    folders::empty_trash(own.as_fd())?;
    let names = ["probe-1", "probe-2"];
    for name in names {
        match rustix::fs::mkdirat(own, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
    let exchanged = rustix::fs::renameat_with(own, names[0], own, names[1], RenameFlags::EXCHANGE);
    for name in names {
        rustix::fs::unlinkat(own, name, AtFlags::REMOVEDIR)?;
    }
    match exchanged {
        Ok(()) => Ok(Switching::Exchange),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(Switching::Link),
        Err(errno) => Err(errno),
    }
}

/// Keeps others out of the share's own folder; where links lead into it, they may pass.
pub(super) fn protect(own: &OwnedFd, switching: Switching) -> Result<(), Errno> {
    let mode = match switching {
        Switching::Exchange => Mode::RWXU,
        Switching::Link => Mode::RWXU | Mode::XGRP | Mode::XOTH,
    };
    rustix::fs::fchmod(own, mode)
}

/// One package's place in a share.
pub(super) struct Place<'s> {
    pub(super) root: BorrowedFd<'s>,
    /// The share's own folder.
    pub(super) own: BorrowedFd<'s>,
    /// The path of the root, for people.
    pub(super) path: &'s Path,
    pub(super) package: PackageId,
    pub(super) name: String,
    pub(super) switching: Switching,
}

impl Place<'_> {
    /// Where the folder is seen.
    pub(super) fn live_path(&self) -> PathBuf {
        self.path.join(&self.name)
    }

    fn own_path(&self) -> PathBuf {
        self.path.join(OWN_FOLDER)
    }

    /// The two names of trees in the share's own folder; with exchanging only the first is used.
    fn own_names(&self) -> [String; 2] {
        [format!("{}.1", self.package), format!("{}.2", self.package)]
    }

    /// The name of the tree to which the folder is a link.
    fn linked(&self) -> Result<Option<String>, ShareError> {
        let target = match rustix::fs::readlinkat(self.root, self.name.as_str(), Vec::new()) {
            Ok(target) => target.into_bytes(),
            // Nothing there, or no link.
            Err(Errno::NOENT | Errno::INVAL) => return Ok(None),
            Err(errno) => return Err(ShareError::io("read the link", self.live_path())(errno)),
        };
        Ok(self.own_names().into_iter().find(|name| target == format!("{OWN_FOLDER}/{name}").into_bytes()))
    }

    fn spare_name(&self) -> Result<String, ShareError> {
        let [first, second] = self.own_names();
        let is_first_seen = self.switching == Switching::Link && self.linked()?.as_ref() == Some(&first);
        Ok(if is_first_seen { second } else { first })
    }

    /// Opens the tree that is seen, if it is the one of the record.
    pub(super) fn open_live(&self, tree: Option<&Tree>) -> Result<Option<OwnedFd>, ShareError> {
        let Some(tree) = tree else { return Ok(None) };
        let opened = match self.switching {
            Switching::Exchange => folders::open_at(self.root, self.name.as_str()),
            Switching::Link => match self.linked()? {
                Some(name) => folders::open_at(self.own, name.as_str()),
                None => return Ok(None),
            },
        };
        self.if_it_is(tree, opened)
    }

    /// Opens the spare tree, if it is the one of the record and nobody wrote into its top since.
    pub(super) fn open_spare(&self, tree: &Tree) -> Result<Option<OwnedFd>, ShareError> {
        let opened = self.if_it_is(tree, folders::open_at(self.own, self.spare_name()?.as_str()))?;
        let Some(fd) = opened else { return Ok(None) };
        let stat = rustix::fs::fstat(&fd).map_err(ShareError::io("look at", self.own_path()))?;
        Ok((folders::mtime_ns(&stat) == tree.mtime_ns).then_some(fd))
    }

    fn if_it_is(&self, tree: &Tree, opened: Result<OwnedFd, Errno>) -> Result<Option<OwnedFd>, ShareError> {
        let fd = match opened {
            Ok(fd) => fd,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(ShareError::io("open", self.live_path())(errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(ShareError::io("look at", self.live_path()))?;
        Ok((folders::inode(&stat) == tree.inode).then_some(fd))
    }

    /// A spare tree that holds nothing.
    pub(super) fn empty_spare(&self) -> Result<OwnedFd, ShareError> {
        self.remove_spare()?;
        let name = self.spare_name()?;
        let failed = |errno| ShareError::io("make", self.own_path().join(&name))(errno);
        rustix::fs::mkdirat(self.own, name.as_str(), Mode::from_raw_mode(0o755)).map_err(failed)?;
        let fd = folders::open_at(self.own, name.as_str()).map_err(failed)?;
        // Whatever the umask of the process: what is shared is for others to read.
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(0o755)).map_err(failed)?;
        Ok(fd)
    }

    pub(super) fn remove_spare(&self) -> Result<(), ShareError> {
        let name = self.spare_name()?;
        folders::remove_tree(self.own, self.own, name.as_str())
            .map_err(ShareError::io("remove", self.own_path().join(&name)))?;
        Ok(())
    }

    /// What the record says of a tree that is finished.
    pub(super) fn describe(&self, tree: &OwnedFd, root: ManifestRoot) -> Result<Tree, ShareError> {
        let stat = rustix::fs::fstat(tree).map_err(ShareError::io("look at", self.live_path()))?;
        Ok(Tree::new(folders::inode(&stat), folders::mtime_ns(&stat), root))
    }

    /// Lets the spare tree be seen, and the one that was seen be the spare one.
    pub(super) fn switch(&self, is_seen: bool) -> Result<(), ShareError> {
        let failed = |errno| ShareError::io("switch", self.live_path())(errno);
        let spare = self.spare_name()?;
        match self.switching {
            Switching::Exchange => {
                let flags = if is_seen { RenameFlags::EXCHANGE } else { RenameFlags::NOREPLACE };
                rustix::fs::renameat_with(self.own, spare.as_str(), self.root, self.name.as_str(), flags)
                    .map_err(failed)?;
            }
            Switching::Link => {
                let link = format!("{}.link", self.package);
                match rustix::fs::unlinkat(self.own, link.as_str(), AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(failed(errno)),
                }
                rustix::fs::symlinkat(format!("{OWN_FOLDER}/{spare}"), self.own, link.as_str())
                    .map_err(failed)?;
                rustix::fs::renameat(self.own, link.as_str(), self.root, self.name.as_str())
                    .map_err(failed)?;
            }
        }
        self.sync()
    }

    fn sync(&self) -> Result<(), ShareError> {
        rustix::fs::fsync(self.root).map_err(ShareError::io("sync", self.path))?;
        rustix::fs::fsync(self.own).map_err(ShareError::io("sync", self.own_path()))
    }

    /// True when there is something under the folder's name.
    pub(super) fn is_taken(&self) -> Result<bool, ShareError> {
        let stat = folders::stat_at(self.root, self.name.as_str());
        Ok(stat.map_err(ShareError::io("look at", self.live_path()))?.is_some())
    }

    /// Gives the folder another name.
    pub(super) fn rename_live_to(&self, new: &Self) -> Result<(), ShareError> {
        let (from, to) = (self.name.as_str(), new.name.as_str());
        match rustix::fs::renameat_with(self.root, from, self.root, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS) => rustix::fs::renameat(self.root, from, self.root, to),
            renamed => renamed,
        }
        .map_err(ShareError::io("rename", self.live_path()))?;
        self.sync()
    }

    /// Removes the folder if it is the tree of the record, then all that is the package's own.
    pub(super) fn remove(&self, tree: Option<&Tree>) -> Result<(), ShareError> {
        let failed = |errno| ShareError::io("remove", self.live_path())(errno);
        if self.open_live(tree)?.is_some() {
            folders::remove_tree(self.own, self.root, self.name.as_str()).map_err(failed)?;
        } else if let Some(stat) = folders::stat_at(self.root, self.name.as_str()).map_err(failed)?
            && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
            && self.linked()?.is_some()
        {
            rustix::fs::unlinkat(self.root, self.name.as_str(), AtFlags::empty()).map_err(failed)?;
        }
        for name in self.own_names() {
            folders::remove_tree(self.own, self.own, name.as_str()).map_err(failed)?;
        }
        self.sync()
    }
}
