//! The continuous integration: suites in a fixed order, a time budget for each, one summary line.
//!
//! A failing suite does not stop the ones after it. The last line of the run counts everything:
//! tests as their runner counts them, every other suite as one.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{demo, process, setup, simulate, tidy};

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Everything.
    Full,
    /// Without the fault suites on the real binary, the demo and the format readers.
    Quick,
}

/// Tests that start the real binary under faults; they need root, loop devices and minutes.
const FAULT_TESTS: [&str; 5] = ["sys::", "power::", "flip::", "full::", "soak::"];

/// What a suite counted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    passed: u64,
    failed: u64,
}

struct Outcome {
    name: &'static str,
    counts: Counts,
    error: Option<String>,
    took: Duration,
    budget: Duration,
}

/// Runs all suites of `form`.
pub(crate) fn run(form: Form) -> Result<()> {
    let started = Instant::now();
    let mut outcomes = Vec::new();
    let mut suite = |name, budget_seconds, run: &mut dyn FnMut() -> Result<Counts>| {
        println!("\n=== {name} (budget {budget_seconds} s)");
        let begun = Instant::now();
        let (counts, error) = match run() {
            Ok(counts) => (counts, None),
            Err(error) => (Counts { passed: 0, failed: 1 }, Some(format!("{error:#}"))),
        };
        let budget = Duration::from_secs(budget_seconds);
        if let Some(error) = &error {
            println!("FAILED {name}: {error}");
        }
        outcomes.push(Outcome { name, counts, error, took: begun.elapsed(), budget });
    };
    suite("programs", 180, &mut || one(setup::programs()));
    suite("format", 20, &mut || one(process::run(process::cargo().args(["fmt", "--all", "--check"]))));
    suite("tidy", 20, &mut || one(tidy::run(&crate::root())));
    suite("clippy", 300, &mut || one(clippy()));
    suite("docs", 120, &mut || one(docs()));
    suite("build", 420, &mut || one(build()));
    if form == Form::Full {
        suite("format readers", 60, &mut readers);
        suite("demo", 60, &mut || one(demo::smoke()));
        suite("doc tests", 120, &mut doc_tests);
    }
    if form == Form::Full {
        suite("simulation", 720, &mut || one(simulate::quick()));
    }
    suite("tests", if form == Form::Full { 780 } else { 180 }, &mut || tests(form));
    if form == Form::Full {
        // Last: the program that it builds takes the place of the one the other suites run.
        suite("kerberos", 360, &mut kerberos);
    }
    report(&outcomes, started.elapsed())
}

fn one(result: Result<()>) -> Result<Counts> {
    result.map(|()| Counts { passed: 1, failed: 0 })
}

