//! A site and its distribution points as processes of the real binary, driven by its commands.
//!
//! Every folder and port is fresh. Needs the built binary, which [`binary`] builds. Processes end
//! when the fleet is dropped.

mod process;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub use process::{Ended, Process, Strace};

/// The package every fleet has.
pub const PACKAGE: &str = "XYZ00001";

/// Longer than anything here takes; what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The `restock` binary of this workspace: `RESTOCK_BIN`, else it is built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("RESTOCK_BIN").map(PathBuf::from) {
        ensure!(path.is_absolute() && path.exists(), "RESTOCK_BIN is not the absolute path of a binary");
        return Ok(path);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "-q", "-p", "restock-cli"]);
    let out = command.output().context("failed to start cargo")?;
    ensure!(out.status.success(), "restock does not build: {}", String::from_utf8_lossy(&out.stderr));
    // This test lies in target/debug/deps.
    let this = std::env::current_exe().context("this process has no path")?;
    let folder = this.ancestors().nth(2).context("this process lies in no target folder")?;
    let path = folder.join("restock");
    ensure!(path.exists(), "{} was not built", path.display());
    Ok(path)
}

/// Who runs in a process of the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// The site.
    Site,
    /// The distribution point with this number, from 1 on.
    Dp(usize),
}

/// One site `XYZ` with its distribution points `DP1`, `DP2`…, all data in one folder.
#[derive(Debug)]
pub struct Fleet {
    binary: PathBuf,
    folder: PathBuf,
    serve: Vec<SocketAddr>,
    processes: Vec<(Member, Process)>,
}

/// What an answered command said.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// What it printed, parsed; null when it printed nothing.
    pub json: Value,
    /// Its standard error.
    pub talk: String,
}

impl Fleet {
    /// Makes a site and `dps` distribution points in `folder`, enrolled, everything running.
    ///
    /// Failed attempts are tried again after a second, and one thread reads sources.
    pub fn create(binary: &Path, folder: &Path, dps: usize) -> Result<Self> {
        let mut fleet = Self {
            binary: binary.to_owned(),
            folder: folder.to_owned(),
            serve: Vec::new(),
            processes: Vec::new(),
        };
        fleet.expect(&["site", "init", "--code", "XYZ", "--listen", "127.0.0.1:0"])?;
        let link = fleet.configured(Member::Site, "link", "listen")?;
        fleet
            .configure(Member::Site, &[("refresh", "threads", "1"), ("refresh", "retry_delay", "\"1s\"")])?;
        fleet.configure(Member::Site, &[("transfer", "retry_delay", "\"1s\"")])?;
        fleet.start(Member::Site, None)?;
        for number in 1..=dps {
            let name = format!("DP{number}");
            let token = fleet.expect(&["token", "create", &name])?.json;
            let token = token["token"].as_str().context("no token was printed")?.to_owned();
            let url = format!("restock://{link}");
            let words = ["dp", "init", "--site", &url, "--token", &token, "--serve", "127.0.0.1:0"];
            let answer = fleet.call_at(Member::Dp(number), &words)?;
            ensure!(answer.code == 0, "dp init ended with {}: {}", answer.code, answer.talk);
            let serve = fleet.configured(Member::Dp(number), "serve", "listen")?;
            fleet.serve.push(serve.parse().with_context(|| format!("{serve} is no address"))?);
            fleet.start(Member::Dp(number), None)?;
        }
        Ok(fleet)
    }

    /// The data folder of a member.
    pub fn data(&self, member: Member) -> PathBuf {
        match member {
            Member::Site => self.folder.join("site"),
            Member::Dp(number) => self.folder.join(format!("dp{number}")),
        }
    }

    /// The content library of a member.
    pub fn library(&self, member: Member) -> PathBuf {
        self.data(member).join("library")
    }

    /// All members, the site first.
    pub fn members(&self) -> Vec<Member> {
        std::iter::once(Member::Site).chain((1..=self.serve.len()).map(Member::Dp)).collect()
    }

    /// Where a distribution point serves.
    pub fn serve_address(&self, number: usize) -> SocketAddr {
        self.serve[number - 1]
    }

    /// What the members of a role wrote to standard error since they were made.
    pub fn talk(&self, member: Member) -> String {
        let log = self.folder.join(format!("{}.log", role(member)));
        std::fs::read_to_string(log).unwrap_or_default()
    }

    /// A text in a member's configuration.
    fn configured(&self, member: Member, section: &str, key: &str) -> Result<String> {
        let path = self.data(member).join("restock.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let (_, rest) = text.split_once(&format!("[{section}]")).context("the section is missing")?;
        let value = rest.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        Ok(value.with_context(|| format!("{section} has no {key}"))?.trim_matches('"').to_owned())
    }

    /// Sets keys of a member's configuration: section, key, value as TOML. They count at its next start.
    pub fn configure(&self, member: Member, keys: &[(&str, &str, &str)]) -> Result<()> {
        let path = self.data(member).join("restock.toml");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        let mut section = String::new();
        let mut out = String::new();
        let mut left = keys.len();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('[') {
                section = name.trim_end_matches(']').to_owned();
            }
            let key = line.split('=').next().unwrap_or_default().trim();
            let new = keys.iter().find(|(s, k, _)| *s == section && *k == key);
            left -= usize::from(new.is_some());
            out.push_str(&new.map_or(line.to_owned(), |(_, key, value)| format!("{key} = {value}")));
            out.push('\n');
        }
        ensure!(left == 0, "{} lacks some of {keys:?}", path.display());
        std::fs::write(&path, out).with_context(|| format!("failed to write {}", path.display()))
    }

