//! What to ask for next, on any number of connections, until a version is complete.
//!
//! Two phases. *Walk*: pages that are lacking are asked for and opened as they arrive. *Fetch*: the
//! chunks found lacking are the plan; once the caller has made room for it they are handed out in
//! manifest order. Work of a connection that ends is handed out again.
//!
//! The machine does no I/O of its own; the caller verifies frames outside its lock.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use restock_names::Digest;

use super::walk::{PageRef, Walk, WalkError};
use super::{AcceptedStatement, Expected, FrameHeader, Item, ItemKind, Request};
use crate::manifest::PageError;
use crate::plan::Missing;

/// Raw bytes that may be asked for and not yet stored, for each connection.
pub const WINDOW_BYTES: u64 = 4 << 20;

/// Items that may be asked for and not yet stored, for each connection: a window of tiny chunks
/// would be a great many.
const WINDOW_ITEMS: usize = 8_192;

/// What the holder has already.
pub trait Inventory {
    /// Is this chunk in the library?
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError>;
    /// The bytes of a page that is in the library, `None` when it is lacking or damaged.
    fn page(&self, page: &Digest) -> Option<Arc<[u8]>>;
    /// Is this page part of a complete version, so that everything beneath it is held?
    fn is_complete(&self, page: &Digest) -> bool;
}

/// A connection, as the caller numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// What a connection does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this request.
    Ask(Request),
    /// Nothing to ask: read what was asked for, or wait for other connections.
    Wait,
    /// Everything is stored.
    Done,
}

/// The end of the walk: what has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Chunks that are lacking, in manifest order, each once.
    pub missing: Arc<Vec<Missing>>,
    /// Pages that were fetched.
    pub pages: u64,
}

/// Why receiving a version cannot go on, or not on this connection.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The version's manifest is not usable; no holder will have a better one.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The peer sends something that was not asked for, or not next.
    #[error("LINK_UNEXPECTED: {found} arrived, {} was asked for", .wanted.map_or("nothing".to_owned(), |w| w.to_string()))]
    Unexpected { wanted: Option<Item>, found: Item },
    /// The holder's own library failed.
    #[error(transparent)]
    Library(#[from] PageError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Walk,
    Planned,
    Fetch,
    /// What is to be fetched is announced bit by bit.
    Follow,
}

/// One connection's share.
#[derive(Debug, Default)]
struct Connection {
    /// What was asked for and is not stored, in the order asked.
    asked: VecDeque<Expected>,
    /// How many of these have arrived.
    arrived: usize,
    /// Their raw lengths.
    bytes: u64,
}

/// Decides what is asked for; see the module's documentation.
#[derive(Debug)]
pub struct Receiver {
    phase: Phase,
    walk: Option<Walk>,
    pages: Vec<PageRef>,
    /// Pages to ask for, as indexes into `pages`.
    ready_pages: VecDeque<u32>,
    /// Pages not opened yet: ready, asked for or being verified.
    pages_open: usize,
    plan: Arc<Vec<Missing>>,
    /// Chunks to ask for, as indexes into `plan`.
    ready_chunks: VecDeque<Range<u32>>,
    chunks_open: u64,
    connections: BTreeMap<ConnectionId, Connection>,
}

impl Receiver {
    /// Begins the walk: opens every page that is at hand.
    ///
    /// Errors: a manifest that cannot be used; the inventory's.
    pub fn new(statement: &AcceptedStatement, inventory: &dyn Inventory) -> Result<Self, ReceiveError> {
        let (walk, root) = Walk::new(&statement.root)?;
        let mut receiver = Self::empty(Phase::Walk, Some(walk));
        receiver.enter(vec![root], inventory)?;
        receiver.end_walk();
        Ok(receiver)
    }

    /// Fetches exactly these items, whatever is held.
    ///
    /// `items`: digest and length of each, as the manifest lists them; slots are assigned here: pages
    /// and chunks are each numbered in the order given. Pages are not opened.
    pub fn repair(items: &[(Item, Digest, u32)]) -> Self {
        let mut receiver = Self::empty(Phase::Fetch, None);
        let mut plan = Vec::new();
        for (item, digest, length) in items {
            match item.kind {
                ItemKind::Page => {
                    receiver.ready_pages.push_back(receiver.pages.len() as u32);
                    receiver.pages.push(PageRef::alone(*digest, *length, item.ordinal));
                    receiver.pages_open += 1;
                }
                ItemKind::Chunk => {
                    let missing = Missing {
                        ordinal: item.ordinal,
                        digest: *digest,
                        length: *length,
                        is_aligned: false,
                    };
                    plan.push(missing);
                }
            }
        }
        receiver.plan = Arc::new(plan);
        receiver.make_ready(0, |_| false);
        receiver
    }