fn clippy() -> Result<()> {
    process::run(process::cargo().args([
        "clippy",
        "-q",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

fn docs() -> Result<()> {
    let mut command = process::cargo();
    process::run(command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "-q", "--workspace", "--no-deps"]))
}

fn build() -> Result<()> {
    process::run(process::cargo().args(["build", "-q", "--workspace", "--all-targets"]))
}

/// Runs every `docs/formats/readers/read_*.py` over the committed samples.
fn readers() -> Result<Counts> {
    let python = setup::python()?;
    let folder = crate::root().join("docs/formats/readers");
    let listed =
        std::fs::read_dir(&folder).with_context(|| format!("failed to list {}", folder.display()))?;
    let mut scripts: Vec<_> = listed.filter_map(|e| e.ok().map(|e| e.path())).collect();
    scripts.retain(|p| {
        p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("read_") && n.ends_with(".py"))
    });
    scripts.sort();
    let mut counts = Counts::default();
    for script in &scripts {
        match process::run(Command::new(&python).arg(script).current_dir(crate::root())) {
            Ok(()) => counts.passed += 1,
            Err(error) => {
                println!("FAILED {error:#}");
                counts.failed += 1;
            }
        }
    }
    if scripts.is_empty() {
        bail!("no reader found in {}", folder.display());
    }
    Ok(counts)
}

fn doc_tests() -> Result<Counts> {
    let (status, out, _) = process::tee(process::cargo().args(["test", "-q", "--workspace", "--doc"]))?;
    counted(sum_cargo_test(&out), status.success())
}

fn tests(form: Form) -> Result<Counts> {
    let mut command = process::cargo();
    // Built before with the same features: a suite that built it itself would choose others.
    command
        .env("PATH", setup::path_with_sbin())
        .env("RESTOCK_BIN", crate::root().join("target/debug/restock"));
    let has_nextest =
        process::cargo().args(["nextest", "--version"]).output().is_ok_and(|o| o.status.success());
    if has_nextest {
        command.args(["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "slow"]);
        if form == Form::Quick {
            let left_out = FAULT_TESTS.map(|t| format!("test(/^{t}/)")).join(" | ");
            command.args(["-E", &format!("not ({left_out})")]);
        }
        let (status, _, err) = process::tee(&mut command)?;
        let flaky = number_before(nextest_summary(&err), " flaky");
        if flaky > 0 {
            println!(
                "{flaky} tests failed once and passed when run again: each is named FLAKY above, and is a bug"
            );
        }
        return counted(sum_nextest(&err), status.success());
    }
    command.args(["test", "--workspace", "--no-fail-fast", "--all-targets"]);
    if form == Form::Quick {
        command.arg("--").args(FAULT_TESTS.iter().flat_map(|t| ["--skip", t]));
    }
    let (status, out, _) = process::tee(&mut command)?;
    counted(sum_cargo_test(&out), status.success())
}

/// The same workspace with Kerberos, of which only what knows the feature is built anew.
fn kerberos() -> Result<Counts> {
    const FEATURE: [&str; 3] = ["--workspace", "--features", "restock-cli/kerberos"];
    let mut clippy = process::cargo();
    process::run(clippy.args(["clippy", "-q"]).args(FEATURE).args([
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    let mut command = process::cargo();
    command
        .args(["test", "-q", "--no-fail-fast"])
        .args(FEATURE)
        .args(["--lib", "--bins", "--tests", "kerberos"]);
    let (status, out, _) = process::tee(&mut command)?;
    counted(sum_cargo_test(&out), status.success())
}

/// A runner that failed without a failed test (it could not build, say) is itself one failure.
fn counted(mut counts: Counts, success: bool) -> Result<Counts> {
    if !success && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// Adds up `test result: ok. 5 passed; 0 failed; …`, one line per test binary.
fn sum_cargo_test(text: &str) -> Counts {
    let lines = text.lines().filter(|l| l.starts_with("test result:"));
    lines.fold(Counts::default(), |sum, line| Counts {
        passed: sum.passed + number_before(line, " passed"),
        failed: sum.failed + number_before(line, " failed"),
    })
}

/// Reads `Summary [ 1.0s] 5 tests run: 4 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 0 skipped`.
fn sum_nextest(text: &str) -> Counts {
    let line = nextest_summary(text);
    let failed = [" failed", " timed out", " exec failed"].map(|what| number_before(line, what));
    Counts { passed: number_before(line, " passed"), failed: failed.iter().sum() }
}

fn nextest_summary(text: &str) -> &str {
    text.lines().rfind(|l| l.trim_start().starts_with("Summary [")).unwrap_or_default()
}

/// The number directly before `what`; 0 when there is none.
fn number_before(line: &str, what: &str) -> u64 {
    let Some(at) = line.find(what) else { return 0 };
    let digits = line[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |i| i + 1);
    line[digits..at].parse().unwrap_or(0)
}

fn report(outcomes: &[Outcome], took: Duration) -> Result<()> {
    println!("\n{:<16} {:>8} {:>8} {:>9} {:>9}", "suite", "passed", "failed", "seconds", "budget");
    for o in outcomes {
        let over = if o.took > o.budget { "  over budget" } else { "" };
        let (took, budget) = (o.took.as_secs_f64(), o.budget.as_secs());
        println!(
            "{:<16} {:>8} {:>8} {took:>9.1} {budget:>9}{over}",
            o.name, o.counts.passed, o.counts.failed
        );
        if let Some(error) = &o.error {
            println!("    {error}");
        }
    }
    println!("in all {:.0} s", took.as_secs_f64());
    let passed: u64 = outcomes.iter().map(|o| o.counts.passed).sum();
    let failed: u64 = outcomes.iter().map(|o| o.counts.failed).sum();
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        // The summary is the last line; the exit code says the rest.
        std::process::exit(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{number_before, sum_cargo_test, sum_nextest};

    #[test]
    fn runner_summaries_are_counted() {
        let text = "running 2 tests\ntest result: ok. 5 passed; 0 failed; 0 ignored\n\
                    test result: FAILED. 3 passed; 2 failed; 0 ignored\n";
        let counts = sum_cargo_test(text);
        assert_eq!((counts.passed, counts.failed), (8, 2));
        let text = "     Summary [   1.2s] 15 tests run: 12 passed (1 slow, 4 flaky), 2 failed, 1 timed out, 3 skipped\n";
        let counts = sum_nextest(text);
        assert_eq!((counts.passed, counts.failed), (12, 3));
        assert_eq!(number_before(text, " flaky"), 4);
        assert_eq!(number_before("nothing here", " passed"), 0);
    }
}
