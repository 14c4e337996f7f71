//! The demo as a smoke test: the README's first command must succeed on a small folder.

use std::process::Command;

use anyhow::{Result, bail};

use crate::process;

/// Runs `restock demo` over the repository's own `docs` folder; it compares everything itself.
pub(crate) fn smoke() -> Result<()> {
    let data = crate::root().join("target/demo-smoke");
    if data.exists() {
        std::fs::remove_dir_all(&data)?;
    }
    // Built by the suite before this one.
    let mut command = Command::new(crate::root().join("target/debug/restock"));
    command.current_dir(crate::root()).args(["demo", "docs", "--data"]).arg(&data);
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
