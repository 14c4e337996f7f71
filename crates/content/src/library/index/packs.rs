//! The sealed packs of a library, and how a frame is found in them.

use std::io;
use std::sync::Arc;

use restock_names::Digest;

use super::file::{IndexError, IndexFile, Listed};
use super::tail::{TAIL_FRAMES_MAX, Tail};
use crate::pack::{Record, Run, SealedPack};

/// So many packs outside the file are put into it, however few their frames.
const TAIL_PACKS_MOST: usize = 256;
/// Frames outside the file are put into it from so many on, or from an eighth of those in it.
const TAIL_FRAMES_LEAST: usize = 1 << 16;

/// Packs by their number in the file's list; none where the pack is gone.
pub(super) type Slots = Vec<Option<Arc<SealedPack>>>;

/// A copy of a frame: its pack, the record's number, the record.
pub(in crate::library) type Found = (Arc<SealedPack>, u64, Record);

/// Sealed packs. Each is in the file, in the tail, or searched by itself.
#[derive(Debug, Default)]
pub(in crate::library) struct Packs {
    /// Newest first.
    all: Vec<Arc<SealedPack>>,
    merged: Option<InFile>,
    tail: Tail,
    /// Newest first.
    loose: Vec<Arc<SealedPack>>,
}

/// The file, and which of its packs are there.
#[derive(Debug)]
struct InFile {
    file: Arc<IndexFile>,
    packs: Slots,
    /// The highest sequence among them.
    newest: u64,
}

/// Why a frame cannot be looked up.
#[derive(Debug)]
pub(in crate::library) enum FindError {
    /// The table of a pack cannot be read.
    Table(Arc<SealedPack>, io::Error),
    /// The file is not to be trusted; without it the frame can be found.
    Index(Arc<IndexFile>, IndexError),
}

impl Packs {
    /// All packs, newest first.
    pub(in crate::library) fn all(&self) -> &[Arc<SealedPack>] {
        &self.all
    }

    /// The newest copy of a frame that `takes` takes.
    pub(in crate::library) fn find(
        &self,
        digest: &Digest,
        takes: impl Fn(&SealedPack, u64) -> bool,
    ) -> Result<Option<Found>, FindError> {
        let mut best = self.tail.find(digest, &takes)?;
        let is_newer = |best: &Option<Found>, sequence: u64| {
            best.as_ref().is_none_or(|(pack, ..)| sequence > pack.header.sequence)
        };
        if let Some(merged) = &self.merged
            && is_newer(&best, merged.newest)
        {
            let copies = merged
                .file
                .find(digest)
                .map_err(|error| FindError::Index(Arc::clone(&merged.file), error))?;
            for copy in copies {
                let pack = merged.packs.get(copy.pack as usize).and_then(Option::as_ref);
                let Some(pack) = pack.filter(|pack| is_newer(&best, pack.header.sequence)) else { continue };
                let number = u64::from(copy.number);
                if takes(pack, number) {
                    best = Some((Arc::clone(pack), number, copy.record));
                    break;
                }
            }
        }
        for pack in &self.loose {
            if !is_newer(&best, pack.header.sequence) {
                break;
            }
            let found = pack.find(digest).map_err(|source| FindError::Table(Arc::clone(pack), source))?;
            if let Some((number, record)) = found
                && takes(pack, number)
            {
                best = Some((Arc::clone(pack), number, record));
                break;
            }
        }
        Ok(best)
    }

    /// Takes a pack in. `run` is what its table has, if that could be read.
    pub(in crate::library) fn add(&mut self, pack: &Arc<SealedPack>, run: Option<Run>) {
        insert(&mut self.all, pack);
        match run.filter(|run| self.tail.admits(run.len())) {
            Some(run) => self.tail.add([(Arc::clone(pack), run)]),
            None => insert(&mut self.loose, pack),
        }
    }

    /// Takes up what a library found when it was opened: `all` its packs, and the file if there is one.
    pub(in crate::library) fn load(all: Vec<Arc<SealedPack>>, file: Option<IndexFile>) -> Self {
        let mut packs = Self { all, ..Self::default() };
        packs.all.sort_by_key(|pack| std::cmp::Reverse(pack.header.sequence));
        packs.loose = packs.all.clone();
        if let Some(file) = file {
            packs.install(Arc::new(file));
        }
        let (mut admitted, mut frames) = (Vec::new(), 0);
        // The newest are the ones that are asked for.
        for pack in std::mem::take(&mut packs.loose) {
            let fits = frames + pack.header.records as usize <= TAIL_FRAMES_MAX;
            // Of the others only what they come to is wanted.
            match pack.scan() {
                Ok(run) if fits => {
                    frames += run.len();
                    admitted.push((pack, run));
                }
                Ok(_) | Err(_) => packs.loose.push(pack),
            }
        }
        packs.tail.add(admitted);
        packs
    }