    /// Fetches chunks of a draft as they are announced.
    pub fn follow() -> Self {
        Self::empty(Phase::Follow, None)
    }

    /// Further chunks of a draft are to be fetched, behind those announced before.
    pub fn announce(&mut self, chunks: &[Missing]) {
        let first = self.plan.len();
        Arc::make_mut(&mut self.plan).extend_from_slice(chunks);
        self.make_ready(first, |_| false);
    }

    /// The draft has no further chunks: what was announced is all.
    pub fn end_follow(&mut self) {
        if self.phase == Phase::Follow {
            self.phase = Phase::Fetch;
        }
    }

    fn empty(phase: Phase, walk: Option<Walk>) -> Self {
        Self {
            phase,
            walk,
            pages: Vec::new(),
            ready_pages: VecDeque::new(),
            pages_open: 0,
            plan: Arc::default(),
            ready_chunks: VecDeque::new(),
            chunks_open: 0,
            connections: BTreeMap::new(),
        }
    }

    /// The plan, when the walk has ended and [`Self::fetch`] was not called yet.
    pub fn planned(&self) -> Option<Planned> {
        (self.phase == Phase::Planned)
            .then(|| Planned { missing: Arc::clone(&self.plan), pages: self.pages.len() as u64 })
    }

    /// Begins to hand out chunks; `is_recorded` tells, by index in the plan, what is stored already.
    pub fn fetch(&mut self, is_recorded: impl Fn(usize) -> bool) {
        if self.phase == Phase::Planned {
            self.phase = Phase::Fetch;
            self.make_ready(0, is_recorded);
        }
    }

    /// Chunks of the plan that are neither stored nor recorded.
    pub fn chunks_open(&self) -> u64 {
        self.chunks_open
    }

