//! From a package's source path to a folder that may be read.
//!
//! The path is matched against the registered roots; a path under no root causes no access to any
//! file. The rest is opened beneath the root, never out of it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use restock_names::Escaped;
use restock_sitedb::Why;
use restock_sitedb::source_root::{SourcePath, SourceRoot, refusal_of_folder, resolve};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// An open source folder.
///
/// It is read through its descriptor, so what was checked is what is read, whatever happens to the
/// names above it meanwhile.
#[derive(Debug)]
pub(crate) struct Found {
    folder: OwnedFd,
    real: PathBuf,
}

impl Found {
    /// A path that leads to the descriptor while this value lives.
    pub(crate) fn path(&self) -> PathBuf {
        descriptor_path(&self.folder)
    }

    /// The same text with the folder's real path in place of the descriptor's.
    pub(crate) fn named(&self, text: &str) -> String {
        let real = Escaped(self.real.as_os_str().as_bytes()).to_string();
        text.replace(&self.path().display().to_string(), &real)
    }
}

fn descriptor_path(folder: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()))
}

/// The root `source_path` lies under, if any. Touches no file.
pub(crate) fn root_of<'r>(source_path: &str, roots: &'r [SourceRoot]) -> Option<&'r SourceRoot> {
    let path: SourcePath = source_path.parse().ok()?;
    resolve(&path, roots).map(|(root, _)| root)
}

/// The folder `source_path` names, opened.
///
/// `own` are the site's folders, which are no source whatever links lead there. Blocking.
/// Errors: the reason as it is shown, with its stable code and a remedy.
pub(crate) fn find(source_path: &str, roots: &[SourceRoot], own: &[PathBuf]) -> Result<Found, Why> {
    let shown = Escaped(source_path.as_bytes());
    let path: SourcePath = source_path
        .parse()
        .map_err(|error| Why::new("SOURCE_PATH_INVALID", format!("the source path {error}")))?;
    let Some((root, rest)) = resolve(&path, roots) else {
        return Err(Why::new("SOURCE_ROOT_MISSING", format!("no registered source holds {shown}"))
            .with_fix("restock source add NAME FOLDER --as NAME-OF-THE-SHARE"));
    };
    let beneath: PathBuf = rest.iter().collect();
    let folder = open_root(Path::new(&root.folder)).map_err(|errno| not_opened(&root.folder, errno))?;
    let root_path = real_path(&folder).map_err(|errno| not_opened(&root.folder, errno))?;
    if let Some(reason) = refusal_of_folder(&root_path, own) {
        let text = format!("{} of source {} cannot be read: {reason}", root_path.display(), root.name);
        return Err(
            Why::new("SOURCE_ROOT_FORBIDDEN", text).with_fix("restock source remove, then another folder")
        );
    }
    if beneath.as_os_str().is_empty() {
        return Ok(Found { folder, real: root_path });
    }
    let wanted = root_path.join(&beneath);
    let opened = open_beneath(&folder, &root_path, &beneath).map_err(|errno| match errno {
        Errno::XDEV | Errno::LOOP => {
            let text =
                format!("{} leads out of the source {}", Escaped(wanted.as_os_str().as_bytes()), root.name);
            Why::new("SOURCE_OUTSIDE_ROOT", text).with_fix("a source path without such a link")
        }
        errno => not_opened(wanted.as_os_str().as_bytes(), errno),
    })?;
    match real_path(&opened) {
        Ok(path) if path.starts_with(&root_path) && refusal_of_folder(&path, own).is_none() => {
            Ok(Found { folder: opened, real: path })
        }
        Ok(path) => {
            let text =
                format!("{} is not beneath the source {}", Escaped(path.as_os_str().as_bytes()), root.name);
            Err(Why::new("SOURCE_OUTSIDE_ROOT", text))
        }
        Err(errno) => Err(not_opened(wanted.as_os_str().as_bytes(), errno)),
    }
}

fn open_root(folder: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn open_beneath(root: &OwnedFd, root_path: &Path, beneath: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(root, beneath, flags, Mode::empty(), resolve) {
        // A kernel without openat2: the real path is compared with the root's afterwards.
        Err(Errno::NOSYS) => rustix::fs::open(root_path.join(beneath), flags, Mode::empty()),
        opened => opened,
    }
}

fn real_path(folder: &OwnedFd) -> Result<PathBuf, Errno> {
    let path = rustix::fs::readlink(descriptor_path(folder), Vec::new())?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(path.as_bytes())))
}

