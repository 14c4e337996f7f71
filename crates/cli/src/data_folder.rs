//! The data folder: where its files lie, and who may open it.
//!
//! A site or distribution point that runs holds an exclusive lock on `DATA/restock.lock`, and so
//! does a command that opens the data itself. The file names the holder, so that whoever has to
//! wait can say for whom.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_names::{Clock, SystemClock};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::config::{self, Role};
use crate::control::Client;
use crate::failure::{Failure, Kind};
use crate::output::{shown, shown_path};

/// How long a command waits for another command that has the data folder open.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_RETRY: Duration = Duration::from_millis(50);

/// One data folder, by its absolute path. It need not exist.
#[derive(Debug, Clone)]
pub(crate) struct DataFolder {
    path: PathBuf,
}

/// Who has a data folder open.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Holder {
    pid: u32,
    command: String,
}

/// The end of waiting for a lock.
#[derive(Debug)]
pub(crate) enum Locked<T> {
    /// This process has it.
    Here(DataLock),
    /// Another process has it, and this is what to use in place of it.
    Instead(T),
}

/// The exclusive right to open database and library; given back when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct DataLock {
    _file: File,
}

impl DataFolder {
    /// The folder at `path`, made absolute.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)
            .map_err(|e| Failure::caused(Kind::Usage, format!("cannot use {}", shown_path(path)), &e))?;
        Ok(Self { path })
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// `restock.toml`.
    pub(crate) fn config(&self) -> PathBuf {
        self.path.join("restock.toml")
    }

    /// `control.sock`.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// The content library of a site or distribution point.
    pub(crate) fn library(&self) -> PathBuf {
        self.path.join("library")
    }

    /// Which library belongs here.
    pub(crate) fn library_id(&self) -> PathBuf {
        self.path.join("library.id")
    }

    /// Key, certificate and site of a distribution point.
    pub(crate) fn identity(&self) -> PathBuf {
        self.path.join("identity")
    }

    /// The enrolment of a site at the one above it.
    pub(crate) fn enrolment(&self) -> PathBuf {
        self.path.join("join")
    }

    /// The log folder, `configured` when it is not empty.
    pub(crate) fn logs(&self, configured: &str) -> PathBuf {
        if configured.is_empty() { self.path.join("logs") } else { self.path.join(configured) }
    }

