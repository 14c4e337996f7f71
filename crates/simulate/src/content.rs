//! Content moves between holders by the machines of `restock_content::transfer`, frame by frame.
//!
//! What the network does to a frame ([`FrameFate`]) is decided outside; what was stored before a
//! frame failed stays stored, as on a link.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use restock_content::library::{Library, LibraryError, PlacedWriter};
use restock_content::manifest::{Manifest, ManifestError, ManifestRoot, PageError, PageSource};
use restock_content::pack::FrameKind;
use restock_content::transfer::{
    AcceptedStatement, ConnectionId, FrameError, FrameHeader, Inventory, ItemKind, ReceiveError, Receiver,
    Request, SendError, Sender, Step,
};
use restock_names::Digest;

use crate::network::FrameFate;

const CONNECTION: ConnectionId = ConnectionId(1);

/// What every snapshot of a source has: a file whose name begins so and ends with the generation.
pub(crate) const GENERATION: &str = "generation-";

/// Why a version was not moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MoveError {
    #[error("LINK_CLOSED: the connection was cut")]
    Cut,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("LIBRARY: {0}")]
    Library(#[from] LibraryError),
    #[error("LINK_FORMAT: {0}")]
    Format(String),
}

/// What a move moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// Pages and chunks in memory: what a distribution point holds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Memory {
    pages: BTreeMap<Digest, Arc<[u8]>>,
    chunks: BTreeMap<Digest, Vec<u8>>,
    complete: BTreeSet<Digest>,
}

impl Inventory for Memory {
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError> {
        Ok(self.chunks.contains_key(chunk))
    }

    fn page(&self, page: &Digest) -> Option<Arc<[u8]>> {
        self.pages.get(page).cloned()
    }

    fn is_complete(&self, page: &Digest) -> bool {
        self.complete.contains(page)
    }
}

impl PageSource for Memory {
    fn page(&self, digest: &Digest) -> Result<Arc<[u8]>, PageError> {
        let page = self.pages.get(digest).cloned();
        page.ok_or_else(|| PageError { digest: *digest, source: "not held".into() })
    }
}

impl Memory {
    /// Does it hold every object of the version with this root?
    pub(crate) fn has_all(&self, root: ManifestRoot) -> bool {
        let manifest = Manifest::new(self, root);
        manifest.pages_from(0).all(|page| page.is_ok())
            && manifest.chunks_from(0).all(|run| run.is_ok_and(|run| self.chunks.contains_key(&run.digest)))
    }

    /// Notes that a version is held as a whole.
    fn completed(&mut self, root: ManifestRoot) {
        let pages: Vec<Digest> = Manifest::new(self, root)
            .pages_from(0)
            .filter_map(|page| page.ok().map(|(digest, _)| digest))
            .collect();
        self.complete.extend(pages);
    }

    /// Brings a version from `source` into memory.
    pub(crate) fn receive(
        &mut self,
        source: &Library,
        statement: &AcceptedStatement,
        fate: &mut dyn FnMut() -> FrameFate,
    ) -> Result<Moved, MoveError> {
        let mut receiver = Receiver::new(statement, self)?;
        receiver.opened(CONNECTION);
        let mut wire =
            Wire { source, sender: Sender::new(source, statement.root), fate, moved: Moved::default() };
        loop {
            if receiver.planned().is_some() {
                receiver.fetch(|_| false);
            }
            let frames = match receiver.next(CONNECTION) {
                Step::Ask(request) => wire.answer(&request)?,
                Step::Done => break,
                Step::Wait => return Err(MoveError::Format("nothing is on its way".to_owned())),
            };
            for frame in frames {
                let (header, stored) = frame?;
                let expected = receiver.expect(CONNECTION, &header)?;
                let raw = expected.verify(&header, &stored, &**source.files())?;
                match expected.item.kind {
                    ItemKind::Page => {
                        self.pages.insert(expected.digest, raw.clone().into());
                        receiver.page_stored(CONNECTION, &expected, &raw, self)?;
                    }
                    ItemKind::Chunk => {
                        self.chunks.insert(expected.digest, raw);
                        receiver.chunk_stored(CONNECTION, &expected);
                    }
                }
            }
        }
        self.completed(statement.root);
        Ok(wire.moved)
    }
}

/// A site's library as the receiver asks for it.
struct Held<'a> {
    library: &'a Library,
    complete: BTreeSet<Digest>,
}

impl Inventory for Held<'_> {
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError> {
        self.library.holds(chunk).map_err(|error| PageError { digest: *chunk, source: Box::new(error) })
    }

    fn page(&self, page: &Digest) -> Option<Arc<[u8]>> {
        self.library.holds(page).is_ok_and(|held| held).then(|| PageSource::page(self.library, page).ok())?
    }

    fn is_complete(&self, page: &Digest) -> bool {
        self.complete.contains(page)
    }
}

