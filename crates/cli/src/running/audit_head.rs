//! The end of the audit trail, kept outside the database: `DATA/audit-head`.
//!
//! Without it nobody could see that the end of the trail was cut off. It is written soon after each
//! change and never goes back: a trail that no longer holds the kept head is left as evidence, and
//! `restock audit verify` names what is wrong. Source: docs/formats/audit.md, "Heads".

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use restock_provider::audit::{self, Head};
use restock_sitedb::Database;
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Kind};
use crate::output::shown_path;

/// How often a running site looks whether the trail has grown.
const PERIOD: Duration = Duration::from_secs(1);
/// The first words of the file.
const MAGIC: &str = "restock audit head 1";
/// The longest file that is read.
const BYTES_MAX: u64 = 4_096;

/// The head that was kept in the data folder; `None` when none was kept yet.
///
/// Errors: the file is there and cannot be read or is no head.
pub(crate) fn read(data: &Path) -> Result<Option<Head>, Failure> {
    let path = file(data);
    let text = match std::fs::metadata(&path).and_then(|about| match about.len() {
        0..=BYTES_MAX => std::fs::read_to_string(&path),
        _ => Err(io::Error::other("it is too long")),
    }) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("AUDIT_HEAD: cannot read {}", shown_path(&path));
            return Err(Failure::caused(Kind::Failed, what, &error));
        }
    };
    let head = text.strip_prefix(MAGIC).and_then(|rest| rest.trim().parse().ok());
    let damaged = || Failure::failed(format!("AUDIT_HEAD: {} holds no head", shown_path(&path)));
    head.map(Some).ok_or_else(damaged)
}

/// Keeps the head of `database` in the data folder of its site until `shutdown`, and once more then.
pub(crate) async fn keep(database: Database, data: PathBuf, shutdown: CancellationToken) {
    loop {
        let is_last = tokio::select! {
            () = shutdown.cancelled() => true,
            () = tokio::time::sleep(PERIOD) => false,
        };
        if let Err(failure) = update(&database, &data).await {
            tracing::error!(error = %failure.message, "the head of the audit trail was not kept");
        }
        if is_last {
            return;
        }
    }
}

/// Keeps the head of `database`, if the trail still holds the one that was kept before.
pub(crate) async fn update(database: &Database, data: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::caused(Kind::Failed, "reading the audit trail", &error);
    let Some(head) = audit::head(database).await.map_err(failed)? else { return Ok(()) };
    if let Some(kept) = read(data)? {
        if kept == head {
            return Ok(());
        }
        if !audit::holds(database, kept).await.map_err(failed)? {
            return Err(Failure::failed(format!(
                "AUDIT_BROKEN: the audit trail does not hold record {} any more as it was",
                kept.sequence
            ))
            .hint("restock audit verify"));
        }
    }
    write(data, head).map_err(|error| {
        Failure::caused(Kind::Failed, format!("cannot write {}", shown_path(&file(data))), &error)
    })
}

fn write(data: &Path, head: Head) -> io::Result<()> {
    let path = file(data);
    let fresh = path.with_extension("new");
    let mut out = std::fs::File::create(&fresh)?;
    out.write_all(format!("{MAGIC}\n{head}\n").as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    std::fs::File::open(data)?.sync_all()
}

fn file(data: &Path) -> PathBuf {
    data.join("audit-head")
}
