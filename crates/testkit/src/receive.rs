//! A holder receives a version from a site's library, in memory and without a network.
//!
//! The order is that of a distribution point: walk, plan, fetch, seal, statement, activate.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use restock_content::files::Files;
use restock_content::library::{Library, PlacedWriter};
use restock_content::manifest::{Manifest, PageError, PageSource};
use restock_content::pack::FrameKind;
use restock_content::statement::Statement;
use restock_content::transfer::{
    AcceptedStatement, ConnectionId, FrameHeader, Inventory, Item, ItemKind, Receiver, Request, Sender, Step,
};
use restock_names::{ContentVersion, Digest};

const CONNECTION: ConnectionId = ConnectionId(1);

/// What a holder has, as the receiver asks for it.
struct Held<'a> {
    library: &'a Library,
    complete: BTreeSet<Digest>,
}

impl Inventory for Held<'_> {
    fn holds(&self, chunk: &Digest) -> Result<bool, PageError> {
        self.library.holds(chunk).map_err(|error| PageError { digest: *chunk, source: Box::new(error) })
    }

    fn page(&self, page: &Digest) -> Option<Arc<[u8]>> {
        PageSource::page(self.library, page).ok()
    }

    fn is_complete(&self, page: &Digest) -> bool {
        self.complete.contains(page)
    }
}

/// What happens while a version is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A page or chunk was asked for.
    Asked(Digest),
    /// A chunk is recorded: it must not be asked for again.
    Recorded(Digest),
    /// The statement is stored.
    Stored(ContentVersion),
    /// The version is active.
    Active(ContentVersion),
}

/// A receive to be run.
#[derive(Debug, Clone, Copy)]
pub struct Receive<'a> {
    /// Who has the version.
    pub site: &'a Library,
    /// The version.
    pub statement: &'a Statement,
    /// The chunk whose bytes the site damages on the way.
    pub lie: Option<u64>,
    /// The receive breaks off after this many chunks, with an error.
    pub chunks_max: u64,
}

impl<'a> Receive<'a> {
    /// A receive that is neither lied to nor broken off.
    pub fn new(site: &'a Library, statement: &'a Statement) -> Self {
        Self { site, statement, lie: None, chunks_max: u64::MAX }
    }

    /// Brings the version into the library in `folder` and activates it; `on` hears of each event.
    pub fn run(&self, files: Arc<dyn Files>, folder: &Path, on: &dyn Fn(Event)) -> Result<()> {
        let Self { site, statement, .. } = *self;
        let mut chunks_left = self.chunks_max;
        let (library, _) = Library::open(Arc::clone(&files), folder)?;
        let mut complete = BTreeSet::new();
        if let Some(active) = library.active(&statement.version.package) {
            if active.version == statement.version {
                // An earlier process got this far: there is nothing to do but to say so.
                on(Event::Active(active.version));
                return Ok(());
            }
            for page in Manifest::new(&library, active.root).pages_from(0) {
                complete.insert(page?.0);
            }
        }
        let held = Held { library: &library, complete };
        let accepted = AcceptedStatement::from_library(statement.clone());
        let mut receiver = Receiver::new(&accepted, &held)?;
        receiver.opened(CONNECTION);
        let mut sender = Sender::new(site, statement.root);
        let pages = library.begin();
        let mut chunks: Option<PlacedWriter> = None;
        loop {
            if let Some(planned) = receiver.planned() {
                let placed = library.begin_receive(&statement.version, &planned.missing)?;
                receiver.fetch(|at| placed.is_recorded(&planned.missing[at].digest));
                chunks = Some(placed);
            }
            let request = match receiver.next(CONNECTION) {
                Step::Ask(request) => Request::decode(&request.encode())?,
                Step::Done => break,
                Step::Wait => bail!("the receiver waits although nothing is on its way"),
            };
            for range in &request.ranges {
                let outgoing: Vec<_> = sender.resolve(range).collect::<Result<_, _>>()?;
                for object in outgoing {
                    on(Event::Asked(object.digest));
                    let mut frame = site.read_stored(&object.digest)?;
                    if self.lie.is_some_and(|ordinal| object.item == Item { kind: ItemKind::Chunk, ordinal })
                    {
                        // Damage that still decodes: other raw bytes of the same length.
                        frame.encoding = restock_content::pack::Encoding::Raw;
                        frame.bytes = vec![b'?'; frame.raw_length as usize];
                    }
                    let header = FrameHeader {
                        item: object.item,
                        encoding: frame.encoding,
                        raw_length: frame.raw_length,
                    };
                    let expected = receiver.expect(CONNECTION, &header)?;
                    let raw = expected.verify(&header, &frame.bytes, &*files)?;
                    match (object.item.kind, &chunks) {
                        (ItemKind::Page, _) => {
                            pages.put_received(FrameKind::Page, expected.digest, &raw)?;
                            receiver.page_stored(CONNECTION, &expected, &raw, &held)?;
                        }
                        (ItemKind::Chunk, Some(chunks)) => {
                            ensure!(chunks_left > 0, "the receive is broken off");
                            chunks_left -= 1;
                            chunks.put(&[(expected.digest, &raw)])?;
                            on(Event::Recorded(expected.digest));
                            receiver.chunk_stored(CONNECTION, &expected);
                        }
                        (ItemKind::Chunk, None) => bail!("a chunk arrived before the plan was made"),
                    }
                }
            }
        }
        pages.seal()?;
        if let Some(chunks) = chunks {
            chunks.seal()?;
        }
        library.store_statement(statement)?;
        on(Event::Stored(statement.version));
        library.activate(&statement.version)?;
        on(Event::Active(statement.version));
        Ok(())
    }
}
