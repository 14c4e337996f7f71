//! The data folder and the machine beneath it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_names::{Clock, HumanBytes, HumanDuration, SystemClock, Timestamp};
use rustix::fs::{FallocateFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::process::{Resource, getrlimit};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Finding;
use crate::config;
use crate::data_folder::DataFolder;
use crate::output::shown_path;

/// Less free space than this is a problem, and less than ten times it a notice.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Fewer free names of a file system than this is a problem.
const FREE_NAMES_MIN: u64 = 1_000;
/// A limit of open files below this is a notice.
const OPEN_FILES_MIN: u64 = 4_096;
/// A certificate that ends sooner is a notice; most are renewed long before.
const CERTIFICATE_DAYS_MIN: i64 = 14;
/// How long an address is waited for that should answer.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// A file dated further in the future than this says that the clock was put back.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(120);

pub(super) fn examine(folder: &DataFolder) -> Vec<Finding> {
    let mut findings = vec![rights(folder)];
    findings.extend(secrets(folder));
    findings.extend(disk(folder));
    findings.push(clock(folder));
    findings.extend(certificates(folder));
    findings.extend(ports(folder));
    findings.push(open_files());
    findings.push(kernel(folder));
    findings
}

fn rights(folder: &DataFolder) -> Finding {
    let (path, shown) = (folder.path(), shown_path(folder.path()));
    let account = rustix::process::geteuid().as_raw();
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => {
            return Finding::problem("folder", format!("cannot look at {shown}: {error}"), "check its path");
        }
    };
    if found.mode() & 0o077 != 0 {
        let text = format!("{shown} has mode {:04o}: other accounts can look into it", found.mode() & 0o7777);
        return Finding::problem("folder", text, format!("chmod 0700 {shown}"));
    }
    if found.uid() != account && account != 0 {
        let text = format!("{shown} belongs to account {}, this is account {account}", found.uid());
        return Finding::problem("folder", text, "run the command as the account of the site");
    }
    let test = path.join(".restock-doctor");
    let tried = std::fs::write(&test, b"x").and_then(|()| std::fs::remove_file(&test));
    match tried {
        Ok(()) => Finding::good(
            "folder",
            format!("{shown} belongs to account {} alone and can be written", found.uid()),
        ),
        Err(error) => {
            Finding::problem("folder", format!("cannot write to {shown}: {error}"), "check mount and rights")
        }
    }
}

/// Files that hold keys or may hold passwords, and that others can read.
fn secrets(folder: &DataFolder) -> Vec<Finding> {
    let mut open = Vec::new();
    for file in secret_files(folder) {
        let mode = std::fs::metadata(&file).map_or(0, |found| found.mode());
        if mode & 0o077 != 0 {
            open.push(shown_path(&file));
        }
    }
    if open.is_empty() {
        return vec![Finding::good("secrets", "keys and configuration can be read by their account alone")];
    }
    let text = format!("other accounts can read {}", open.join(", "));
    vec![Finding::problem("secrets", text, format!("chmod 0600 {}", open.join(" ")))]
}

/// The files whose content is secret.
pub(crate) fn secret_files(folder: &DataFolder) -> Vec<PathBuf> {
    let mut files = vec![folder.config()];
    for below in ["keys", "identity", "join"] {
        let Ok(entries) = std::fs::read_dir(folder.path().join(below)) else { continue };
        files.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_file()));
    }
    files.sort();
    files
}

