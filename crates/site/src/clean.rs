//! The clean loop: forgets answered requests, ended tokens, old status messages, and the traces of
//! deleted objects that every neighbour has heard of.

use std::time::Duration;

use restock_names::Timestamp;
use restock_sitedb::{Database, DatabaseError};

use crate::{Outcome, SiteError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Answers to request ids are kept this long.
const REQUESTS_KEPT: Duration = DAY.saturating_mul(7);
/// Tokens are kept this long after they ended.
const TOKENS_KEPT: Duration = DAY.saturating_mul(7);
/// Status messages are kept this long.
const MESSAGES_KEPT: Duration = DAY.saturating_mul(90);
/// Status messages removed in one step, so that no transaction is long.
const MESSAGES_STEP: u32 = 5_000;

/// Forgets what is old.
#[derive(Debug, Clone)]
pub struct CleanLoop {
    pub(crate) database: Database,
}

impl CleanLoop {
    /// Forgets what is too old at `now`, a bounded part of it.
    pub async fn run_once(&self, now: Timestamp) -> Result<Outcome, SiteError> {
        let before = |age: Duration| {
            Timestamp(now.0.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
        };
        let (requests, tokens, messages) =
            (before(REQUESTS_KEPT), before(TOKENS_KEPT), before(MESSAGES_KEPT));
        let removed: Result<(u64, u64), DatabaseError> = self
            .database
            .transact("clean", move |tx| {
                Box::pin(async move {
                    let others = tx.delete_answered(requests).await?
                        + tx.delete_tokens_expired(tokens).await?
                        + tx.clean_replicas(now).await?;
                    Ok((others, tx.delete_messages(messages, MESSAGES_STEP).await?))
                })
            })
            .await;
        let (others, messages) = removed?;
        Ok(Outcome {
            is_busy: messages == u64::from(MESSAGES_STEP),
            result: format!(
                "removed {messages} messages, {others} requests, tokens and traces of what was deleted"
            ),
            queue: 0,
            next_due: None,
        })
    }
}