    /// Starts a member, under `strace` if wanted, and waits until it answers or has ended.
    pub fn start(&mut self, member: Member, strace: Option<&Strace>) -> Result<()> {
        let data = self.data(member);
        let role = role(member);
        let mut words = strace.map(Strace::words).unwrap_or_default();
        words.push(self.binary.clone().into());
        words.extend(["--data".into(), data.clone().into(), role.into(), "run".into()]);
        let mut command = Command::new(&words[0]);
        // One worker, so that a call's number in its thread means the same each time.
        command.args(&words[1..]).env("TOKIO_WORKER_THREADS", "1");
        let log = self.folder.join(format!("{role}.log"));
        let mut process = Process::start(command, &log, strace.is_some())?;
        let socket = data.join("control.sock");
        let until = Instant::now() + PATIENCE;
        while UnixStream::connect(&socket).is_err() {
            if process.ended()?.is_some() {
                ensure!(strace.is_some(), "{member:?} ended at once: {}", tail(&log));
                break;
            }
            ensure!(Instant::now() < until, "{member:?} does not answer: {}", tail(&log));
            std::thread::sleep(Duration::from_millis(10));
        }
        self.processes.push((member, process));
        Ok(())
    }

    /// The process of a member; `None` when it was not started or was taken away.
    pub fn process(&mut self, member: Member) -> Option<&mut Process> {
        self.processes.iter_mut().find(|(m, _)| *m == member).map(|(_, process)| process)
    }

    /// Ends a member with SIGTERM, or with SIGKILL, and waits for its end.
    pub fn stop(&mut self, member: Member, is_killed: bool) -> Result<()> {
        if let Some(at) = self.processes.iter().position(|(m, _)| *m == member) {
            let (_, mut process) = self.processes.remove(at);
            process.stop(is_killed)?;
        }
        Ok(())
    }

    /// Ends every member.
    pub fn stop_all(&mut self, is_killed: bool) -> Result<()> {
        for member in self.members().into_iter().rev() {
            self.stop(member, is_killed)?;
        }
        Ok(())
    }

    /// Runs a command at the site.
    pub fn call(&self, words: &[&str]) -> Result<Answer> {
        self.call_at(Member::Site, words)
    }

    /// Runs a command with the data folder of a member.
    pub fn call_at(&self, member: Member, words: &[&str]) -> Result<Answer> {
        let mut command = Command::new(&self.binary);
        command.arg("--data").arg(self.data(member)).arg("--json").args(words);
        let out = command.output().with_context(|| format!("failed to start {}", self.binary.display()))?;
        let text = String::from_utf8_lossy(&out.stdout);
        let json = serde_json::from_str(text.trim()).unwrap_or(Value::Null);
        let talk = String::from_utf8_lossy(&out.stderr).into_owned();
        Ok(Answer { code: out.status.code().unwrap_or(-1), json, talk })
    }

    /// Runs a command at the site that must succeed.
    pub fn expect(&self, words: &[&str]) -> Result<Answer> {
        let answer = self.call(words)?;
        ensure!(answer.code == 0, "restock {} ended with {}: {}", words.join(" "), answer.code, answer.talk);
        Ok(answer)
    }

    /// The status of the package: `PackageStatus` as the commands print it.
    pub fn status(&self) -> Result<Value> {
        let mut answer = self.expect(&["status", PACKAGE])?;
        match answer.json.as_array_mut().filter(|list| list.len() == 1) {
            Some(list) => Ok(list.remove(0)),
            None => bail!("the status of one package was asked, {} was answered", answer.json),
        }
    }

    /// Waits until nothing is under way and every distribution point serves the present version.
    ///
    /// Returns the status then. Errors: it does not come within a minute.
    pub fn settled(&self) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.status()?;
            if is_settled(&status) {
                return Ok(status);
            }
            ensure!(Instant::now() < until, "it does not settle: {status}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

/// True when no refresh is pending and all targeted distribution points are installed.
pub fn is_settled(status: &Value) -> bool {
    status["package"]["refresh"].is_null()
        && status["package"]["action_in_progress"] == 0
        && status["targeted"].as_u64().is_some_and(|n| n > 0)
        && status["installed"] == status["targeted"]
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (_, process) in &mut self.processes {
            // Whether it could be ended is of no interest any more.
            drop(process.stop(true));
        }
    }
}

fn role(member: Member) -> &'static str {
    if member == Member::Site { "site" } else { "dp" }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join(" / ")
}
