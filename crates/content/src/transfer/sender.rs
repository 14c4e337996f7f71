//! Which frames answer a request.

use restock_names::Digest;

use super::{Item, ItemKind, Range};
use crate::manifest::{ChunkWalk, Manifest, ManifestError, ManifestRoot, PageSource, PageWalk};

/// One version's manifest as the sending holder reads it.
///
/// Requests that follow each other in ordinals, as a receiver makes them, read each page once.
pub struct Sender<'a> {
    manifest: Manifest<'a>,
    pages: Option<(u64, PageWalk<'a>)>,
    chunks: Option<(u64, ChunkWalk<'a>)>,
}

/// Why a request cannot be answered. The text begins with the stable code.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The version has fewer items.
    #[error("LINK_RANGE: the version has no {0}")]
    Range(Item),
    /// The holder's own manifest cannot be read.
    #[error("CONTENT_DAMAGED: this holder cannot read its manifest: {0}")]
    Manifest(#[from] ManifestError),
}

/// One frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// Which item it answers.
    pub item: Item,
    /// The object.
    pub digest: Digest,
    /// Its length when decoded.
    pub length: u32,
}

impl<'a> Sender<'a> {
    /// A sender of the version with this root, its pages in `source`.
    pub fn new(source: &'a dyn PageSource, root: ManifestRoot) -> Self {
        Self { manifest: Manifest::new(source, root), pages: None, chunks: None }
    }

    /// The objects of a range, in order. Each costs a step of a cursor; the first may cost a search.
    ///
    /// The iterator ends after an error.
    pub fn resolve<'s>(
        &'s mut self,
        range: &Range,
    ) -> impl Iterator<Item = Result<Outgoing, SendError>> + use<'s, 'a> {
        let Range { kind, first, count } = *range;
        let mut failed = false;
        (first..first.saturating_add(count)).map_while(move |ordinal| {
            if failed {
                return None;
            }
            let item = Item { kind, ordinal };
            let found = self.next(item);
            failed = found.is_err();
            Some(found)
        })
    }

    fn next(&mut self, item: Item) -> Result<Outgoing, SendError> {
        let manifest = &self.manifest;
        let found = match item.kind {
            ItemKind::Page => {
                let walk = at(&mut self.pages, item.ordinal, |first| manifest.pages_from(first));
                walk.next().transpose()?
            }
            ItemKind::Chunk => {
                let walk = at(&mut self.chunks, item.ordinal, |first| manifest.chunks_from(first));
                walk.next().transpose()?.map(|run| (run.digest, run.length))
            }
        };
        let (digest, length) = found.ok_or(SendError::Range(item))?;
        Ok(Outgoing { item, digest, length })
    }
}

/// The walk that stands at `ordinal`, moved on or made anew.
fn at<W: Iterator>(slot: &mut Option<(u64, W)>, ordinal: u64, from: impl FnOnce(u64) -> W) -> &mut W {
    // A short way forward is walked, a long one is searched.
    const STEPS_MAX: u64 = 64;
    let (position, walk) = match slot.take() {
        Some((position, mut walk)) if position <= ordinal && ordinal - position <= STEPS_MAX => {
            for _ in position..ordinal {
                // An error or the end shows again at the item that is wanted.
                drop(walk.next());
            }
            (ordinal, walk)
        }
        _ => (ordinal, from(ordinal)),
    };
    let (next, walk) = slot.insert((position, walk));
    *next += 1;
    walk
}
