//! Running other programs: shown before they start, their output passed on and, if wanted, kept.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The `cargo` that runs this tool.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::root());
    command
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let program = |w: &std::ffi::OsStr| w.to_string_lossy().into_owned();
    let mut words: Vec<String> = words.map(program).collect();
    if let Some(first) = words.first_mut() {
        *first = first.rsplit('/').next().unwrap_or_default().to_owned();
    }
    words.join(" ")
}

/// Runs `command` with its output on this process's own, and fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("failed to start {}", shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", shown(command));
    }
    Ok(())
}

/// Runs `command`, passes its output on line by line, and returns it: standard output and error
/// as two texts.
pub(crate) fn tee(command: &mut Command) -> Result<(ExitStatus, String, String)> {
    println!("$ {}", shown(command));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().with_context(|| format!("failed to start {}", shown(command)))?;
    let out = child.stdout.take().expect("stdout was piped");
    let err = child.stderr.take().expect("stderr was piped");
    let out = thread::spawn(move || pass_on(out, |line| println!("{line}")));
    let err = thread::spawn(move || pass_on(err, |line| eprintln!("{line}")));
    let status = child.wait().with_context(|| format!("failed to wait for {}", shown(command)))?;
    let text = |t: thread::JoinHandle<String>| t.join().expect("the reader does not panic");
    Ok((status, text(out), text(err)))
}

fn pass_on(stream: impl Read, print: impl Fn(&str)) -> String {
    let mut kept = String::new();
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        let text = String::from_utf8_lossy(&line);
        print(text.trim_end_matches('\n'));
        kept.push_str(&text);
        line.clear();
    }
    kept
}

/// Standard output of `command`, which must succeed.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("failed to start {}", shown(command)))?;
    if !out.status.success() {
        bail!(
            "{} ended with {}: {}",
            shown(command),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
