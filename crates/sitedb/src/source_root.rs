//! Folders beneath which package sources may lie.

mod path;

use std::path::{Path, PathBuf};

use restock_names::{PackageId, Timestamp};

use crate::admin::{Grant, ROLE_FULL, SCOPE_ALL, TYPE_PACKAGE};
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
    /// The IDs of its security scopes, at least one.
    pub scopes: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Operations on packages of which one is needed to keep a path under a root: Modify, or Create.
const KEEPING: u32 = 1 << 1 | 1 << 10;

/// True when one of `grants` reaches `root`: a role with Modify or Create on packages, within one of
/// its scopes or within all.
fn reaches(grants: &[Grant], root: &SourceRoot) -> bool {
    grants.iter().any(|grant| {
        let is_within = |scope: &str| grant.scope.eq_ignore_ascii_case(scope);
        let may_keep = grant.role.eq_ignore_ascii_case(ROLE_FULL)
            || grant.operations.is_some_and(|(kind, bits)| kind == TYPE_PACKAGE && bits & KEEPING != 0);
        may_keep && (is_within(SCOPE_ALL) || root.scopes.iter().any(|scope| is_within(scope)))
    })
}

fn root(row: &Row) -> Result<SourceRoot, DatabaseError> {
    Ok(SourceRoot {
        name: row.text("name")?,
        folder: row.text("folder")?,
        aliases: row.texts("aliases")?,
        scopes: Vec::new(),
        created_at: row.time("created_at")?,
    })
}

impl Tx {
    /// All registered folders by name.
    pub async fn source_roots(&mut self) -> Result<Vec<SourceRoot>, DatabaseError> {
        let rows = self
            .rows("SELECT name, folder, aliases, created_at FROM source_roots ORDER BY name", bind![])
            .await?;
        let mut roots = rows.iter().map(root).collect::<Result<Vec<_>, _>>()?;
        let scopes = self
            .rows("SELECT name, scope_id FROM source_root_scopes ORDER BY name, scope_id", bind![])
            .await?;
        for row in &scopes {
            let name = row.text("name")?;
            if let Some(root) = roots.iter_mut().find(|root| root.name == name) {
                root.scopes.push(row.text("scope_id")?);
            }
        }
        Ok(roots)
    }

    /// True when the account exists, is not disabled, and has a role with Modify or Create on packages
    /// within one of the root's scopes: a path it set there may still be read.
    pub async fn account_reaches_root(
        &mut self,
        account: u32,
        root: &SourceRoot,
    ) -> Result<bool, DatabaseError> {
        if self.account(account).await?.is_none_or(|account| account.is_disabled) {
            return Ok(false);
        }
        Ok(reaches(&self.grants(account).await?, root))
    }

    /// The account that set a package's source path; none for a command at the site itself.
    pub async fn source_set_by(&mut self, package: PackageId) -> Result<Option<u32>, DatabaseError> {
        let row = self
            .row("SELECT source_set_by FROM packages WHERE package_id = $1", bind![package.as_str()])
            .await?;
        let Some(row) = row else { return Ok(None) };
        row.i64_or_none("source_set_by")?.map(|_| row.u32("source_set_by")).transpose()
    }

    /// Notes that a command at the site itself set the package's source path.
    pub async fn source_set_here(&mut self, package: PackageId) -> Result<(), DatabaseError> {
        self.execute(
            "UPDATE packages SET source_set_by = NULL WHERE package_id = $1",
            bind![package.as_str()],
        )
        .await
        .map(|_| ())
    }

    /// Adds a folder with its scopes, which exist; false when the name is taken.
    pub async fn insert_source_root(&mut self, root: &SourceRoot) -> Result<bool, DatabaseError> {
        let aliases = serde_json::to_string(&root.aliases).expect("a list of texts is plain data");
        let added = self
            .execute(
                "INSERT INTO source_roots (name, folder, aliases, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO NOTHING",
                bind![&root.name, &root.folder, aliases, root.created_at],
            )
            .await?;
        if added == 0 {
            return Ok(false);
        }
        for scope in &root.scopes {
            self.execute(
                "INSERT INTO source_root_scopes (name, scope_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                bind![&root.name, scope],
            )
            .await?;
        }
        Ok(true)
    }

    /// Removes a folder; false when there is none of that name.
    pub async fn delete_source_root(&mut self, name: &str) -> Result<bool, DatabaseError> {
        Ok(self.execute("DELETE FROM source_roots WHERE name = $1", bind![name]).await? == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::{Grant, SourceRoot, Timestamp, reaches, refusal_of_folder, resolve};
    use std::path::{Path, PathBuf};

    fn roots() -> Vec<SourceRoot> {
        let root = |name: &str, folder: &str, aliases: &[&str]| SourceRoot {
            name: name.to_owned(),
            folder: folder.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            scopes: vec!["SMS00UNA".to_owned()],
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
    fn a_root_is_reached_by_a_role_on_packages_within_one_of_its_scopes() {
        let roots = roots();
        let grant = |role: &str, scope: &str, operations| Grant {
            role: role.to_owned(),
            scope: scope.to_owned(),
            operations,
        };
        for (grant, wanted) in [
            (grant("XYZ00001", "sms00una", Some((2, 3))), true),
            (grant("XYZ00001", "SMS00UNA", Some((2, 1 << 10))), true),
            (grant("XYZ00001", "SMS00ALL", Some((2, 2))), true),
            (grant("SMS0001R", "SMS00ALL", None), true),
            (grant("XYZ00001", "SMS00UNA", Some((2, 1))), false),
            (grant("XYZ00001", "SMS00UNA", Some((42, 2))), false),
            (grant("XYZ00001", "XYZ00002", Some((2, 2))), false),
            (grant("SMS0001R", "XYZ00002", None), false),
            (grant("XYZ00001", "SMS00ALL", None), false),
        ] {
            assert_eq!(reaches(std::slice::from_ref(&grant), &roots[0]), wanted, "{grant:?}");
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
