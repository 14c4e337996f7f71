//! Automation of this repository: `cargo xtask ci | tidy | bench | torture | simulate`.
//!
//! [`ci`] is the continuous integration, [`tidy`] checks what compilers do not, [`mod@bench`] runs the
//! benchmark, [`torture`] the long forms of the fault suites,
//! [`simulate`] the simulation of a hierarchy. It builds without the product's
//! crates, so that a broken product is reported instead of stopping the tool.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool prints")]

mod bench;
mod bench_provider;
mod ci;
mod demo;
mod process;
mod setup;
mod simulate;
mod tidy;
mod torture;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  ci [--quick]            everything a change must pass; --quick leaves out faults, demo and readers
  tidy                    crate arrows, licences, SQL texts, file sizes, names
  bench quick|full        measure against the peers, write bench/RESULTS.md
  bench provider          measure the SMS Provider over a large site, write bench/PROVIDER.md
  torture [--hours H] [--sabotage] [SUITE] [N]
                          long forms of the fault suites: disk, flip, full, sys, power, model, net, soak, sim;
                          N points, cycles, MiB, seconds or seeds
  simulate --hours N      the simulation of a hierarchy with fresh seeds
";

/// The repository's root folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies in crates/xtask").to_owned()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["ci"] => ci::run(ci::Form::Full),
        ["ci", "--quick"] => ci::run(ci::Form::Quick),
        ["tidy"] => tidy::run(&root()),
        ["bench", "provider"] => bench_provider::run(),
        ["bench", scale @ ("quick" | "full"), rest @ ..] => bench::run(scale, rest),
        ["torture", rest @ ..] => torture::run(rest),
        ["simulate", "--hours", hours] => simulate::hours(hours),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
