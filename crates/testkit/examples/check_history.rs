//! Judges histories of fault suites: `check_history FILE…`; exit code 1 when a rule is broken.
#![expect(clippy::print_stdout, reason = "a command line tool prints")]

use std::path::Path;
use std::process::ExitCode;

use restock_testkit::history::check_file;

fn main() -> anyhow::Result<ExitCode> {
    let mut is_clean = true;
    for file in std::env::args().skip(1) {
        let verdict = check_file(Path::new(&file))?;
        println!("{file}: {}: {verdict}", verdict.suite);
        for violation in &verdict.violations {
            println!("  {violation}");
        }
        is_clean &= verdict.violations.is_empty();
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