    /// What the folder belongs to; `None` when nothing was initialised there.
    ///
    /// Errors: kind refused when this account may not look.
    fn found(&self) -> Result<Option<Role>, Failure> {
        match std::fs::metadata(self.config()) {
            Ok(_) => config::read_role(&self.config()).map(Some),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                let what = format!("DATA_PERMISSION: cannot look into {}", shown_path(&self.path));
                Err(Failure::caused(Kind::Refused, what, &e)
                    .hint("run the command as the account the folder belongs to, or as root"))
            }
            Err(_) => Ok(None),
        }
    }

    /// What the folder belongs to.
    ///
    /// Errors: kind not-found when nothing was initialised there.
    pub(crate) fn role(&self) -> Result<Role, Failure> {
        self.found()?.ok_or_else(|| self.missing("site or distribution point", "site init"))
    }

    /// Checks that nothing was initialised there.
    ///
    /// Errors: kind refused, beginning with `code`.
    pub(crate) fn expect_free(&self, code: &str) -> Result<(), Failure> {
        if self.config().symlink_metadata().is_err() {
            return Ok(());
        }
        let path = shown_path(&self.path);
        Err(Failure::refused(format!(
            "{code}: {path} is the data folder of a site or distribution point already"
        ))
        .hint("name another folder with --data DIR"))
    }

    /// Checks that the folder belongs to `wanted`.
    pub(crate) fn expect(&self, wanted: Role) -> Result<(), Failure> {
        let (noun, init) = match wanted {
            Role::Site => ("site", "site init"),
            Role::Dp => ("distribution point", "dp init --site URL --token TOKEN"),
        };
        match self.found()? {
            None => Err(self.missing(noun, init)),
            Some(found) if found == wanted => Ok(()),
            Some(_) => {
                Err(Failure::usage(format!("{} is not the data folder of a {noun}", shown_path(&self.path)))
                    .hint("name another folder with --data DIR"))
            }
        }
    }

    fn missing(&self, noun: &str, init: &str) -> Failure {
        let path = shown_path(&self.path);
        Failure::new(Kind::NotFound, format!("there is no {noun} in {path}"))
            .hint(format!("restock --data {path} {init}"))
            .hint("--data DIR (or RESTOCK_DATA) when it lies elsewhere")
    }

    /// Makes the folder, private to this account, if it does not exist.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        let fail = |e: &std::io::Error| {
            Failure::caused(Kind::Failed, format!("cannot make {}", shown_path(&self.path)), e)
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(|e| fail(&e))
    }

    /// Writes a new `restock.toml`; an existing one is never replaced.
    pub(crate) fn write_config(&self, text: &str) -> Result<(), Failure> {
        let path = self.config();
        let write = || -> std::io::Result<()> {
            // A database URL may carry a password.
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|e| Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&path)), &e))
    }

    /// Changes one key of `restock.toml` to `value`, which is as TOML writes it; all other lines stay.
    /// The caller holds the lock.
    pub(crate) fn change_config(&self, section: &str, key: &str, value: &str) -> Result<(), Failure> {
        let path = self.config();
        let fresh = self.path.join(".restock.toml.new");
        let change = || -> std::io::Result<()> {
            let text = config::with_key(&std::fs::read_to_string(&path)?, section, key, value);
            let mut file =
                File::options().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            File::open(&self.path)?.sync_all()
        };
        change()
            .map_err(|e| Failure::caused(Kind::Failed, format!("cannot change {}", shown_path(&path)), &e))
    }

    /// Takes the exclusive lock for `command`, waiting a short time for other commands.
    ///
    /// Errors: kind refused, naming the holder; at once when that is a running site or DP.
    pub(crate) fn lock(&self, command: &str) -> Result<DataLock, Failure> {
        match self.lock_unless(command, |holder| match holder {
            Some(holder) if holder.command.ends_with(" run") => Err(self.held(Some(holder))),
            _ => Ok(None::<Infallible>),
        })? {
            Locked::Here(lock) => Ok(lock),
            Locked::Instead(never) => match never {},
        }
    }

    /// Takes the exclusive lock, or ends with what `instead` finds while another process has it:
    /// a running process that can be asked.
    pub(crate) fn lock_or_ask(&self, command: &str) -> Result<Locked<Client>, Failure> {
        if let Some(client) = Client::connect(&self.socket())? {
            return Ok(Locked::Instead(client));
        }
        self.lock_unless(command, |_| Client::connect(&self.socket()))
    }

    fn lock_unless<T>(
        &self,
        command: &str,
        mut instead: impl FnMut(Option<Holder>) -> Result<Option<T>, Failure>,
    ) -> Result<Locked<T>, Failure> {
        let path = self.path.join("restock.lock");
        let fail = |e: &std::io::Error| {
            if e.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
                let what =
                    format!("DB_READ_ONLY: {} lies on a read-only file system", shown_path(&self.path));
                return Failure::failed(what)
                    .hint("mount -o remount,rw the file system, and look why it was not");
            }
            Failure::caused(Kind::Failed, format!("cannot lock {}", shown_path(&path)), e)
        };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| fail(&e))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(|e| fail(&e))?;
        let clock = SystemClock;
        let start = clock.monotonic();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(e) => return Err(fail(&e.into())),
            }
            let holder = Holder::read(&mut file);
            if clock.monotonic() - start >= LOCK_WAIT {
                return Err(self.held(holder));
            }
            if let Some(other) = instead(holder)? {
                return Ok(Locked::Instead(other));
            }
            std::thread::sleep(LOCK_RETRY);
        }
        let holder = Holder { pid: std::process::id(), command: command.to_owned() };
        let text = serde_json::to_vec(&holder).expect("two plain fields serialise");
        let write = |file: &mut File| -> std::io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&text)
        };
        write(&mut file).map_err(|e| fail(&e))?;
        Ok(Locked::Here(DataLock { _file: file }))
    }

    fn held(&self, holder: Option<Holder>) -> Failure {
        let by = holder.as_ref().map_or_else(
            || "another process".to_owned(),
            |h| format!("process {} ({})", h.pid, shown(&h.command)),
        );
        Failure::refused(format!("DATA_LOCKED: {} is held by {by}", shown_path(&self.path)))
            .hint("wait until it has ended, or stop it")
    }
}

impl Holder {
    /// Who wrote the lock file last; `None` while it is being written.
    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
        serde_json::from_str(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::DataFolder;
    use crate::config::Role;
    use crate::failure::Kind;

    #[test]
    fn a_folder_without_configuration_is_not_found_and_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let failure = DataFolder::at(dir.path()).unwrap().expect(Role::Site).unwrap_err();
        assert_eq!(failure.kind, Kind::NotFound);
        assert!(failure.hints[0].ends_with("site init"), "{:?}", failure.hints);
    }

    #[test]
    fn a_folder_of_a_distribution_point_is_not_taken_for_a_site() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(dir.path()).unwrap();
        folder.write_config(&crate::config::DpSettings::default().template()).unwrap();
        assert_eq!(folder.role().unwrap(), Role::Dp);
        assert_eq!(folder.expect(Role::Site).unwrap_err().kind, Kind::Usage);
        assert!(folder.write_config("").is_err(), "an existing configuration is never replaced");
    }

    #[test]
    fn the_lock_is_free_again_when_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = DataFolder::at(dir.path()).unwrap();
        drop(folder.lock("first").unwrap());
        drop(folder.lock("second").unwrap());
    }
}
