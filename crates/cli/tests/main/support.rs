//! A site and its DPs as processes in a temporary folder.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The one document on standard output.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The document, after success.
    pub(crate) fn done(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        self.document()
    }
}

pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restock"));
    command.arg("--data").arg(data).env_remove("RESTOCK_DATA").env_remove("RESTOCK_LOG").stdin(Stdio::null());
    command
}

/// The account `nobody`, and a command run as it when the tests run as root.
pub(crate) fn as_nobody(data: &Path) -> Command {
    if !is_root() {
        return command(data);
    }
    let ours = command(data);
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(ours.get_program());
    command.args(ours.get_args()).env_remove("RESTOCK_DATA").env_remove("RESTOCK_LOG").stdin(Stdio::null());
    command
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// Runs a command for people.
pub(crate) fn restock(data: &Path, arguments: &[&str]) -> Ran {
    Ran::of(command(data).args(arguments).output().unwrap())
}

/// Runs a command for programs.
pub(crate) fn json(data: &Path, arguments: &[&str]) -> Ran {
    Ran::of(command(data).arg("--json").args(arguments).output().unwrap())
}

/// Makes an account with the password `a password of NAME`, and returns that.
pub(crate) fn add_account(data: &Path, name: &str, role: Option<&str>) -> String {
    let mut arguments = vec!["admin", "account", "add", name];
    if let Some(role) = role {
        arguments.extend(["--role", role]);
    }
    let password = format!("a password of {name}");
    let mut child = command(data)
        .arg("--json")
        .args(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    password
}

/// A `site run` or `dp run`, ready; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) hello: Value,
}

impl Running {
    pub(crate) fn start(data: &Path, role: &str) -> Self {
        Self::of(command(data), role)
    }

    /// The same with a command that names program and data folder.
    pub(crate) fn of(mut command: Command, role: &str) -> Self {
        let mut child = command
            .args(["--json", role, "run"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(hello) = serde_json::from_str::<Value>(&line) else {
            panic!("{role} run: {line:?} {:?}", child.wait_with_output());
        };
        assert!(hello["role"].is_string(), "{role} run: {hello}");
        Self { child, hello }
    }

    pub(crate) fn url(&self) -> &str {
        self.hello["url"].as_str().unwrap()
    }

    /// What `/proc` has of it under `name`.
    pub(crate) fn proc_file(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap()
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

/// A site with DPs and a registered source root.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) site: Option<Running>,
    pub(crate) points: Vec<Running>,
}

impl World {
    /// Site `XYZ` runs; `root` is a source root; no DP yet.
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("restock-test-").unwrap();
        let mut world = Self { folder, site: None, points: Vec::new() };
        std::fs::create_dir(world.root()).unwrap();
        json(&world.site_data(), &["site", "init", "--code", "XYZ", "--listen", "127.0.0.1:0"]).done();
        world.start_site();
        world.ask(&["source", "add", "root", world.root().to_str().unwrap()]).done();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn site_data(&self) -> PathBuf {
        self.path("site")
    }

    /// The source root.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    pub(crate) fn start_site(&mut self) {
        self.site = Some(Running::start(&self.site_data(), "site"));
    }

    /// Enrols and starts a DP; returns its place in `points`.
    pub(crate) fn add_point(&mut self, name: &str) -> usize {
        let token = self.ask(&["token", "create", name]).done()["token"].as_str().unwrap().to_owned();
        let site = self.site.as_ref().unwrap().url().to_owned();
        json(&self.path(name), &["dp", "init", "--site", &site, "--token", &token, "--serve", "127.0.0.1:0"])
            .done();
        self.points.push(Running::start(&self.path(name), "dp"));
        self.points.len() - 1
    }

    /// A command of the site for programs.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Ran {
        json(&self.site_data(), arguments)
    }

    /// A folder of files below the source root.
    pub(crate) fn source(&self, name: &str, files: &[(&str, &[u8])]) -> PathBuf {
        let folder = self.root().join(name);
        for (path, bytes) in files {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        folder
    }
}

/// What curl gets: status and body.
pub(crate) fn curl(url: &str) -> (u16, Vec<u8>) {
    let output =
        Command::new("curl").args(["-s", "--path-as-is", "-w", "\n%{http_code}", url]).output().unwrap();
    let at = output.stdout.iter().rposition(|b| *b == b'\n').unwrap();
    let status = std::str::from_utf8(&output.stdout[at + 1..]).unwrap().parse().unwrap();
    (status, output.stdout[..at].to_vec())
}
