//! The demo's site and DPs: this same program, started as processes of their own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;

use crate::control::Hello;
use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// How long a process may take to start, and to stop after SIGTERM.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(20);

/// A running site or DP; stopped when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    what: String,
    errors: PathBuf,
    is_stopped: bool,
}

/// Runs `restock --data DATA --json ARGUMENTS` to its end and reads its answer.
pub(super) fn run<T: DeserializeOwned>(
    data: &Path,
    arguments: &[&str],
    token: Option<&str>,
) -> Result<T, Failure> {
    let mut command = this_program(data)?;
    command.args(arguments).stdin(Stdio::null());
    if let Some(token) = token {
        command.env("RESTOCK_TOKEN", token);
    }
    let what = format!("restock {}", arguments.join(" "));
    let fail = |e: &dyn std::error::Error| Failure::caused(Kind::Failed, format!("cannot run {what}"), e);
    let output = command.output().map_err(|e| fail(&e))?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).map_err(|e| fail(&e));
    }
    let answer: Option<Answer> = serde_json::from_slice(&output.stdout).ok();
    Err(answer.map_or_else(
        || Failure::failed(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        |a| a.error,
    ))
}

#[derive(serde::Deserialize)]
struct Answer {
    error: Failure,
}

impl Process {
    /// Starts `restock --data DATA ARGUMENTS` and waits until it says that it is ready.
    pub(super) fn start(data: &Path, what: &str, arguments: &[&str]) -> Result<(Self, Hello), Failure> {
        let errors = data.join("process.log");
        let fail =
            |e: &dyn std::error::Error| Failure::caused(Kind::Failed, format!("cannot start the {what}"), e);
        let mut child = this_program(data)?
            .args(arguments)
            .arg("--stop-with-parent")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).map_err(|e| fail(&e))?)
            // Ctrl-C reaches the demo only; the demo stops the others in order.
            .process_group(0)
            .spawn()
            .map_err(|e| fail(&e))?;
        let stdout = child.stdout.take().expect("standard output is piped");
        let mut process = Self { child, what: what.to_owned(), errors, is_stopped: false };
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            if sender.send(read.map(|_| line)).is_err() {
                // The demo has given up on it.
            }
        });
        let line = match receiver.recv_timeout(START_MAX) {
            Ok(Ok(line)) => line,
            Ok(Err(e)) => return Err(fail(&e)),
            Err(_) => return Err(process.failure("did not start in time")),
        };
        match serde_json::from_str::<Hello>(&line) {
            Ok(hello) => Ok((process, hello)),
            Err(_) => {
                process.stop();
                match serde_json::from_str::<Answer>(&line) {
                    Ok(answer) => Err(answer.error),
                    Err(_) => Err(process.failure("did not start")),
                }
            }
        }
    }

    /// Fails when the process has ended.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.is_stopped = true;
                Err(self.failure(&format!("ended with {status}")))
            }
            Err(e) => Err(Failure::caused(Kind::Failed, format!("cannot watch the {}", self.what), &e)),
        }
    }

    /// The process's number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to stop, and ends it when it does not.
    pub(super) fn stop(&mut self) {
        if self.is_stopped {
            return;
        }
        self.is_stopped = true;
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let was_asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let steps = if was_asked { STOP_MAX.as_millis() / 10 } else { 0 };
        for _ in 0..steps {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        if self.child.kill().and_then(|()| self.child.wait()).is_err() {
            // It has ended by itself.
        }
    }

    fn failure(&self, verb: &str) -> Failure {
        let said = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let said = said.trim();
        let tail = if said.is_empty() { String::new() } else { format!(": {said}") };
        Failure::failed(format!("the {} {verb}{tail}", self.what))
            .hint(format!("see {}", shown_path(&self.errors)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn this_program(data: &Path) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::caused(Kind::Failed, "cannot find this program's own file", &e))?;
    let mut command = Command::new(program);
    command.arg("--data").arg(data).arg("--json");
    Ok(command)
}