    /// True when everything is stored.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Fetch && self.chunks_open == 0 && self.pages_open == 0
    }

    /// A connection is ready to ask.
    pub fn opened(&mut self, connection: ConnectionId) {
        self.connections.entry(connection).or_default();
    }

    /// A connection is gone: what it did not store is handed out again.
    ///
    /// Returns how many items that are; more than none means that the stream was cut short.
    pub fn closed(&mut self, connection: ConnectionId) -> usize {
        let Some(gone) = self.connections.remove(&connection) else { return 0 };
        for expected in gone.asked.iter().rev() {
            match expected.item.kind {
                ItemKind::Page => self.ready_pages.push_front(expected.slot),
                ItemKind::Chunk => match self.ready_chunks.front_mut() {
                    Some(first) if first.start == expected.slot + 1 => first.start = expected.slot,
                    _ => self.ready_chunks.push_front(expected.slot..expected.slot + 1),
                },
            }
        }
        gone.asked.len()
    }

    /// What the connection does next.
    ///
    /// A request is made when at most half of the window, [`WINDOW_BYTES`] and 8,192 items, is
    /// outstanding, and fills it.
    pub fn next(&mut self, connection: ConnectionId) -> Step {
        if self.is_done() {
            return Step::Done;
        }
        let Some(state) = self.connections.get_mut(&connection) else { return Step::Wait };
        if state.bytes > WINDOW_BYTES / 2 || state.asked.len() > WINDOW_ITEMS / 2 {
            return Step::Wait;
        }
        let mut request = Request::default();
        while let Some(expected) = next_work(&self.ready_pages, &self.pages, &self.ready_chunks, &self.plan) {
            let bytes = state.bytes + u64::from(expected.length);
            let is_full = bytes > WINDOW_BYTES && !state.asked.is_empty();
            if is_full || state.asked.len() == WINDOW_ITEMS || !request.push(expected.item) {
                break;
            }
            match expected.item.kind {
                ItemKind::Page => drop(self.ready_pages.pop_front()),
                ItemKind::Chunk => {
                    let range = self.ready_chunks.front_mut().expect("the work came from this range");
                    range.start += 1;
                    if range.start >= range.end {
                        self.ready_chunks.pop_front();
                    }
                }
            }
            state.bytes = bytes;
            state.asked.push_back(expected);
        }
        if request.ranges.is_empty() { Step::Wait } else { Step::Ask(request) }
    }

    /// How many items the connection still owes.
    pub fn outstanding(&self, connection: ConnectionId) -> usize {
        self.connections.get(&connection).map_or(0, |state| state.asked.len() - state.arrived)
    }

    /// What a frame that arrives must be.
    ///
    /// Errors: [`ReceiveError::Unexpected`] for a frame that is not the next one asked for.
    pub fn expect(
        &mut self,
        connection: ConnectionId,
        header: &FrameHeader,
    ) -> Result<Expected, ReceiveError> {
        self.expect_item(connection, header.item)
    }

    /// As [`Self::expect`], by the item alone.
    pub fn expect_item(&mut self, connection: ConnectionId, found: Item) -> Result<Expected, ReceiveError> {
        let state = self.connections.get_mut(&connection);
        let next = state.as_ref().and_then(|state| state.asked.get(state.arrived)).copied();
        match (next, state) {
            (Some(expected), Some(state)) if expected.item == found => {
                state.arrived += 1;
                Ok(expected)
            }
            _ => Err(ReceiveError::Unexpected { wanted: next.map(|e| e.item), found }),
        }
    }

    /// A verified chunk is stored. Frames are stored in the order they arrived.
    pub fn chunk_stored(&mut self, connection: ConnectionId, expected: &Expected) {
        if self.take(connection, expected) {
            self.chunks_open -= 1;
        }
    }

    /// A verified page is stored: opens it, and then every page beneath it that is at hand.
    ///
    /// Errors: a manifest that cannot be used; the inventory's.
    pub fn page_stored(
        &mut self,
        connection: ConnectionId,
        expected: &Expected,
        raw: &[u8],
        inventory: &dyn Inventory,
    ) -> Result<(), ReceiveError> {
        if !self.take(connection, expected) {
            return Ok(());
        }
        self.pages_open -= 1;
        if self.walk.is_some() {
            let page = self.pages[expected.slot as usize].clone();
            self.open(&page, raw, inventory)?;
            self.end_walk();
        }
        Ok(())
    }

    /// Removes the oldest item from what the connection owes; false when the connection is gone and
    /// its work was handed out again.
    fn take(&mut self, connection: ConnectionId, expected: &Expected) -> bool {
        let Some(state) = self.connections.get_mut(&connection) else { return false };
        if state.arrived == 0 || state.asked.front() != Some(expected) {
            return false;
        }
        state.asked.pop_front();
        state.arrived -= 1;
        state.bytes -= u64::from(expected.length);
        true
    }

    fn open(&mut self, page: &PageRef, raw: &[u8], inventory: &dyn Inventory) -> Result<(), ReceiveError> {
        let walk = self.walk.as_mut().expect("pages are opened during the walk only");
        let below = walk.open(page, raw, |digest| inventory.holds(digest))??;
        self.enter(below, inventory)
    }

    /// Opens the pages that are at hand, level by level, and notes the others as wanted.
    fn enter(&mut self, pages: Vec<PageRef>, inventory: &dyn Inventory) -> Result<(), ReceiveError> {
        let mut queue = VecDeque::from(pages);
        while let Some(page) = queue.pop_front() {
            let walk = self.walk.as_mut().expect("pages are opened during the walk only");
            if !walk.is_new(&page)? || inventory.is_complete(&page.digest) {
                continue;
            }
            match inventory.page(&page.digest) {
                Some(raw) => queue.extend(walk.open(&page, &raw, |digest| inventory.holds(digest))??),
                None => {
                    self.ready_pages.push_back(self.pages.len() as u32);
                    self.pages.push(page);
                    self.pages_open += 1;
                }
            }
        }
        Ok(())
    }

    fn end_walk(&mut self) {
        if self.phase == Phase::Walk && self.pages_open == 0 {
            self.plan = Arc::new(self.walk.take().map(Walk::finish).unwrap_or_default());
            self.phase = Phase::Planned;
        }
    }

    /// Hands out the plan from index `first` on.
    fn make_ready(&mut self, first: usize, is_recorded: impl Fn(usize) -> bool) {
        for index in (first..self.plan.len()).filter(|index| !is_recorded(*index)) {
            let slot = index as u32;
            self.chunks_open += 1;
            match self.ready_chunks.back_mut() {
                Some(last) if last.end == slot => last.end += 1,
                _ => self.ready_chunks.push_back(slot..slot + 1),
            }
        }
    }
}

/// The next piece of work: pages first.
fn next_work(
    ready_pages: &VecDeque<u32>,
    pages: &[PageRef],
    ready_chunks: &VecDeque<Range<u32>>,
    plan: &[Missing],
) -> Option<Expected> {
    if let Some(slot) = ready_pages.front() {
        let page = &pages[*slot as usize];
        return Some(Expected { item: page.item(), digest: page.digest, length: page.length, slot: *slot });
    }
    let slot = ready_chunks.front()?.start;
    let Missing { ordinal, digest, length, .. } = plan[slot as usize];
    Some(Expected { item: Item { kind: ItemKind::Chunk, ordinal }, digest, length, slot })
}
