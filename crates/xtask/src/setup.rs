//! Installs what the suites need on a fresh Debian 12: programs by apt-get, Python packages into
//! a virtual environment at `.venv`.
//!
//! Nothing is installed that is there already, and nothing but Debian's own archive and PyPI is
//! asked.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// A file that shows a package to be there, and the Debian package that brings it.
///
/// Names without `/` are searched in the folders of programs.
const NEEDED: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("cc", "gcc"),
    ("cmp", "diffutils"),
    ("diff", "diffutils"),
    ("curl", "curl"),
    ("git", "git"),
    ("grep", "grep"),
    ("ip", "iproute2"),
    ("tc", "iproute2"),
    ("kill", "procps"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("runuser", "util-linux"),
    ("setpriv", "util-linux"),
    ("tar", "tar"),
    ("wbemcli", "sblim-wbemcli"),
    ("rclone", "rclone"),
    ("cadaver", "cadaver"),
    ("strace", "strace"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("losetup", "mount"),
    ("mount", "mount"),
    ("python3", "python3"),
    ("krb5kdc", "krb5-kdc"),
    ("kadmin.local", "krb5-admin-server"),
    ("kinit", "krb5-user"),
    ("/usr/include/gssapi/gssapi.h", "libkrb5-dev"),
    ("/usr/lib/llvm-14/lib/libclang.so.1", "libclang-dev"),
    ("/usr/lib/python3/dist-packages/gssapi", "python3-gssapi"),
    ("/usr/include/python3.11/Python.h", "python3-dev"),
    ("/usr/lib/python3.11/ensurepip", "python3-venv"),
    ("/usr/lib/postgresql/15/bin/initdb", "postgresql-15"),
];

/// Where programs are searched beside `PATH`: an ordinary `PATH` leaves out the `sbin` folders.
const PROGRAM_FOLDERS: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Installs the programs of [`NEEDED`] that are missing.
pub(crate) fn programs() -> Result<()> {
    let mut missing: Vec<&str> = NEEDED.iter().filter(|(f, _)| !is_there(f)).map(|(_, p)| *p).collect();
    if !can_make_venv() {
        missing.push("python3-venv");
    }
    missing.dedup();
    if missing.is_empty() {
        println!("all programs are there");
        return Ok(());
    }
    if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("missing: {}; run as root: apt-get install --no-install-recommends {0}", missing.join(" "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]);
        command
    };
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "--no-install-recommends"]).args(&missing))
}

fn is_there(file: &str) -> bool {
    if file.starts_with('/') {
        return Path::new(file).exists();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(PROGRAM_FOLDERS.iter().copied()).any(|folder| Path::new(folder).join(file).exists())
}

/// True when `python3 -m venv` will work: Debian splits off what it needs.
fn can_make_venv() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import venv, ensurepip"]);
    command.output().is_ok_and(|out| out.status.success())
}

/// Makes `.venv` with the packages of the format readers, and returns its interpreter.
pub(crate) fn python() -> Result<PathBuf> {
    let root = crate::root();
    let interpreter = root.join(".venv/bin/python3");
    let wanted = root.join("docs/formats/readers/requirements.txt");
    let installed = root.join(".venv/requirements.txt");
    let same = std::fs::read(&wanted).ok().is_some_and(|w| std::fs::read(&installed).is_ok_and(|i| i == w));
    if same && interpreter.exists() {
        return Ok(interpreter);
    }
    process::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(root.join(".venv")))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "-r"]).arg(&wanted);
    process::run(&mut pip)?;
    std::fs::copy(&wanted, &installed).with_context(|| format!("failed to write {}", installed.display()))?;
    Ok(interpreter)
}

/// `PATH` with the `sbin` folders, which tests that mount and make file systems need.
pub(crate) fn path_with_sbin() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}
