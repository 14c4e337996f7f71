//! Receiving: chunks that go to offsets planned before the first byte arrives.

use std::collections::HashMap;
use std::sync::Arc;

use restock_names::Digest;

use super::hold::Hold;
use super::live::Live;
use super::{DraftId, Inner, Library, LibraryError, SealReport, io_error};
use crate::files::replace;
use crate::hash::compare;
use crate::pack::{Encoding, FrameKind, Header, OpenPack, PackState, Record, plan_path};
use crate::plan::{Missing, place};

/// Where the frames of a draft are to lie: planned records, each with the number of its pack, found by
/// digest. Memory: 64 bytes a frame.
#[derive(Debug, Clone, Default)]
struct Planned(Vec<(Record, u32)>);

impl Planned {
    fn add(&mut self, pack: u32, records: Vec<Record>) {
        self.0.extend(records.into_iter().map(|record| (record, pack)));
    }

    /// Brings what was added into the order in which it is found.
    fn sort(&mut self) {
        // Stable: what was in order before is only merged.
        self.0.sort_by(|(a, _), (b, _)| compare(&a.digest, &b.digest));
    }

    fn get(&self, digest: &Digest) -> Option<&(Record, u32)> {
        let at = self.0.binary_search_by(|(record, _)| compare(&record.digest, digest)).ok()?;
        self.0.get(at)
    }
}

/// A pack, and the frames that are to come to it.
pub(super) type PlannedPack = (Arc<OpenPack>, Vec<Record>);

/// What was received of one version so far.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) live: Arc<Live>,
    packs: Vec<Arc<OpenPack>>,
    planned: Arc<Planned>,
}

impl Draft {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self { live, packs: Vec::new(), planned: Arc::default() }
    }

    /// Adds packs with the frames that are planned in them.
    pub(super) fn add(&mut self, packs: Vec<PlannedPack>) {
        let planned = Arc::make_mut(&mut self.planned);
        for (pack, records) in packs {
            let number = u32::try_from(self.packs.len()).expect("a version has fewer packs than frames");
            planned.add(number, records);
            self.packs.push(pack);
        }
        planned.sort();
    }
}

/// Takes the missing chunks of one version, each at its planned offset, from many threads.
///
/// What was recorded stays recorded when this is dropped or the process dies: the next
/// [`Library::begin_receive`] for the same draft goes on where it ended.
#[derive(Debug)]
pub struct PlacedWriter {
    inner: Arc<Inner>,
    id: DraftId,
    draft: Draft,
    /// What was not planned because it is held must stay.
    _hold: Hold,
}

impl Library {
    /// Plans a place for each of `missing`, or takes up the plan an earlier attempt recorded.
    ///
    /// Errors: no room (the space is reserved here), I/O.
    pub fn begin_receive(&self, draft: &DraftId, missing: &[Missing]) -> Result<PlacedWriter, LibraryError> {
        let id = *draft;
        let known = self.inner.lock_drafts().get(&id).cloned();
        let mut draft = known.unwrap_or_else(|| Draft::new(self.inner.new_live()));
        let is_planned = |chunk: &Missing| draft.planned.get(&chunk.digest).is_some();
        let rest: Vec<Missing> = missing.iter().filter(|chunk| !is_planned(chunk)).copied().collect();
        if !rest.is_empty() {
            let needed = rest.iter().map(|chunk| u64::from(chunk.length)).sum();
            self.inner.check_space(needed)?;
            draft.add(self.inner.plan(&id, &rest)?);
        }
        self.inner.lock_drafts().insert(id, draft.clone());
        Ok(PlacedWriter { inner: Arc::clone(&self.inner), id, draft, _hold: Hold::new(&self.inner) })
    }

    /// Gives up what was received for a draft that will not be finished.
    pub fn abandon(&self, draft: &DraftId) {
        let Some(draft) = self.inner.lock_drafts().remove(draft) else { return };
        draft.packs.iter().for_each(|pack| self.inner.give_up(&draft.live, pack));
        self.inner.drop_live(&draft.live);
    }

    /// Keeps what was received for a draft that another version has overtaken: it is sealed, and
    /// counts as held from then on.
    pub fn settle(&self, draft: &DraftId) -> Result<SealReport, LibraryError> {
        let draft = self.inner.lock_drafts().remove(draft);
        draft.map_or(Ok(SealReport::default()), |draft| self.inner.seal_draft(draft))
    }

    /// Drafts with recorded frames.
    pub fn drafts(&self) -> Vec<DraftId> {
        self.inner.lock_drafts().keys().copied().collect()
    }
}

