//! Opening a library after any kind of end: sealed packs are loaded, open ones recovered.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use restock_names::{ContentVersion, Digest, Epoch, PackageId, SourceVersion};

use super::index::Packs;
use super::live::Live;
use super::placed::Draft;
use super::{DraftId, Inner, LibraryError, io_error, is_working_state};
use crate::codec::Reader;
use crate::pack::{
    HEADER_BYTES, Header, OpenFiles, OpenPack, PackState, RECORD_BYTES, Record, SealedPack, decode_frame,
    open_data_path, open_table_path, plan_path,
};

const DRAFT_BYTES: usize = 16;

/// What opening a library found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Open packs whose frames were kept.
    pub packs_recovered: u64,
    /// Frames of open packs whose bytes have their digest.
    pub frames_kept: u64,
    /// Records of open packs that were dropped: bytes missing or wrong.
    pub frames_dropped: u64,
    /// Packs that cannot be used, with the reason. They stay where they are, as evidence.
    pub packs_damaged: Vec<(String, String)>,
    /// Packages whose pointer or statement cannot be read, with the reason.
    pub pointers_damaged: Vec<(String, String)>,
    /// Versions whose statement file is none, with the reason. The file is set aside, as evidence, and
    /// the version counts as not stored.
    pub statements_damaged: Vec<(ContentVersion, String)>,
    /// True when the index could not be used: it is made anew, and packs are searched meanwhile.
    pub is_index_damaged: bool,
}

/// The files of one pack sequence number.
#[derive(Default)]
struct Found {
    sealed: BTreeMap<String, (bool, bool)>,
    is_open: bool,
}

impl Inner {
    pub(super) fn recover_packs(&self, recovered: &mut Recovered) -> Result<(), LibraryError> {
        let folder = self.packs_folder();
        let mut found: BTreeMap<u64, Found> = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(io_error("read", &folder))? {
            let entry = entry.map_err(io_error("read", &folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".tmp") {
                self.files.remove(&entry.path()).map_err(io_error("remove", &entry.path()))?;
                continue;
            }
            let Some((stem, end)) = name.rsplit_once('.') else { continue };
            let Some(sequence) = stem.get(..16).and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
                continue;
            };
            let at = found.entry(sequence).or_default();
            match (stem.get(16..), end) {
                (Some(".open"), "data" | "table" | "plan") => at.is_open = true,
                (Some(_), "data") => at.sealed.entry(stem.to_owned()).or_default().0 = true,
                (Some(_), "table") => at.sealed.entry(stem.to_owned()).or_default().1 = true,
                _ => {}
            }
        }
        // A process may have ended between giving a pack its names and syncing them: they are believed
        // from here on, so a power cut must not take them away again.
        self.files.sync_folder(&folder).map_err(io_error("sync", &folder))?;
        self.next_sequence.store(found.keys().max().map_or(1, |last| last + 1), Ordering::Relaxed);
        let mut sealed = Vec::new();
        for (sequence, found) in found {
            self.recover_sequence(&folder, sequence, found, &mut sealed, recovered)?;
        }
        // Packs that were sealed just now are there too.
        sealed.extend(self.sealed());
        let (index, is_damaged) = self.open_index();
        recovered.is_index_damaged = is_damaged;
        *self.lock_packs_to_change() = Packs::load(sealed, index);
        Ok(())
    }

