//! Cleaning the library: older versions are forgotten, what nothing refers to is deleted. Beside that its
//! index is kept.
//!
//! A distribution point keeps the version it serves and the two before it, so that a rollback moves no
//! content. It waits for every download and fetch that began before.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Cleaned, Cleaner, CollectError, Library};
use restock_transfer::Run;

/// How often a cleaning that waits for downloads looks again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// The longest pause between two looks at the clock.
const PAUSE_MOST: Duration = Duration::from_secs(60 * 60);

/// How often it is looked whether the index should be made anew.
const INDEX_PAUSE: Duration = Duration::from_secs(30);

/// Makes the library's index anew whenever it is worth it, until the run ends.
pub(crate) async fn keep_index(library: Arc<Library>, run: Run) {
    while run.cancel.run_until_cancelled(tokio::time::sleep(INDEX_PAUSE)).await.is_some() {
        if !library.is_index_due() {
            continue;
        }
        let (at, cancel) = (Arc::clone(&library), run.cancel.clone());
        let merged = run
            .tracker
            .spawn_blocking(move || {
                at.merge_index(|| match cancel.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })
            })
            .await;
        match merged {
            Ok(Ok(Some(merged))) => tracing::info!(
                target: "smsdpprov",
                packs = merged.packs,
                frames = merged.frames,
                "the library's index was made anew"
            ),
            Ok(Ok(None)) => return,
            // Frames are found without it, only slower.
            Ok(Err(error)) => {
                tracing::warn!(target: "smsdpprov", %error, "the library's index cannot be made anew");
            }
            Err(error) => {
                tracing::error!(target: "smsdpprov", %error, "making the index ended unexpectedly");
            }
        }
    }
}

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