fn disk(folder: &DataFolder) -> Vec<Finding> {
    let library = folder.library();
    let at = if library.exists() { library } else { folder.path().to_owned() };
    let found = match rustix::fs::statvfs(&at) {
        Ok(found) => found,
        Err(error) => {
            let text = format!("cannot ask for the free space of {}: {error}", shown_path(&at));
            return vec![Finding::problem("disk", text, "check the mount")];
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let all = found.f_blocks.saturating_mul(found.f_frsize);
    let text = format!("{} of {} are free at {}", HumanBytes(free), HumanBytes(all), shown_path(&at));
    let fix = "make room, or take packages away that nobody needs; restock library stat";
    let mut findings = vec![match free {
        _ if free < FREE_BYTES_MIN => Finding::problem("disk", text, fix),
        _ if free < FREE_BYTES_MIN * 10 => Finding::notice("disk", text, fix),
        _ => Finding::good("disk", text),
    }];
    // Some file systems have no fixed number of names and say 0.
    if found.f_files > 0 && found.f_favail < FREE_NAMES_MIN {
        let text =
            format!("only {} more files fit into the file system of {}", found.f_favail, shown_path(&at));
        findings.push(Finding::problem("disk", text, "a file system with more inodes"));
    }
    findings
}

fn clock(folder: &DataFolder) -> Finding {
    let now = SystemClock.now();
    // What the process itself wrote last cannot have been written later than now.
    let newest = [folder.config(), folder.path().join("restock.lock"), folder.path().join("site.db")]
        .iter()
        .filter_map(|path| std::fs::metadata(path).ok())
        .map(|found| found.mtime().saturating_mul(1_000_000))
        .max()
        .unwrap_or(0);
    let ahead = Timestamp(newest).since(now);
    if ahead > CLOCK_SKEW_MAX {
        let text = format!("files of the data folder are dated {} in the future", HumanDuration(ahead));
        return Finding::problem("clock", text, "set the clock, and keep it by NTP (chronyc, timedatectl)");
    }
    Finding::good("clock", format!("{now}, not behind the files of the data folder"))
}

fn certificates(folder: &DataFolder) -> Vec<Finding> {
    let now = SystemClock.now().0.div_euclid(1_000_000);
    let (mut bad, mut soonest) = (Vec::new(), None);
    for file in secret_files(folder).into_iter().filter(|f| f.extension().is_some_and(|e| e == "pem")) {
        let Ok(found) = CertificateDer::pem_file_iter(&file) else { continue };
        for der in found.flatten() {
            let Ok((_, certificate)) = X509Certificate::from_der(&der) else { continue };
            let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
            let (from, until) = (from.timestamp(), until.timestamp());
            let shown = shown_path(&file);
            if from > now {
                let text =
                    format!("the certificate {shown} is valid only from {} on", Timestamp(from * 1_000_000));
                bad.push(Finding::problem("certificates", text, "set the clock"));
            } else if until <= now {
                let text = format!("the certificate {shown} ended at {}", Timestamp(until * 1_000_000));
                bad.push(Finding::problem("certificates", text, renewal(folder)));
            } else if until - now < CERTIFICATE_DAYS_MIN * 86_400 {
                let text = format!("the certificate {shown} ends at {}", Timestamp(until * 1_000_000));
                bad.push(Finding::notice("certificates", text, renewal(folder)));
            }
            soonest = Some(soonest.map_or(until, |known: i64| known.min(until)));
        }
    }
    if bad.is_empty() {
        let text = soonest.map_or_else(
            || "there is none yet".to_owned(),
            |until| format!("all are valid; the first ends at {}", Timestamp(until * 1_000_000)),
        );
        bad.push(Finding::good("certificates", text));
    }
    bad
}

fn renewal(folder: &DataFolder) -> &'static str {
    match folder.role() {
        Ok(config::Role::Dp) => {
            "run the DP and its site: it is renewed over their link; else restock dp init anew"
        }
        _ => "run the site: it renews its own; the authority is changed by restock site rotate-ca",
    }
}

/// Every address that the configuration names: it answers while the process runs, and is free otherwise.
fn ports(folder: &DataFolder) -> Vec<Finding> {
    let Ok(text) = std::fs::read_to_string(folder.config()) else { return Vec::new() };
    let Ok(table) = text.parse::<toml::Table>() else { return Vec::new() };
    let is_running = crate::control::Client::connect(&folder.socket()).is_ok_and(|client| client.is_some());
    let mut findings = Vec::new();
    for (section, value) in table.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        let listens = value.iter().filter(|(key, _)| *key == "listen" || key.ends_with("_listen"));
        for (key, address) in listens {
            let Some(address) = address.as_str().and_then(|text| text.parse::<SocketAddr>().ok()) else {
                continue;
            };
            // A running process says itself where its metrics are: it takes a free port for a taken one.
            if is_running && section == "metrics" {
                continue;
            }
            let name = format!("{section}.{key} {address}");
            findings.push(if is_running { answers(&name, address) } else { is_free(&name, address) });
        }
    }
    findings
}

