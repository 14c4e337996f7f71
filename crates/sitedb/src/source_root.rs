//! Folders beneath which package sources may lie.

mod path;

use std::path::{Path, PathBuf};

use restock_names::Timestamp;

use crate::tx::{Row, bind};
use crate::{DatabaseError, Tx};

pub use path::{SourcePath, SourcePathError};

/// Folders that are never a source, nor is anything beneath them.
const FORBIDDEN: [&str; 5] = ["/etc", "/proc", "/sys", "/dev", "/run"];
/// Folders beneath those that hold what people keep there: memory disks and removable media.
const ALLOWED: [&str; 2] = ["/dev/shm", "/run/media"];

/// Why `folder` may not be a source root; `None` when it may.
///
/// `own` are the site's data, key and log folders: these, what lies beneath them and their parents
/// are refused. The caller asks with the folder as written and again with its real path.
pub fn refusal_of_folder(folder: &Path, own: &[PathBuf]) -> Option<String> {
    if !folder.is_absolute() || folder.components().any(|part| part == std::path::Component::ParentDir) {
        return Some("an absolute folder without \"..\" is wanted".to_owned());
    }
    if folder == Path::new("/") {
        return Some("it is the root of all folders".to_owned());
    }
    if let Some(system) = FORBIDDEN.iter().find(|system| folder.starts_with(system))
        && !ALLOWED.iter().any(|allowed| folder.starts_with(allowed) && folder != Path::new(allowed))
    {
        return Some(format!("{system} belongs to the system"));
    }
    let own = own.iter().find(|own| folder.starts_with(own) || own.starts_with(folder))?;
    Some(format!("{} holds the site's own files", own.display()))
}

/// The registered folder `path` lies in, and the components beneath it.
///
/// Compares whole components; the name with the most components wins. A folder's own path is
/// always one of its names.
pub fn resolve<'r>(path: &SourcePath, roots: &'r [SourceRoot]) -> Option<(&'r SourceRoot, Vec<String>)> {
    roots
        .iter()
        .flat_map(|root| std::iter::once(&root.folder).chain(&root.aliases).map(move |name| (root, name)))
        .filter_map(|(root, name)| {
            let name: SourcePath = name.parse().ok()?;
            let rest = path.beneath(&name)?;
            Some((name.len(), root, rest.to_vec()))
        })
        .max_by_key(|(length, ..)| *length)
        .map(|(_, root, rest)| (root, rest))
}

/// A registered folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceRoot {
    /// Its name.
    pub name: String,
    /// The folder on this machine.
    pub folder: String,
    /// The forms by which source paths may name it.
    pub aliases: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

fn root(row: &Row) -> Result<SourceRoot, DatabaseError> {
    Ok(SourceRoot {
        name: row.text("name")?,
        folder: row.text("folder")?,
        aliases: row.texts("aliases")?,
        created_at: row.time("created_at")?,
    })
}

impl Tx {
    /// All registered folders by name.
    pub async fn source_roots(&mut self) -> Result<Vec<SourceRoot>, DatabaseError> {
        self.rows("SELECT name, folder, aliases, created_at FROM source_roots ORDER BY name", bind![])
            .await?
            .iter()
            .map(root)
            .collect()
    }

    /// Adds a folder; false when the name is taken.
    pub async fn insert_source_root(&mut self, root: &SourceRoot) -> Result<bool, DatabaseError> {
        let aliases = serde_json::to_string(&root.aliases).expect("a list of texts is plain data");
        let added = self
            .execute(
                "INSERT INTO source_roots (name, folder, aliases, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO NOTHING",
                bind![&root.name, &root.folder, aliases, root.created_at],
            )
            .await?;
        Ok(added == 1)
    }

    /// Removes a folder; false when there is none of that name.
    pub async fn delete_source_root(&mut self, name: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute("DELETE FROM source_roots WHERE name = $1", bind![name]).await? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{SourceRoot, Timestamp, refusal_of_folder, resolve};
    use std::path::{Path, PathBuf};

    fn roots() -> Vec<SourceRoot> {
        let root = |name: &str, folder: &str, aliases: &[&str]| SourceRoot {
            name: name.to_owned(),
            folder: folder.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            created_at: Timestamp(0),
        };
        vec![
            root("src", "/srv/src", &[r"\\fs01\src", r"D:\src"]),
            root("apps", "/mnt/apps", &[r"\\FS01\src\Apps"]),
            root("all", "/srv", &[]),
        ]
    }

    #[test]
    fn source_paths_are_matched_by_whole_components_and_the_longest_name() {
        let roots = roots();
        let found = |path: &str| {
            let (root, rest) = resolve(&path.parse().expect("a well-formed path"), &roots)?;
            Some(format!("{} {}", root.name, rest.join("/")))
        };
        let cases = [
            (r"\\fs01\src\tools\x", Some("src tools/x")),
            (r"\\FS01\SRC\Tools", Some("src Tools")),
            (r"\\fs01\src\apps\Seven Zip", Some("apps Seven Zip")),
            (r"//fs01/src/apps", Some("apps ")),
            (r"\\fs01\srcx\tools", None),
            (r"\\fs02\src\tools", None),
            (r"d:/src\a/b", Some("src a/b")),
            (r"D:\srcs", None),
            ("/srv/src/a", Some("src a")),
            ("/srv/Src/a", Some("all Src/a")),
            ("/srv", Some("all ")),
            ("/srvx", None),
        ];
        for (path, wanted) in cases {
            assert_eq!(found(path).as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn system_folders_and_the_sites_own_are_no_sources() {
        let own = [PathBuf::from("/var/lib/restock")];
        let refused = [
            "/",
            "/etc",
            "/etc/ssl",
            "/proc/1",
            "/sys",
            "/dev",
            "/dev/sda",
            "/dev/shm",
            "/run/user/0",
            "/var",
            "/var/lib",
            "/var/lib/restock",
            "/var/lib/restock/library",
            "relative",
            "/srv/../etc",
        ];
        for folder in refused {
            assert!(refusal_of_folder(Path::new(folder), &own).is_some(), "{folder}");
        }
        for folder in ["/srv/src", "/dev/shm/x", "/run/media/disk", "/var/lib/restocked", "/etcetera"] {
            assert_eq!(refusal_of_folder(Path::new(folder), &own), None, "{folder}");
        }
    }
}
