//! Cleaning the library: older versions are forgotten, what nothing refers to is deleted.
//!
//! A distribution point keeps the version it serves and the two before it, so that a rollback moves no
//! content. It waits for every download and fetch that began before.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Cleaned, Cleaner, CollectError};
use restock_transfer::Run;

/// How often a cleaning that waits for downloads looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest pause between two looks at the clock.
const PAUSE_MOST: Duration = Duration::from_secs(60 * 60);

/// Cleans when it is time, until the run ends.
pub(crate) async fn clean(cleaner: Arc<Cleaner>, run: Run) {
    loop {
        let now = run.clock.now();
        let (at, cancel) = (Arc::clone(&cleaner), run.cancel.clone());
        let stepped = run
            .tracker
            .spawn_blocking(move || {
                at.step(now, None, |_bytes| match cancel.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })
            .await;
        let pause = match stepped {
            Ok(Ok(Cleaned::NotDue(next))) => next.since(now).clamp(LOOK_AGAIN, PAUSE_MOST),
            Ok(Ok(Cleaned::Waits(_))) | Ok(Err(CollectError::Busy)) => LOOK_AGAIN,
            Ok(Ok(Cleaned::Done { collected, versions_removed })) => {
                tracing::info!(
                    target: "smsdpprov",
                    packs_deleted = collected.packs_deleted,
                    bytes_freed = collected.bytes_freed,
                    bytes_rewritten = collected.bytes_rewritten,
                    versions_removed,
                    "the library was cleaned"
                );
                LOOK_AGAIN
            }
            Ok(Err(CollectError::Stopped)) => return,
            Ok(Err(error)) => {
                tracing::error!(target: "smsdpprov", %error, "the library is not cleaned");
                PAUSE_MOST
            }
            Err(error) => {
                tracing::error!(target: "smsdpprov", %error, "cleaning ended unexpectedly");
                PAUSE_MOST
            }
        };
        tokio::select! {
            () = run.cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