fn answers(name: &str, address: SocketAddr) -> Finding {
    let at = match address.ip() {
        ip if ip.is_unspecified() && ip.is_ipv4() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        ip if ip.is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        _ => address,
    };
    match TcpStream::connect_timeout(&at, CONNECT_WAIT) {
        Ok(_) => Finding::good("ports", format!("{name} answers")),
        Err(error) => Finding::problem(
            "ports",
            format!("{name} does not answer: {error}"),
            "see the logs of the process",
        ),
    }
}

fn is_free(name: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::good("ports", format!("{name} is free")),
        Err(error) => {
            let fix = "stop what listens there (ss -ltnp), or set another address in restock.toml";
            Finding::problem("ports", format!("{name} cannot be listened on: {error}"), fix)
        }
    }
}

fn open_files() -> Finding {
    // A running site or DP raises its own limit as far as it may.
    match getrlimit(Resource::Nofile).maximum {
        Some(most) if most < OPEN_FILES_MIN => {
            let text = format!("a process may have at most {most} files open");
            Finding::notice("open files", text, "LimitNOFILE=65536 in the service, or ulimit -H -n 65536")
        }
        Some(most) => Finding::good("open files", format!("a process may have {most} files open")),
        None => Finding::good("open files", "there is no limit"),
    }
}

/// What the kernel and the file system of the data folder offer, tried out.
fn kernel(folder: &DataFolder) -> Finding {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let (mut has, mut lacks) = (Vec::new(), Vec::new());
    let mut note =
        |name: &'static str, is_there: bool| if is_there { has.push(name) } else { lacks.push(name) };
    let at = folder.path();
    note("openat2", {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(at, flags, Mode::empty())
            .and_then(|fd| rustix::fs::openat2(&fd, ".", flags, Mode::empty(), ResolveFlags::BENEATH))
            .is_ok()
    });
    let tried = tempfile::Builder::new().prefix(".restock-doctor-").tempdir_in(at);
    if let Ok(folder) = &tried {
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let files = create(&a).and_then(|first| Ok((first, create(&b)?)));
        if let Ok((first, second)) = files {
            let reserved = rustix::fs::fallocate(&first, FallocateFlags::empty(), 0, 4_096);
            note("reserving space (fallocate)", reserved.is_ok());
            note("shared extents (reflink)", rustix::fs::ioctl_ficlone(&second, &first).is_ok());
            let exchanged =
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, RenameFlags::EXCHANGE);
            note("atomic exchange (renameat2)", exchanged.is_ok());
        }
    }
    let protocols = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    note("kernel TLS", protocols.split_whitespace().any(|name| name == "tls"));
    let offers = if has.is_empty() { "none of what is looked for".to_owned() } else { has.join(", ") };
    let mut text = format!("Linux {release}: {offers}");
    if !lacks.is_empty() {
        text.push_str(&format!("; not here: {} (done without)", lacks.join(", ")));
    }
    Finding::good("kernel", text)
}

fn create(path: &Path) -> std::io::Result<std::fs::File> {
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(path)?;
    std::io::Write::write_all(&mut &file, b"restock")?;
    Ok(file)
}
