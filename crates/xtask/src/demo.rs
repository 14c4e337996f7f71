//! The demo as a smoke test: the README's first command must succeed on a small folder.

use anyhow::{Result, bail};

use crate::process;

/// Runs `restock demo` over the repository's own `docs` folder and reads its one line of JSON.
pub(crate) fn smoke() -> Result<()> {
    let data = crate::root().join("target/demo-smoke");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    let mut command = process::cargo();
    command.args(["run", "-q", "-p", "restock-cli", "--", "demo", "docs", "--data"]).arg(&data);
    let (status, out, err) = process::tee(&mut command)?;
    if !status.success() {
        bail!("the demo ended with {status}");
    }
    if out.trim().is_empty() {
        bail!("the demo printed no summary (standard error: {} bytes)", err.len());
    }
    std::fs::remove_dir_all(&data)?;
    Ok(())
}
