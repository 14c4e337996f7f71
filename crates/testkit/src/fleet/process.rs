//! One process of a fleet, perhaps under `strace`.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What `strace` does to a process.
#[derive(Debug, Clone)]
pub enum Strace {
    /// Writes every call of `calls` to the file `to`, with times and the paths of descriptors.
    Record {
        /// Names of system calls; unknown ones are left out.
        calls: &'static [&'static str],
        /// Where the record goes.
        to: PathBuf,
    },
    /// Kills the process when a thread enters its `number`-th call of this name.
    Kill {
        /// The system call.
        call: String,
        /// Counted from 1, for each thread.
        number: u64,
    },
    /// Lets the `number`-th call of this name of each thread fail, once; the process lives on.
    Fail {
        /// The system call.
        call: String,
        /// Counted from 1, for each thread.
        number: u64,
        /// What it answers, such as `EIO`.
        error: &'static str,
        /// Where the calls go; [`Strace::has_failed`] reads it.
        to: PathBuf,
    },
}

impl Strace {
    /// The command line before the traced one.
    ///
    /// `--seccomp-bpf` is not used: with it `strace` 6.1 injects nothing.
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = ["strace", "-f", "-qq", "-e", "signal=none"].map(Into::into).into();
        match self {
            Self::Record { calls, to } => {
                let calls: Vec<String> = calls.iter().map(|call| format!("?{call}")).collect();
                words.extend(["-ttt", "-y", "-s", "0", "-e"].map(Into::into));
                words.push(format!("trace={}", calls.join(",")).into());
                words.push("-o".into());
                words.push(to.clone().into());
            }
            Self::Kill { call, number } => {
                words.push("-e".into());
                words.push(format!("trace={call}").into());
                words.push("-e".into());
                words.push(format!("inject={call}:signal=SIGKILL:when={number}").into());
                words.extend(["-o", "/dev/null"].map(Into::into));
            }
            Self::Fail { call, number, error, to } => {
                words.push("-e".into());
                words.push(format!("trace={call}").into());
                words.push("-e".into());
                words.push(format!("inject={call}:error={error}:when={number}").into());
                words.extend(["-y", "-s", "0", "-o"].map(Into::into));
                words.push(to.clone().into());
            }
        }
        words
    }

    /// The first call that was made to fail, as it was recorded; `None` when none was.
    pub fn has_failed(&self) -> Result<Option<String>> {
        let Self::Fail { to, .. } = self else { return Ok(None) };
        let text = std::fs::read_to_string(to).with_context(|| format!("failed to read {}", to.display()))?;
        Ok(text.lines().find(|line| line.contains("(INJECTED)")).map(ToOwned::to_owned))
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an exit code.
    Code(i32),
    /// By a signal; `strace` ends by the signal that ended what it traced.
    Signal(i32),
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    child: Child,
    is_traced: bool,
    ended: Option<Ended>,
}

impl Process {
    pub(super) fn start(mut command: Command, log: &Path, is_traced: bool) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log).context("failed to open the log")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().with_context(|| {
            format!("{:?} did not start; cargo xtask ci installs what is missing", command.get_program())
        })?;
        Ok(Self { child, is_traced, ended: None })
    }

    /// How it ended, `None` while it runs.
    pub fn ended(&mut self) -> Result<Option<Ended>> {
        if self.ended.is_none()
            && let Some(status) = self.child.try_wait().context("failed to ask for a process")?
        {
            self.ended = Some(ended(status));
        }
        Ok(self.ended)
    }

    /// The process number; that of the traced program is another.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it without its knowledge, or lets it go on.
    pub fn pause(&self, is_paused: bool) {
        self.send(if is_paused { Signal::STOP } else { Signal::CONT });
    }

    /// Sends SIGTERM or SIGKILL and waits for the end.
    pub fn stop(&mut self, is_killed: bool) -> Result<Ended> {
        if let Some(ended) = self.ended()? {
            return Ok(ended);
        }
        let signal = if is_killed { Signal::KILL } else { Signal::TERM };
        self.send(signal);
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(ended) = self.ended()? {
                return Ok(ended);
            }
            if Instant::now() > until {
                self.send(Signal::KILL);
                bail!("process {} does not end at SIGTERM", self.child.id());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn send(&self, signal: Signal) {
        for pid in self.victims() {
            // A process that has just ended needs no signal.
            let _gone = kill_process(pid, signal);
        }
    }

    /// Whom signals are for: the traced program rather than `strace`.
    fn victims(&self) -> Vec<Pid> {
        let own = self.child.id();
        let mut ids = vec![own];
        if self.is_traced {
            let children = format!("/proc/{own}/task/{own}/children");
            let listed = std::fs::read_to_string(children).unwrap_or_default();
            ids = listed.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        }
        ids.into_iter().filter_map(|id| Pid::from_raw(id.cast_signed())).collect()
    }
}

fn ended(status: ExitStatus) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Code(code),
        (None, signal) => Ended::Signal(signal.unwrap_or_default()),
    }
}
