//! The benchmark: builds Restock as it is shipped, runs the harness in `bench/` beside its peers,
//! and writes `bench/RESULTS.md`.

use std::process::Command;

use anyhow::Result;

use crate::process;

/// Runs the harness at `scale` (`quick` or `full`); further words go to it.
///
/// Data come from `BENCH_DATA`, else `bench/bench-data`. Needs root and the packages that
/// `bench/README.md` lists.
pub(crate) fn run(scale: &str, rest: &[&str]) -> Result<()> {
    let root = crate::root();
    process::run(process::cargo().args(["build", "--profile", "dist", "-p", "restock-cli"]))?;
    let mut command = Command::new(root.join("bench/run.sh"));
    command.current_dir(&root).arg(scale).args(rest);
    command.args(["--driver-script", "restock=./drivers/restock.sh"]);
    command.env("RESTOCK", root.join("target/dist/restock"));
    command.env("INGEST_DRIVER", "restock=./drivers/restock-ingest.sh");
    // In the serving test a distribution point runs at the source's address.
    command.env("SERVE_URL", "http://10.77.0.1:8721/SMS_DP_SMSPKG$/XYZ00001/{path}");
    process::run(&mut command)?;
    let mut report = Command::new("python3");
    report.current_dir(root.join("bench")).args(["summary.py", "RESULTS.md"]);
    process::run(&mut report)
}