    fn recover_sequence(
        &self,
        folder: &Path,
        sequence: u64,
        found: Found,
        sealed: &mut Vec<Arc<SealedPack>>,
        recovered: &mut Recovered,
    ) -> Result<(), LibraryError> {
        let mut is_sealed = false;
        let mut is_open = found.is_open;
        for (stem, (data, table)) in &found.sealed {
            match (data, table) {
                (true, true) => {
                    is_sealed = true;
                    sealed.extend(load_sealed(folder, stem, &self.open_files, recovered));
                }
                // Cut between the two renames of sealing: the open pack is taken up again.
                (true, false) => {
                    let from = folder.join(format!("{stem}.data"));
                    let to = open_data_path(folder, sequence);
                    self.files.rename(&from, &to).map_err(io_error("rename", &from))?;
                    is_open = true;
                }
                (false, _) if found.is_open => {
                    let path = folder.join(format!("{stem}.table"));
                    self.files.remove(&path).map_err(io_error("remove", &path))?;
                }
                (false, _) => recovered.packs_damaged.push((stem.clone(), "its data file is missing".into())),
            }
        }
        if is_open && !is_sealed && self.recover_open(folder, sequence, recovered)? {
            return Ok(());
        }
        if is_open {
            for path in [
                plan_path(folder, sequence),
                open_table_path(folder, sequence),
                open_data_path(folder, sequence),
            ] {
                self.files.remove(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }

    /// Keeps the frames of an open pack whose bytes have their digest. False when none has: the
    /// files are of no use then.
    fn recover_open(
        &self,
        folder: &Path,
        sequence: u64,
        recovered: &mut Recovered,
    ) -> Result<bool, LibraryError> {
        let (table_path, data_path) = (open_table_path(folder, sequence), open_data_path(folder, sequence));
        let (Ok(table), Ok(data)) = (std::fs::read(&table_path), std::fs::File::open(&data_path)) else {
            return Ok(false);
        };
        if !Header::decode(table.get(..HEADER_BYTES as usize).unwrap_or_default())
            .is_ok_and(|header| header.sequence == sequence && is_working_state(header.state))
        {
            return Ok(false);
        }
        let mut kept: Vec<Record> = Vec::new();
        let mut seen: BTreeSet<Digest> = BTreeSet::new();
        for bytes in table[HEADER_BYTES as usize..].chunks(RECORD_BYTES as usize) {
            if bytes.iter().all(|byte| *byte == 0) {
                continue;
            }
            match Record::decode(bytes) {
                Ok(record) if is_right(&data, &record) => {
                    if seen.insert(record.digest) {
                        kept.push(record);
                    }
                }
                _ => recovered.frames_dropped += 1,
            }
        }
        let plan = read_plan(folder, sequence);
        if kept.is_empty() {
            return Ok(false);
        }
        recovered.packs_recovered += 1;
        recovered.frames_kept += kept.len() as u64;
        let pack = OpenPack::resume(&*self.files, folder, sequence, self.id.0, &kept)
            .map_err(io_error("take up", &data_path))?;
        let pack = Arc::new(pack);
        match plan {
            Some((id, planned)) => {
                let mut drafts = self.lock_drafts();
                let draft = drafts.entry(id).or_insert_with(|| Draft::new(self.new_live()));
                kept.iter().for_each(|record| draft.live.written(&pack, *record));
                draft.add(vec![(pack, planned)]);
            }
            None => {
                let live = Live::default();
                self.seal(&live, vec![pack])?;
            }
        }
        Ok(true)
    }
}

/// A sealed pack, unless it cannot be used.
fn load_sealed(
    folder: &Path,
    stem: &str,
    files: &Arc<OpenFiles>,
    recovered: &mut Recovered,
) -> Option<Arc<SealedPack>> {
    match SealedPack::open(folder, stem, files) {
        Ok(pack) => Some(Arc::new(pack)),
        Err(error) => {
            tracing::error!(pack = stem, error = %error, "pack cannot be used and is set aside");
            recovered.packs_damaged.push((stem.to_owned(), error.to_string()));
            None
        }
    }
}

fn is_right(data: &std::fs::File, record: &Record) -> bool {
    let mut stored = vec![0; record.stored_length as usize];
    data.read_exact_at(&mut stored, record.offset).is_ok()
        && decode_frame(record.encoding, &stored, record.raw_length)
            .is_ok_and(|raw| record.kind.digest(&raw) == record.digest)
}

/// The plan of an open pack; `None` when there is none or it is damaged.
fn read_plan(folder: &Path, sequence: u64) -> Option<(DraftId, Vec<Record>)> {
    let bytes = std::fs::read(plan_path(folder, sequence)).ok()?;
    let header = Header::decode(bytes.get(..HEADER_BYTES as usize)?).ok()?;
    let mut reader = Reader::new(bytes.get(HEADER_BYTES as usize..)?);
    let package: PackageId = std::str::from_utf8(reader.take(8).ok()?).ok()?.parse().ok()?;
    let draft = ContentVersion {
        package,
        epoch: Epoch(reader.u32().ok()?),
        version: SourceVersion(reader.u32().ok()?),
    };
    let records = bytes.get(HEADER_BYTES as usize + DRAFT_BYTES..)?.chunks(RECORD_BYTES as usize);
    let planned: Vec<Record> = records.map(|bytes| Record::decode(bytes).ok()).collect::<Option<_>>()?;
    let is_whole = header.state == PackState::Planned && planned.len() as u64 == header.records;
    is_whole.then_some((draft, planned))
}
