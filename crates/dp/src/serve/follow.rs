//! Finding an entry, through symbolic links that stay inside the package. Pure: entries come from
//! a lookup that the caller gives.
//!
//! The rules are those of path resolution in a file system whose root is the package: a relative
//! target starts at the link's folder, an absolute one leaves the package, and so does `..` above
//! the root. What leaves the package does not exist. Source: docs/formats/serving.md, "Links".

use std::collections::VecDeque;

use restock_content::manifest::{Entry, EntryKind};
use restock_names::EntryPath;

/// Links followed for one path before it counts as a loop (Linux allows as many).
const LINKS_MAX: usize = 40;
/// Components looked up for one path, so that nested links cannot make a request expensive.
const STEPS_MAX: usize = 1_000;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The package's own folder.
    Root,
    /// A file or folder; never a link.
    Entry(Entry),
}

/// Follows `path` to a file or folder.
///
/// Returns `None` when nothing is there, a link leads out of the package, or links go in a circle.
/// Cost: one lookup for a path without links, otherwise one for each component.
pub(crate) fn follow<E>(
    path: &EntryPath,
    mut lookup: impl FnMut(&EntryPath) -> Result<Option<Entry>, E>,
) -> Result<Option<Place>, E> {
    match lookup(path)? {
        Some(entry) if !matches!(entry.kind, EntryKind::Symlink { .. }) => {
            return Ok(Some(Place::Entry(entry)));
        }
        _ => {}
    }
    let mut waiting: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
    let mut here: Vec<Entry> = Vec::new();
    let mut links = 0;
    let mut steps = 0;
    while let Some(name) = waiting.pop_front() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => match here.pop() {
                Some(_) => continue,
                None => return Ok(None),
            },
            _ => {}
        }
        steps += 1;
        if steps > STEPS_MAX {
            return Ok(None);
        }
        let path = match here.last() {
            Some(folder) => folder.path.join(&name),
            None => EntryPath::new(name),
        };
        let Ok(path) = path else { return Ok(None) };
        let Some(entry) = lookup(&path)? else { return Ok(None) };
        match &entry.kind {
            EntryKind::Symlink { target } => {
                links += 1;
                if links > LINKS_MAX || target.is_empty() || target.starts_with(b"/") {
                    return Ok(None);
                }
                for component in target.split(|b| *b == b'/').rev() {
                    waiting.push_front(component.to_vec());
                }
            }
            // Anything after a file, "." included, asks for a folder.
            EntryKind::File { .. } if !waiting.is_empty() => return Ok(None),
            _ => here.push(entry),
        }
    }
    Ok(Some(here.pop().map_or(Place::Root, Place::Entry)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use super::{Place, follow};
    use restock_content::manifest::{Entry, EntryKind, FileChunks};
    use restock_names::EntryPath;

    fn tree(entries: &[(&str, &str)]) -> BTreeMap<Vec<u8>, Entry> {
        let kind = |text: &str| match text.split_once(' ') {
            Some(("link", target)) => EntryKind::Symlink { target: target.into() },
            _ if text == "folder" => EntryKind::Folder,
            _ => EntryKind::File { size: 0, chunks: FileChunks::Inline(Vec::new()) },
        };
        let entry = |path: &str, text| Entry {
            path: EntryPath::new(path).expect("valid"),
            mode: 0o644,
            mtime_ns: 0,
            kind: kind(text),
        };
        entries.iter().map(|(path, text)| (path.as_bytes().to_vec(), entry(path, text))).collect()
    }

    fn found(tree: &BTreeMap<Vec<u8>, Entry>, path: &str) -> String {
        let path = EntryPath::new(path).expect("valid");
        let place = follow::<Infallible>(&path, |p| Ok(tree.get(p.as_bytes()).cloned())).expect("no failure");
        match place {
            None => "nothing".into(),
            Some(Place::Root) => "root".into(),
            Some(Place::Entry(entry)) => entry.path.to_string(),
        }
    }

    #[test]
    fn links_are_followed_inside_the_package_only() {
        let tree = tree(&[
            ("bin", "folder"),
            ("bin/sh", "link bash"),
            ("bin/bash", "file"),
            ("bin/up", "link ../lib/x.so"),
            ("bin/out", "link ../../etc/passwd"),
            ("bin/absolute", "link /bin/bash"),
            ("bin/via", "link ../lib64/./x.so"),
            ("bin/slash", "link bash/"),
            ("bin/through", "link bash/../sh"),
            ("bin/top", "link .."),
            ("bin/empty", "link "),
            ("lib", "folder"),
            ("lib/x.so", "link x.so.1"),
            ("lib/x.so.1", "file"),
            ("lib64", "link lib"),
            ("loop", "link loop"),
            ("ping", "link pong"),
            ("pong", "link ping"),
            ("strange", "link C:x"),
        ]);
        for (path, want) in [
            ("bin/bash", "bin/bash"),
            ("bin/sh", "bin/bash"),
            ("bin/up", "lib/x.so.1"),
            ("bin/via", "lib/x.so.1"),
            ("lib64", "lib"),
            ("lib64/x.so", "lib/x.so.1"),
            ("bin/top", "root"),
            ("bin/top/lib64/x.so", "lib/x.so.1"),
            ("bin/out", "nothing"),
            ("bin/absolute", "nothing"),
            ("bin/slash", "nothing"),
            ("bin/through", "nothing"),
            ("bin/empty", "nothing"),
            ("bin/bash/x", "nothing"),
            ("missing", "nothing"),
            ("loop", "nothing"),
            ("ping", "nothing"),
            ("strange", "nothing"),
        ] {
            assert_eq!(found(&tree, path), want, "{path}");
        }
    }

    #[test]
    fn links_that_multiply_end_soon() {
        let mut entries = vec![("d".to_owned(), "folder".to_owned())];
        for i in 0..30 {
            entries.push((format!("l{i}"), format!("link l{}/../l{}", i + 1, i + 1)));
        }
        entries.push(("l30".into(), "link d".into()));
        let entries: Vec<(&str, &str)> = entries.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let tree = tree(&entries);
        let mut lookups = 0;
        let path = EntryPath::new("l0").expect("valid");
        follow::<Infallible>(&path, |p| {
            lookups += 1;
            Ok(tree.get(p.as_bytes()).cloned())
        })
        .expect("no failure");
        assert!(lookups < 1_100, "{lookups}");
    }
}
