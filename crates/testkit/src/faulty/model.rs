//! What is on the faulty disk: files with their synced and unsynced bytes, and the log of names.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Index of a file or folder; survives renames.
pub(super) type NodeId = usize;

#[derive(Debug)]
pub(super) enum Node {
    Folder,
    File(FileNode),
}

#[derive(Debug, Default)]
pub(super) struct FileNode {
    /// The bytes at the last sync.
    pub(super) durable: Vec<u8>,
    /// Changes since, in order.
    pub(super) unsynced: Vec<Change>,
    pub(super) is_read_only: bool,
}

/// One change of a file's bytes.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Truncate,
    /// At least this long.
    Reserve(u64),
    Write {
        offset: u64,
        bytes: Vec<u8>,
        /// A sync that covered this write has failed: the kernel shows it, the disk will never have it.
        is_lost: bool,
    },
}

impl Change {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Truncate => to.clear(),
            Self::Reserve(length) => extend(to, *length),
            Self::Write { offset, bytes, .. } => {
                let end = offset + bytes.len() as u64;
                extend(to, end);
                to[*offset as usize..end as usize].copy_from_slice(bytes);
            }
        }
    }

    /// What reaches the disk: a lost write leaves the length and whatever was there before.
    fn apply_durably(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes, is_lost: true } => extend(to, offset + bytes.len() as u64),
            other => other.apply(to),
        }
    }
}

fn extend(bytes: &mut Vec<u8>, length: u64) {
    if (bytes.len() as u64) < length {
        bytes.resize(length as usize, 0);
    }
}

/// One change of names.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Put { path: PathBuf, node: NodeId },
    Move { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

impl NameChange {
    fn touches(&self, folder: &Path) -> bool {
        let lies_in = |path: &Path| path.parent() == Some(folder);
        match self {
            Self::Put { path, .. } | Self::Remove { path } => lies_in(path),
            Self::Move { from, to } => lies_in(from) || lies_in(to),
        }
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Put { path, node } => {
                names.insert(path.clone(), *node);
            }
            Self::Remove { path } => {
                names.remove(path);
            }
            Self::Move { from, to } => {
                // A folder takes everything beneath it along.
                let moved: Vec<PathBuf> = names.keys().filter(|p| p.starts_with(from)).cloned().collect();
                for path in moved {
                    let node = names.remove(&path).expect("listed a moment ago");
                    let rest = path.strip_prefix(from).expect("filtered by this prefix");
                    let target = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(target, node);
                }
            }
        }
    }
}

/// Paths relative to the root, and what they name.
pub(super) type Names = BTreeMap<PathBuf, NodeId>;

#[derive(Debug)]
struct Logged {
    change: NameChange,
    is_synced: bool,
}

#[derive(Debug)]
enum Deferred {
    Sync(NodeId),
    Rename(NameChange),
    SyncFolder(PathBuf),
}

#[derive(Debug)]
pub(super) struct Model {
    nodes: Vec<Node>,
    base: Names,
    log: Vec<Logged>,
    /// Names as the process sees them.
    current: Names,
    deferred: Vec<Deferred>,
}

