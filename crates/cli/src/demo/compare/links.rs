//! Where a link leads, by the comparison's own rules: inside the package or nowhere.

use super::tree::{EntryKind, Tree};

/// Links followed before it counts as a circle.
const LINKS_MAX: usize = 40;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    File {
        path: Vec<u8>,
        size: u64,
    },
    Folder,
    /// Outside the package, missing, or a circle.
    Nothing,
}

/// Follows `path` from the package's root, link by link.
pub(super) fn resolve(tree: &Tree, path: &[u8]) -> Resolved {
    // Components still to go, the next one last.
    let mut ahead: Vec<Vec<u8>> = components(path);
    let mut at: Vec<Vec<u8>> = Vec::new();
    let mut links = 0;
    while let Some(component) = ahead.pop() {
        // A folder is where we are: a file ends the walk below.
        if component == b"." {
            continue;
        }
        if component == b".." {
            if at.pop().is_none() {
                return Resolved::Nothing;
            }
            continue;
        }
        at.push(component);
        let Some(entry) = tree.find(&at.join(&b'/')) else { return Resolved::Nothing };
        match &entry.kind {
            EntryKind::Folder => {}
            EntryKind::File { size } if ahead.is_empty() => {
                return Resolved::File { path: entry.path.to_vec(), size: *size };
            }
            EntryKind::File { .. } => return Resolved::Nothing,
            EntryKind::Link { target } => {
                links += 1;
                if links > LINKS_MAX || target.is_empty() || target.starts_with(b"/") {
                    return Resolved::Nothing;
                }
                at.pop();
                ahead.extend(components(target));
            }
        }
    }
    Resolved::Folder
}

/// The components of a path, last first, without empty ones; a slash at the end asks for a folder,
/// as `.` does.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let end = path.ends_with(b"/").then(|| b".".to_vec());
    let parts = path.split(|b| *b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec);
    end.into_iter().chain(parts.rev()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{Resolved, resolve};
    use crate::demo::compare::tree::Tree;

    #[test]
    fn links_lead_inside_or_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("d/e")).unwrap();
        fs::write(dir.path().join("d/f"), "abc").unwrap();
        for (link, target) in [
            ("d/same", "f"),
            ("d/e/up", "../f"),
            ("via", "d/e/up"),
            ("folder", "d"),
            ("through", "folder/./f"),
            ("out", "../outside"),
            ("root", "/etc/passwd"),
            ("gone", "d/g"),
            ("circle", "circle"),
            ("file-as-folder", "d/f/x"),
            ("slash", "d/f/"),
        ] {
            symlink(target, dir.path().join(link)).unwrap();
        }
        let tree = Tree::read(dir.path()).unwrap();
        let file = || Resolved::File { path: b"d/f".to_vec(), size: 3 };
        for link in ["d/same", "d/e/up", "via", "through"] {
            assert_eq!(resolve(&tree, link.as_bytes()), file(), "{link}");
        }
        assert_eq!(resolve(&tree, b"folder"), Resolved::Folder);
        for link in ["out", "root", "gone", "circle", "file-as-folder", "slash"] {
            assert_eq!(resolve(&tree, link.as_bytes()), Resolved::Nothing, "{link}");
        }
    }
}