/// Brings every object of a version from one site's library into another's, verified and sealed.
pub(crate) fn receive_into(
    target: &Library,
    source: &Library,
    statement: &AcceptedStatement,
    fate: &mut dyn FnMut() -> FrameFate,
) -> Result<Moved, MoveError> {
    let package = statement.version.package;
    for draft in
        target.drafts().iter().filter(|draft| draft.package == package && **draft != statement.version)
    {
        target.settle(draft)?;
    }
    let mut complete = BTreeSet::new();
    if let Some(active) = target.active(&package) {
        let pages: Result<Vec<_>, _> = Manifest::new(target, active.root).pages_from(0).collect();
        complete.extend(pages.unwrap_or_default().into_iter().map(|(digest, _)| digest));
    }
    let held = Held { library: target, complete };
    let mut receiver = Receiver::new(statement, &held)?;
    receiver.opened(CONNECTION);
    let mut wire =
        Wire { source, sender: Sender::new(source, statement.root), fate, moved: Moved::default() };
    let pages = target.begin();
    let mut chunks: Option<PlacedWriter> = None;
    let moved = (|| loop {
        if let Some(planned) = receiver.planned() {
            let placed = target.begin_receive(&statement.version, &planned.missing)?;
            receiver.fetch(|at| placed.is_recorded(&planned.missing[at].digest));
            chunks = Some(placed);
        }
        let frames = match receiver.next(CONNECTION) {
            Step::Ask(request) => wire.answer(&request)?,
            Step::Done => return Ok(()),
            Step::Wait => return Err(MoveError::Format("nothing is on its way".to_owned())),
        };
        for frame in frames {
            let (header, stored) = frame?;
            let expected = receiver.expect(CONNECTION, &header)?;
            let raw = expected.verify(&header, &stored, &**target.files())?;
            match (expected.item.kind, &chunks) {
                (ItemKind::Page, _) => {
                    pages.put_received(FrameKind::Page, expected.digest, &raw)?;
                    receiver.page_stored(CONNECTION, &expected, &raw, &held)?;
                }
                (ItemKind::Chunk, Some(chunks)) => {
                    chunks.put(&[(expected.digest, &raw)])?;
                    receiver.chunk_stored(CONNECTION, &expected);
                }
                (ItemKind::Chunk, None) => {
                    return Err(MoveError::Format("a chunk came before the plan was made".to_owned()));
                }
            }
        }
    })();
    // Pages that arrived are kept, also of a transfer that was cut; so are recorded chunks.
    pages.seal()?;
    moved?;
    if let Some(chunks) = chunks {
        chunks.seal()?;
    }
    Ok(wire.moved)
}

/// The sending holder and what happens on the way.
struct Wire<'a> {
    source: &'a Library,
    sender: Sender<'a>,
    fate: &'a mut dyn FnMut() -> FrameFate,
    moved: Moved,
}

type Frame = Result<(FrameHeader, Vec<u8>), MoveError>;

impl Wire<'_> {
    /// The frames that answer a request; the last one may be the end of the connection.
    fn answer(&mut self, request: &Request) -> Result<Vec<Frame>, MoveError> {
        let request =
            Request::decode(&request.encode()).map_err(|error| MoveError::Format(error.to_string()))?;
        let mut frames = Vec::new();
        for range in &request.ranges {
            let outgoing: Vec<_> = self.sender.resolve(range).collect::<Result<_, _>>()?;
            for object in outgoing {
                let mut frame = self.source.read_stored(&object.digest)?;
                match (self.fate)() {
                    FrameFate::Arrives => {}
                    FrameFate::Cut => {
                        frames.push(Err(MoveError::Cut));
                        return Ok(frames);
                    }
                    FrameFate::Damaged(bit) => {
                        let length = frame.bytes.len().max(1) as u64;
                        if let Some(byte) = frame.bytes.get_mut((bit % length) as usize) {
                            *byte ^= 1 << (bit / length % 8);
                        }
                    }
                }
                self.moved.frames += 1;
                self.moved.bytes += frame.bytes.len() as u64;
                let header =
                    FrameHeader { item: object.item, encoding: frame.encoding, raw_length: frame.raw_length };
                frames.push(Ok((header, frame.bytes)));
            }
        }
        Ok(frames)
    }
}

/// The generation of the source that a version was made from.
///
/// Errors: its manifest cannot be read. `None`: it has no such file.
pub(crate) fn generation(pages: &dyn PageSource, root: ManifestRoot) -> Result<Option<u64>, ManifestError> {
    for entry in Manifest::new(pages, root).entries() {
        let entry = entry?;
        let name = String::from_utf8_lossy(entry.path.as_bytes()).into_owned();
        if let Some(number) = name.strip_prefix(GENERATION) {
            return Ok(number.parse().ok());
        }
    }
    Ok(None)
}
