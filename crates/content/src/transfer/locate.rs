//! Finding one item in a manifest, above whose page others may be damaged.

use restock_names::Digest;

use super::{Item, ItemKind};
use crate::manifest::{EntryKind, FileChunks, Manifest, ManifestError, ManifestRoot, Page, PageSource};

/// Digest and length of an item; `None` when the version has fewer.
///
/// A page is found without opening it or its siblings, only the pages above it. Errors: a page above
/// the item that is missing or damaged.
pub fn locate(
    source: &dyn PageSource,
    root: &ManifestRoot,
    item: Item,
) -> Result<Option<(Digest, u32)>, ManifestError> {
    match item.kind {
        ItemKind::Page => locate_page(source, root, item.ordinal),
        ItemKind::Chunk => {
            let run = Manifest::new(source, *root).chunk_at(item.ordinal)?;
            Ok(run.map(|run| (run.digest, run.length)))
        }
    }
}

fn locate_page(
    source: &dyn PageSource,
    root: &ManifestRoot,
    ordinal: u64,
) -> Result<Option<(Digest, u32)>, ManifestError> {
    let mut skip = ordinal;
    let (mut digest, mut length) = (root.digest, root.length);
    if skip >= root.pages {
        return Ok(None);
    }
    while skip > 0 {
        // The page itself, then those beneath it.
        skip -= 1;
        let page = Page::decode(&source.page(&digest)?)
            .map_err(|source| ManifestError::Decode { digest, source })?;
        let below: Vec<(Digest, u32, u64)> = match page {
            Page::EntryIndex { children, .. } => {
                children.iter().map(|child| (child.digest, child.length, child.pages)).collect()
            }
            Page::RunIndex { children, .. } => {
                children.iter().map(|child| (child.digest, child.length, child.pages)).collect()
            }
            Page::Runs(_) => Vec::new(),
            Page::Entries(entries) => entries
                .iter()
                .filter_map(|entry| match &entry.kind {
                    EntryKind::File { chunks: FileChunks::Paged(list), .. } => {
                        Some((list.root, list.root_length, list.pages))
                    }
                    _ => None,
                })
                .collect(),
        };
        let mut next = None;
        for (digest, length, pages) in below {
            if skip < pages {
                next = Some((digest, length));
                break;
            }
            skip -= pages;
        }
        (digest, length) = next.ok_or(ManifestError::Inconsistent { digest })?;
    }
    Ok(Some((digest, length)))
}