fn not_opened(path: impl AsRef<[u8]>, errno: Errno) -> Why {
    let path = Escaped(path.as_ref());
    match errno {
        Errno::ACCESS | Errno::PERM => {
            let account = rustix::process::geteuid().as_raw();
            let text = format!("the account with uid {account} may not read {path}");
            Why::new("SOURCE_PERMISSION", text).with_fix("let the account of the site read the folder")
        }
        errno => {
            let text = format!("the source folder {path} cannot be opened: {errno}");
            Why::new("SOURCE_NOT_FOUND", text).with_fix("bring the folder back, or set another source path")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::find;
    use restock_names::Timestamp;
    use restock_sitedb::source_root::SourceRoot;
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    fn roots(folder: &Path) -> Vec<SourceRoot> {
        vec![SourceRoot {
            name: "src".to_owned(),
            folder: folder.display().to_string(),
            aliases: vec![r"\\fs01\src".to_owned()],
            scopes: vec!["SMS00UNA".to_owned()],
            created_at: Timestamp(0),
        }]
    }

    #[test]
    fn a_source_is_found_beneath_its_root_only() {
        let temp = TempDir::new().expect("a folder");
        let root = fs::canonicalize(temp.path()).expect("a path").join("root");
        fs::create_dir_all(root.join("app/v1")).expect("folders");
        fs::create_dir_all(temp.path().join("outside")).expect("a folder");
        fs::write(root.join("file"), "x").expect("a file");
        std::os::unix::fs::symlink("app", root.join("inside")).expect("a link");
        std::os::unix::fs::symlink("../outside", root.join("out")).expect("a link");
        std::os::unix::fs::symlink("/proc/self/root", root.join("magic")).expect("a link");
        let roots = roots(&root);
        let code = |path: &str| find(path, &roots, &[]).expect_err(path).rule;
        let real = |path: &str| find(path, &roots, &[]).map(|found| found.real);

        assert_eq!(real(r"\\FS01\src\app\v1"), Ok(root.join("app/v1")));
        assert_eq!(real(r"\\fs01\src"), Ok(root.clone()));
        assert_eq!(real(r"\\fs01\src\inside\v1"), Ok(root.join("app/v1")));
        assert_eq!(code(r"\\fs01\other\app"), "SOURCE_ROOT_MISSING");
        assert_eq!(code(r"\\fs01\src\gone"), "SOURCE_NOT_FOUND");
        assert_eq!(code(r"\\fs01\src\file"), "SOURCE_NOT_FOUND");
        assert_eq!(code(r"\\fs01\src\out"), "SOURCE_OUTSIDE_ROOT");
        assert_eq!(code(r"\\fs01\src\magic\etc"), "SOURCE_OUTSIDE_ROOT");
        assert_eq!(code("/etc"), "SOURCE_ROOT_MISSING");

        let found = find(r"\\fs01\src\app", &roots, &[]).expect("it is there");
        fs::rename(root.join("app"), root.join("moved")).expect("it is moved away");
        assert!(fs::read_dir(found.path()).expect("it stays open").any(|entry| entry.is_ok()));
        let named = found.named(&format!("cannot read {}/x", found.path().display()));
        assert_eq!(named, format!("cannot read {}/app/x", root.display()));
        fs::rename(root.join("moved"), root.join("app")).expect("it is moved back");

        let own = [root.join("app")];
        assert_eq!(find(r"\\fs01\src", &roots, &own).expect_err("own").rule, "SOURCE_ROOT_FORBIDDEN");
        let elsewhere = [root.join("data")];
        assert_eq!(find(r"\\fs01\src", &roots, &elsewhere).expect_err("own").rule, "SOURCE_ROOT_FORBIDDEN");
    }

    #[test]
    fn a_root_that_became_a_link_to_a_system_folder_is_refused() {
        let temp = TempDir::new().expect("a folder");
        let root = temp.path().join("root");
        std::os::unix::fs::symlink("/etc", &root).expect("a link");
        assert_eq!(
            find(r"\\fs01\src\ssl", &roots(&root), &[]).expect_err("etc").rule,
            "SOURCE_ROOT_FORBIDDEN"
        );
    }
}