impl Inner {
    pub(super) fn lock_drafts(&self) -> std::sync::MutexGuard<'_, HashMap<DraftId, Draft>> {
        self.drafts.lock().expect("no code panics while holding this lock")
    }

    fn seal_draft(&self, draft: Draft) -> Result<SealReport, LibraryError> {
        let sealed = self.seal(&draft.live, draft.packs);
        self.drop_live(&draft.live);
        sealed
    }

    /// Makes packs for what is missing, with room for it; each with the records that are to be in it.
    fn plan(&self, draft: &DraftId, missing: &[Missing]) -> Result<Vec<PlannedPack>, LibraryError> {
        let (places, lengths) = place(missing);
        let mut tables: Vec<Vec<Record>> = vec![Vec::new(); lengths.len()];
        for (chunk, at) in missing.iter().zip(&places) {
            tables[at.pack].push(Record {
                digest: chunk.digest,
                offset: at.offset,
                stored_length: chunk.length,
                raw_length: chunk.length,
                encoding: Encoding::Raw,
                kind: FrameKind::Chunk,
            });
        }
        let folder = self.packs_folder();
        let mut packs: Vec<PlannedPack> = Vec::new();
        let mut plan = |records: Vec<Record>, length| {
            let sequence = self.next_sequence();
            let pack = OpenPack::create(&*self.files, &folder, sequence, self.id.0)
                .map_err(io_error("create a pack in", &folder))?;
            let planned = self.encode_plan(sequence, draft, length, &records);
            // From here on it is given up when something fails.
            packs.push((Arc::new(pack), records));
            let (pack, _) = &packs[packs.len() - 1];
            pack.reserve(length).map_err(io_error("reserve space in", &folder))?;
            let path = plan_path(&folder, sequence);
            replace(&*self.files, &path, &planned).map_err(io_error("write", &path))
        };
        let planned = tables.into_iter().zip(lengths).try_for_each(|(records, length)| plan(records, length));
        match planned {
            Ok(()) => Ok(packs),
            Err(error) => {
                // A full disk must not stay full of room that nobody uses.
                packs.iter().for_each(|(pack, _)| pack.discard(&*self.files));
                Err(error)
            }
        }
    }

    /// A plan: a table header of state "planned", the draft's name in 16 bytes, planned records.
    fn encode_plan(&self, sequence: u64, draft: &DraftId, data_bytes: u64, records: &[Record]) -> Vec<u8> {
        let header = Header {
            state: PackState::Planned,
            sequence,
            library: self.id.0,
            records: records.len() as u64,
            data_bytes,
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend(draft.package.as_str().as_bytes());
        bytes.extend(draft.epoch.0.to_le_bytes());
        bytes.extend(draft.version.0.to_le_bytes());
        records.iter().for_each(|record| bytes.extend(record.encode()));
        bytes
    }
}

impl PlacedWriter {
    /// True when the chunk is recorded, so that it needs no fetching any more.
    pub fn is_recorded(&self, digest: &Digest) -> bool {
        self.draft.live.get(digest).is_some()
    }

    /// Checks, writes and records chunks. Chunks that lie side by side are written together.
    ///
    /// When this returns they are recorded: they will not be asked for again, also after a crash of
    /// this process. Errors: `CONTENT_HASH_MISMATCH` (none of the batch is recorded), I/O.
    pub fn put(&self, chunks: &[(Digest, &[u8])]) -> Result<(), LibraryError> {
        for (digest, raw) in chunks {
            let found = FrameKind::Chunk.digest(raw);
            if !self.inner.files.accepts(digest, &found) {
                return Err(LibraryError::Mismatch { expected: *digest, found });
            }
        }
        self.put_checked(chunks)
    }

    /// [`Self::put`] for chunks whose digests the caller has just checked.
    pub fn put_checked(&self, chunks: &[(Digest, &[u8])]) -> Result<(), LibraryError> {
        let mut at: Vec<(u32, Record, &[u8])> = chunks
            .iter()
            .filter_map(|(digest, raw)| {
                self.draft.planned.get(digest).map(|(record, pack)| (*pack, *record, *raw))
            })
            .collect();
        at.sort_by_key(|(pack, record, _)| (*pack, record.offset));
        for group in at.chunk_by(|(p, _, _), (q, _, _)| p == q) {
            let run: Vec<(Record, &[u8])> = group.iter().map(|(_, record, raw)| (*record, *raw)).collect();
            write_run(&self.draft.live, &self.draft.packs[group[0].0 as usize], &run)?;
        }
        Ok(())
    }

    /// Makes everything received durable.
    ///
    /// Errors: a pack that could not be made durable is given up; its chunks must be fetched again.
    pub fn seal(self) -> Result<SealReport, LibraryError> {
        self.inner.lock_drafts().remove(&self.id);
        self.inner.seal_draft(self.draft)
    }
}

/// Writes chunks to one pack, in the order of their offsets, and records them. Those that lie side by
/// side are written together.
pub(super) fn write_run(
    live: &Live,
    pack: &Arc<OpenPack>,
    run: &[(Record, &[u8])],
) -> Result<(), LibraryError> {
    let fail = |step| move |source| LibraryError::Seal { sequence: pack.sequence, step, source };
    let mut parts: Vec<&[u8]> = Vec::with_capacity(run.len());
    for group in run.chunk_by(|(r, raw), (s, _)| r.offset + raw.len() as u64 == s.offset) {
        parts.clear();
        parts.extend(group.iter().map(|(_, raw)| *raw));
        pack.write_parts(&parts, group[0].0.offset).map_err(fail("write to"))?;
    }
    let records: Vec<Record> = run.iter().map(|(record, _)| *record).collect();
    pack.record(&records, true).map_err(fail("record in"))?;
    records.iter().for_each(|record| live.written(pack, *record));
    Ok(())
}
