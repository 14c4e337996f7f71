//! The scrub: everything stored is read from the disk within a period, and what versions lack is
//! fetched again.
//!
//! It begins with a look at what is lacking, since an earlier process, or whoever was at the disk
//! meanwhile, may have lost something.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use restock_content::library::{Lacking, Library, LibraryError, SCRUB_STEP_BYTES};
use restock_names::ContentVersion;
use restock_transfer::Run;
use tokio::sync::mpsc;

use crate::serve::Damage;

/// What was found lacking is looked at again after this long; the delay doubles while it stays.
const LOOK_AGAIN_FIRST: Duration = Duration::from_secs(15);
/// The longest such delay.
const LOOK_AGAIN_MOST: Duration = Duration::from_secs(10 * 60);
/// After a step that failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(60);

/// What the scrub takes.
#[derive(Debug, Clone)]
pub(crate) struct Scrub {
    pub(crate) library: Arc<Library>,
    pub(crate) period: Duration,
    /// Takes what is to be fetched again.
    pub(crate) damage: mpsc::Sender<Damage>,
    pub(crate) run: Run,
}

impl Scrub {
    /// Reads on, step by step, until the run ends.
    pub(crate) async fn keep_up(self) {
        let mut again = LOOK_AGAIN_FIRST;
        let mut is_lacking = self.look().await;
        loop {
            let pause = match is_lacking {
                true => again,
                false => self.pause().await,
            };
            tokio::select! {
                () = self.run.cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if is_lacking {
                again = (again * 2).min(LOOK_AGAIN_MOST);
                is_lacking = self.look().await;
                continue;
            }
            again = LOOK_AGAIN_FIRST;
            is_lacking = self.step().await;
        }
    }

    /// What served versions lack, after having it told; errors where that cannot be found out.
    pub(crate) async fn mend(&self) -> Result<u64, LibraryError> {
        let lacking = self.lacking().await?;
        if lacking > 0 {
            self.look().await;
        }
        Ok(lacking)
    }

    /// How many objects served versions lack.
    pub(crate) async fn lacking(&self) -> Result<u64, LibraryError> {
        let library = Arc::clone(&self.library);
        let looked = self.run.tracker.spawn_blocking(move || {
            let lacking = library.lacking(|| ControlFlow::Continue(()))?;
            let is_served = |version: &ContentVersion| {
                library.active(&version.package).is_some_and(|active| active.version == *version)
            };
            Ok(lacking.iter().filter(|lacking| is_served(&lacking.version)).count() as u64)
        });
        // A look that panicked is told by the panic.
        looked.await.unwrap_or(Ok(0))
    }

    /// One step; true when something is lacking.
    async fn step(&self) -> bool {
        let now = self.run.clock.now();
        let Some(scrubbed) = self.blocking(move |library| library.scrub(now, SCRUB_STEP_BYTES)).await else {
            tokio::select! {
                () = self.run.cancel.cancelled() => {}
                () = tokio::time::sleep(PAUSE_AFTER_ERROR) => {}
            }
            return false;
        };
        for frame in &scrubbed.damaged {
            tracing::error!(
                target: "smsdpprov",
                pack = frame.pack,
                object = frame.digest.map(|digest| digest.to_string()),
                is_replaced = frame.is_replaced,
                "CONTENT_DAMAGED: the scrub found stored content that does not pass its check"
            );
        }
        let is_news = !scrubbed.damaged.is_empty() || !scrubbed.packs_gone.is_empty();
        (is_news || scrubbed.is_round_done) && self.look().await
    }

    /// Tells what versions lack, to have it fetched again; true when there is any.
    async fn look(&self) -> bool {
        let cancel = self.run.cancel.clone();
        let looked = self
            .blocking(move |library| {
                let lacking = library.lacking(|| match cancel.is_cancelled() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                })?;
                forget_older(library, &lacking)?;
                Ok(lacking)
            })
            .await;
        let mut is_lacking = false;
        for Lacking { version, digest, is_missing } in looked.unwrap_or_default() {
            if self.library.active(&version.package).is_none_or(|active| active.version != version) {
                continue;
            }
            is_lacking = true;
            let damage = Damage { content: version, digest, is_missing };
            // What does not fit is told at the next look.
            if self.damage.try_send(damage).is_err() {
                break;
            }
        }
        is_lacking
    }

    async fn pause(&self) -> Duration {
        let stat = self.blocking(|library| library.stat()).await.unwrap_or_default();
        self.library.scrub_state().pause(self.run.clock.now(), self.period, stat.stored_bytes)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Library) -> Result<T, LibraryError> + Send + 'static,
    ) -> Option<T> {
        let library = Arc::clone(&self.library);
        match self.run.tracker.spawn_blocking(move || work(&library)).await {
            Ok(Ok(done)) => Some(done),
            Ok(Err(error)) => {
                tracing::error!(target: "smsdpprov", %error, "the library cannot be scrubbed");
                None
            }
            Err(error) => {
                tracing::error!(target: "smsdpprov", %error, "a step of the scrub ended unexpectedly");
                None
            }
        }
    }
}

/// An older version that lacks something is of no use here: the site sends whole versions only.
fn forget_older(library: &Library, lacking: &[Lacking]) -> Result<(), LibraryError> {
    for Lacking { version, .. } in lacking {
        let is_older = library.active(&version.package).is_some_and(|active| *version < active.version);
        if is_older && library.statement(version)?.is_some() {
            tracing::warn!(
                target: "smsdpprov",
                code = "CONTENT_DAMAGED",
                package.id = %version.package,
                package.version = %version.version,
                "an older version lacks content and is forgotten"
            );
            library.remove_statement(version)?;
        }
    }
    Ok(())
}
