//! `restock bugreport`.

mod redact;
mod tar;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use restock_names::{Clock, SystemClock};
use restock_provider::Operation;
use serde::Serialize;
use serde_json::{Value, json};

use self::redact::Redactor;
use self::tar::Tar;
use crate::commands::Session;
use crate::commands::doctor;
use crate::config::Role;
use crate::control::{Ask, Client, Door};
use crate::data_folder::DataFolder;
use crate::failure::{Failure, Kind};
use crate::output::{Done, count, shown_path};
use crate::running;

/// Of each log file the end of this length is taken, in bytes.
const LOG_BYTES_MAX: u64 = 4 << 20;
/// Log files that are taken.
const LOGS_MAX: usize = 64;
/// Status messages that are taken.
const MESSAGES_MAX: u32 = 1_000;
/// Files of the data folder that are listed.
const LISTED_MAX: usize = 10_000;

const EXAMPLE: &str = "\
Example:
  restock bugreport                              writes restock-report-….tar here
  restock --data /srv/dp1 bugreport /tmp/dp1.tar";

/// Collect what helps to find a fault into one tar file, without secrets
///
/// In it: what `restock doctor` finds, the configuration, status, loops, the last status messages,
/// the tree of sites, numbers of the library, the names and sizes of files in the data folder, and
/// the end of each log. Passwords, tokens and private keys are taken out of all of it, and neither
/// keys nor database nor content are read. Names of packages, accounts, machines and paths are in it:
/// look at it before you give it away. The site or DP may run or not.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Bugreport {
    /// File to make; an existing one is never replaced
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Written {
    file: String,
    files: u64,
    bytes: u64,
    /// How often something was taken out.
    redactions: u64,
}

impl Bugreport {
    pub(crate) fn run(self, session: &Session) -> Result<Done, Failure> {
        let folder = session.folder()?;
        let role = folder.role()?;
        let now = SystemClock.now();
        let path = self.file.unwrap_or_else(|| {
            let at: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
            PathBuf::from(format!("restock-report-{at}.tar"))
        });
        let fail = |e: &std::io::Error| {
            Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&path)), e)
        };
        let file =
            File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(|e| fail(&e))?;
        let mut redactor = Redactor::of(&folder);
        let mut tar = Tar::new(file, now);
        let mut add = |name: &str, text: &str| tar.add(name, redactor.clean(text).as_bytes());
        add("about.json", &pretty(&about(&folder, role))).map_err(|e| fail(&e))?;
        add("doctor.json", &pretty(&doctor::examine(&folder))).map_err(|e| fail(&e))?;
        add("files.txt", &listing(&folder)).map_err(|e| fail(&e))?;
        if let Ok(text) = std::fs::read_to_string(folder.config()) {
            add("restock.toml", &text).map_err(|e| fail(&e))?;
        }
        for (name, text) in answers(&folder, role) {
            add(&name, &text).map_err(|e| fail(&e))?;
        }
        for log in logs(&folder) {
            let name = log.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = end_of(&log).unwrap_or_else(|e| format!("cannot be read: {e}\n"));
            add(&format!("logs/{name}"), &text).map_err(|e| fail(&e))?;
        }
        let redactions = redactor.taken_out();
        let (files, bytes) = tar.finish().map_err(|e| fail(&e))?;
        let shown = shown_path(&path);
        let text = format!(
            "{shown}: {}. {} taken out.\nLook at it before you give it away: tar xf {shown}\n",
            count(files, "file"),
            count(redactions, "secret"),
        );
        Ok(Done::with(&Written { file: path.to_string_lossy().into_owned(), files, bytes, redactions }, text))
    }
}

fn pretty(of: &impl Serialize) -> String {
    serde_json::to_string_pretty(of).expect("answers are plain data with text keys") + "\n"
}

fn about(folder: &DataFolder, role: Role) -> Value {
    let system = rustix::system::uname();
    json!({
        "software": running::SOFTWARE,
        "role": role,
        "data_dir": folder.path().to_string_lossy(),
        "at": SystemClock.now(),
        "kernel": format!("{} {}", system.sysname().to_string_lossy(), system.release().to_string_lossy()),
        "machine": system.machine().to_string_lossy(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

/// What a site or DP answers, each under the name of a file; what cannot be asked says why.
fn answers(folder: &DataFolder, role: Role) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut keep = |name: &str, answer: Result<Value, Failure>| {
        let document = answer.unwrap_or_else(|failure| json!({ "error": failure }));
        files.push((format!("{name}.json"), pretty(&document)));
    };
    match role {
        Role::Site => match Door::open(folder, "restock bugreport") {
            Ok(mut door) => {
                keep("hello", door.ask(Ask::Hello));
                keep("status", door.ask(Ask::Perform(Operation::Status { package: None })));
                keep("loops", door.ask(Ask::Perform(Operation::ListLoops)));
                keep("points", door.ask(Ask::Perform(Operation::ListPoints)));
                let messages = Operation::Messages { package: None, after: None, limit: Some(MESSAGES_MAX) };
                keep("messages", door.ask(Ask::Perform(messages)));
                keep("sites", door.ask(Ask::SiteTree));
                keep("progress", door.ask(Ask::Progress));
                keep("library", door.ask(Ask::StatLibrary));
                keep("plans", door.ask(Ask::ListPlans));
            }
            Err(failure) => keep("site", Err(failure)),
        },
        Role::Dp => match Client::connect(&folder.socket()) {
            Ok(Some(mut client)) => {
                keep("hello", client.ask(Ask::Hello));
                keep("library", client.ask(Ask::StatLibrary));
            }
            Ok(None) => keep("dp", Err(Failure::failed("the distribution point does not run"))),
            Err(failure) => keep("dp", Err(failure)),
        },
    }
    files
}

/// Names, sizes and modes of the files in the data folder; of the library only its folders.
fn listing(folder: &DataFolder) -> String {
    let (mut lines, mut waiting) = (Vec::new(), vec![folder.path().to_owned()]);
    while let Some(at) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&at) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(found) = path.symlink_metadata() else { continue };
            let name = path.strip_prefix(folder.path()).unwrap_or(&path);
            lines.push(format!("{:06o} {:>12} {}", found.mode(), found.len(), shown_path(name)));
            if found.is_dir() {
                waiting.push(path);
            }
            if lines.len() >= LISTED_MAX {
                lines.push("… and more".to_owned());
                return lines.join("\n") + "\n";
            }
        }
    }
    lines.sort_by(|a, b| a[20..].cmp(&b[20..]));
    lines.join("\n") + "\n"
}

fn logs(folder: &DataFolder) -> Vec<PathBuf> {
    let configured = std::fs::read_to_string(folder.config())
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|table| Some(table.get("logs")?.get("folder")?.as_str()?.to_owned()))
        .unwrap_or_default();
    let Ok(entries) = std::fs::read_dir(folder.logs(&configured)) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    files.truncate(LOGS_MAX);
    files
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