    /// Searches `file` from now on, and in no other way the packs that are in it.
    pub(in crate::library) fn install(&mut self, file: Arc<IndexFile>) {
        let is_it = |pack: &SealedPack, listed: &Listed| {
            pack.header.records == listed.records && pack.stem == stem(listed)
        };
        // Both go by sequence: `all` falls, the list rises.
        let in_file: Slots = file
            .packs
            .iter()
            .map(|listed| {
                let at = self.all.partition_point(|pack| pack.header.sequence > listed.sequence);
                let same = self.all[at..].iter().take_while(|pack| pack.header.sequence == listed.sequence);
                let mut found = same.filter(|pack| is_it(pack, listed));
                found.next().inspect(|pack| pack.set_tally(listed.tally)).cloned()
            })
            .collect();
        let is_in = |pack: &Arc<SealedPack>| {
            let at = file.packs.partition_point(|listed| listed.sequence < pack.header.sequence);
            in_file.get(at).and_then(Option::as_ref).is_some_and(|found| Arc::ptr_eq(found, pack))
        };
        self.tail.retain(|pack| !is_in(pack));
        self.loose.retain(|pack| !is_in(pack));
        in_file.iter().flatten().for_each(|pack| pack.end_search());
        // A file that takes the place of another has all that it had; if not, nothing is lost.
        let before = self.merged.take().into_iter().flat_map(|before| before.packs).flatten();
        for pack in before.filter(|pack| !is_in(pack)) {
            insert(&mut self.loose, &pack);
        }
        let newest = in_file.iter().flatten().map(|pack| pack.header.sequence).max().unwrap_or(0);
        self.merged = Some(InFile { file, packs: in_file, newest });
    }

    /// Searches `file` no more: its packs are searched one by one. False when it was not searched.
    pub(in crate::library) fn give_up(&mut self, file: &Arc<IndexFile>) -> bool {
        let Some(merged) = self.merged.take_if(|merged| Arc::ptr_eq(&merged.file, file)) else {
            return false;
        };
        merged.packs.iter().flatten().for_each(|pack| insert(&mut self.loose, pack));
        true
    }

    /// Takes packs out.
    pub(in crate::library) fn retain(&mut self, is_kept: impl Fn(&Arc<SealedPack>) -> bool) {
        self.all.retain(&is_kept);
        self.tail.retain(&is_kept);
        self.loose.retain(&is_kept);
        if let Some(merged) = &mut self.merged {
            for slot in &mut merged.packs {
                slot.take_if(|pack| !is_kept(pack));
            }
            merged.newest = merged.packs.iter().flatten().map(|pack| pack.header.sequence).max().unwrap_or(0);
        }
    }

    /// The file and those of its packs that are there.
    pub(super) fn in_file(&self) -> Option<(Arc<IndexFile>, Slots)> {
        self.merged.as_ref().map(|merged| (Arc::clone(&merged.file), merged.packs.clone()))
    }

    /// Packs that are not in the file.
    pub(super) fn outside(&self) -> Vec<Arc<SealedPack>> {
        self.tail.packs().iter().chain(&self.loose).cloned().collect()
    }

    /// Is it worth writing the file anew? `is_usable` tells which of the packs outside could be put in.
    pub(super) fn is_due(&self, is_usable: impl Fn(&SealedPack) -> bool) -> bool {
        let entries = self.merged.as_ref().map_or(0, |merged| merged.file.head.entries as usize);
        let frames = (entries / 8).clamp(TAIL_FRAMES_LEAST, TAIL_FRAMES_MAX / 2);
        self.loose.iter().any(|pack| is_usable(pack))
            || self.tail.packs().len() >= TAIL_PACKS_MOST
            || self.tail.frames() >= frames
    }

    /// Frames in the file, frames found through memory, packs searched by themselves, reads so far.
    pub(super) fn counts(&self) -> (u64, u64, u64, u64) {
        let merged = self.merged.as_ref();
        let reads = self.all.iter().map(|pack| pack.reads()).sum::<u64>()
            + merged.map_or(0, |merged| merged.file.reads());
        let entries = merged.map_or(0, |merged| merged.file.head.entries);
        (entries, self.tail.frames() as u64, self.loose.len() as u64, reads)
    }
}

/// The name of a listed pack without its ending.
pub(super) fn stem(listed: &Listed) -> String {
    let name = listed.name.iter().fold(String::with_capacity(16), |mut text, byte| {
        use std::fmt::Write;
        // Writing to a text does not fail.
        let _always = write!(text, "{byte:02x}");
        text
    });
    format!("{:016x}-{name}", listed.sequence)
}

fn insert(packs: &mut Vec<Arc<SealedPack>>, pack: &Arc<SealedPack>) {
    let at = packs.partition_point(|other| other.header.sequence > pack.header.sequence);
    packs.insert(at, Arc::clone(pack));
}
