//! Where the Kerberos library finds its keys.
//!
//! The library reads that from the environment. A process cannot change its own safely once it has
//! threads, so the program starts itself anew, in the same process, with what the configuration says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use restock_frontdoor::{Kerberos, KerberosError};

use crate::config::KerberosSection;
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// The program that runs, whatever lies at its path by now.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The replay cache in the data folder: it outlives a restart, as the tickets do.
const REPLAY_CACHE: &str = "kerberos.rcache";
/// Rights of others than the owner and the group.
const OTHERS: u32 = 0o007;

/// Makes the environment say what the configuration does; returns when it does.
///
/// To be called before anything else is open. Errors: this program has no Kerberos; the keytab is not
/// there, or anybody may read it.
pub(crate) fn prepare(folder: &DataFolder, section: &KerberosSection) -> Result<(), Failure> {
    if section.keytab.is_empty() {
        return Ok(());
    }
    if cfg!(not(feature = "kerberos")) {
        return Err(failure(&KerberosError::NotBuilt));
    }
    let data = absolute(folder.path())?;
    let keytab = data.join(&section.keytab);
    let metadata = std::fs::metadata(&keytab).map_err(|e| {
        let text = format!("KERBEROS_KEYTAB: cannot read {}", shown_path(&keytab));
        Failure::caused(Kind::Usage, text, &e).hint(HINT)
    })?;
    if metadata.permissions().mode() & OTHERS != 0 {
        let text = format!("KERBEROS_KEYTAB: everybody may use {}, which holds keys", shown_path(&keytab));
        return Err(Failure::usage(text).hint("chmod o= the keytab"));
    }
    let wanted = [
        ("KRB5_KTNAME", named("FILE:", &keytab)),
        ("KRB5RCACHENAME", named("file2:", &data.join(REPLAY_CACHE))),
    ];
    if wanted.iter().all(|(name, value)| std::env::var_os(name).as_ref() == Some(value)) {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new(THIS_PROGRAM);
    command.arg0(arguments.next().unwrap_or_else(|| "restock".into())).args(arguments).envs(wanted);
    let error = command.exec();
    Err(Failure::caused(Kind::Failed, "cannot start anew with the keytab in the environment", &error))
}

/// The keys, where a keytab is configured.
pub(crate) fn open(section: &KerberosSection) -> Result<Option<Kerberos>, Failure> {
    if section.keytab.is_empty() {
        return Ok(None);
    }
    Kerberos::open(section.binding()).map(Some).map_err(|error| failure(&error))
}

const HINT: &str = "keytab in the section [kerberos] of restock.toml; empty, nobody signs in with Kerberos";

fn failure(error: &KerberosError) -> Failure {
    let hint = match error {
        KerberosError::NotBuilt => {
            "make keytab empty in the section [kerberos] of restock.toml, or build with --features kerberos"
        }
        KerberosError::Keys(_) => HINT,
    };
    Failure::usage(error.to_string()).hint(hint)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(path)
        .map_err(|e| Failure::caused(Kind::Failed, format!("cannot find {}", shown_path(path)), &e))
}

fn named(kind: &str, path: &Path) -> OsString {
    let bytes = [kind.as_bytes(), path.as_os_str().as_bytes()].concat();
    std::ffi::OsStr::from_bytes(&bytes).to_owned()
}