impl Model {
    /// Takes everything beneath `root` as durable.
    pub(super) fn adopt(root: &Path) -> io::Result<Self> {
        let mut model = Self {
            nodes: Vec::new(),
            base: Names::new(),
            log: Vec::new(),
            current: Names::new(),
            deferred: Vec::new(),
        };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                let relative = path.strip_prefix(root).expect("listed beneath the root").to_owned();
                let node = if path.is_dir() {
                    folders.push(path);
                    Node::Folder
                } else {
                    Node::File(read(&path)?)
                };
                model.nodes.push(node);
                model.base.insert(relative, model.nodes.len() - 1);
            }
        }
        model.current = model.base.clone();
        Ok(model)
    }

    fn log(&mut self, change: NameChange) {
        change.apply(&mut self.current);
        self.log.push(Logged { change, is_synced: false });
    }

    pub(super) fn create_folder(&mut self, path: &Path) {
        let missing: Vec<&Path> = path
            .ancestors()
            .filter(|p| !p.as_os_str().is_empty() && !self.current.contains_key(*p))
            .collect();
        for folder in missing.into_iter().rev() {
            self.nodes.push(Node::Folder);
            self.log(NameChange::Put { path: folder.to_owned(), node: self.nodes.len() - 1 });
        }
    }

    pub(super) fn create(&mut self, path: &Path) -> NodeId {
        if let Some(node) = self.current.get(path).copied() {
            self.file(node).unsynced.push(Change::Truncate);
            return node;
        }
        self.nodes.push(Node::File(FileNode::default()));
        let node = self.nodes.len() - 1;
        self.log(NameChange::Put { path: path.to_owned(), node });
        node
    }

    /// The file at `path`; one that was made without the trait is taken as durable.
    pub(super) fn find_or_adopt(&mut self, path: &Path, real: &Path) -> io::Result<NodeId> {
        if let Some(node) = self.current.get(path) {
            return Ok(*node);
        }
        self.nodes.push(Node::File(read(real)?));
        let node = self.nodes.len() - 1;
        self.base.insert(path.to_owned(), node);
        self.current.insert(path.to_owned(), node);
        Ok(node)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        self.log(NameChange::Move { from: from.to_owned(), to: to.to_owned() });
    }

    pub(super) fn remove(&mut self, path: &Path) {
        self.log(NameChange::Remove { path: path.to_owned() });
    }

    /// Makes the names in `folder` durable; true when a rename became durable by it.
    pub(super) fn sync_folder(&mut self, folder: &Path) -> bool {
        let mut has_rename = false;
        for logged in self.log.iter_mut().filter(|l| l.change.touches(folder)) {
            has_rename |= !logged.is_synced && matches!(logged.change, NameChange::Move { .. });
            logged.is_synced = true;
        }
        has_rename
    }

    pub(super) fn make_read_only(&mut self, path: &Path) {
        if let Some(node) = self.current.get(path).copied() {
            self.file(node).is_read_only = true;
        }
    }

    pub(super) fn write(&mut self, node: NodeId, bytes: &[u8], offset: u64) {
        self.file(node).unsynced.push(Change::Write { offset, bytes: bytes.to_vec(), is_lost: false });
    }

    pub(super) fn reserve(&mut self, node: NodeId, length: u64) {
        self.file(node).unsynced.push(Change::Reserve(length));
    }

    pub(super) fn sync(&mut self, node: NodeId) {
        let file = self.file(node);
        for change in std::mem::take(&mut file.unsynced) {
            change.apply_durably(&mut file.durable);
        }
    }

    /// A sync has failed: the pages are clean now, and their bytes will never be written.
    pub(super) fn lose_unsynced(&mut self, node: NodeId) {
        for change in &mut self.file(node).unsynced {
            if let Change::Write { is_lost, .. } = change {
                *is_lost = true;
            }
        }
    }

    pub(super) fn defer_sync(&mut self, node: NodeId) {
        self.deferred.push(Deferred::Sync(node));
    }

    pub(super) fn defer_rename(&mut self, from: &Path, to: &Path) {
        let change = NameChange::Move { from: from.to_owned(), to: to.to_owned() };
        change.apply(&mut self.current);
        self.deferred.push(Deferred::Rename(change));
    }

    pub(super) fn defer_sync_folder(&mut self, folder: &Path) {
        self.deferred.push(Deferred::SyncFolder(folder.to_owned()));
    }

    pub(super) fn do_deferred(&mut self) {
        for deferred in std::mem::take(&mut self.deferred) {
            match deferred {
                Deferred::Sync(node) => self.sync(node),
                Deferred::Rename(change) => self.log.push(Logged { change, is_synced: false }),
                Deferred::SyncFolder(folder) => {
                    self.sync_folder(&folder);
                }
            }
        }
    }

    fn file(&mut self, node: NodeId) -> &mut FileNode {
        match &mut self.nodes[node] {
            Node::File(file) => file,
            Node::Folder => panic!("a folder was used as a file"),
        }
    }

    pub(super) fn node(&self, node: NodeId) -> &Node {
        &self.nodes[node]
    }

    /// All names, synced or not.
    pub(super) fn names_all(&self) -> Names {
        self.names_where(|_, _| true)
    }

    /// The names that were synced.
    pub(super) fn names_synced(&self) -> Names {
        self.names_where(|_, logged| logged.is_synced)
    }

    /// The names as a journal that broke off would have them: every change up to some point, which
    /// `choose` picks from the number of changes after the last synced one.
    pub(super) fn names_up_to(&self, choose: impl FnOnce(usize) -> usize) -> Names {
        let synced = self.log.iter().rposition(|l| l.is_synced).map_or(0, |last| last + 1);
        let kept = synced + choose(self.log.len() - synced);
        self.names_where(|number, _| number < kept)
    }

    fn names_where(&self, keep: impl Fn(usize, &Logged) -> bool) -> Names {
        let mut names = self.base.clone();
        for (_, logged) in self.log.iter().enumerate().filter(|(i, l)| keep(*i, l)) {
            logged.change.apply(&mut names);
        }
        // What lies in a folder that is not there is not there either.
        let all = names.clone();
        let is_reachable = |path: &Path| {
            path.ancestors().skip(1).filter(|p| !p.as_os_str().is_empty()).all(|p| all.contains_key(p))
        };
        names.retain(|path, _| is_reachable(path));
        names
    }
}

fn read(path: &Path) -> io::Result<FileNode> {
    let is_read_only = std::fs::metadata(path)?.permissions().readonly();
    Ok(FileNode { durable: std::fs::read(path)?, unsynced: Vec::new(), is_read_only })
}
