//! What the status classes show for a state: the table "one state, many views".

use restock_names::SourceVersion;
use serde::{Deserialize, Serialize};

use super::TargetState;

/// Distribution to a distribution point begins.
const MESSAGE_STARTING: u32 = 2342;
/// The content itself has not arrived yet.
const MESSAGE_AWAITS_CONTENT: u32 = 2372;
const MESSAGE_SENDING: u32 = 8204;
const MESSAGE_SENT: u32 = 8200;
const MESSAGE_INSTALLED: u32 = 2330;
/// Served content does not have its digest.
pub(super) const MESSAGE_DAMAGED: u32 = 2382;
/// Served content is missing.
pub(super) const MESSAGE_MISSING: u32 = 2385;
/// What was wrong with served content is put right.
pub(super) const MESSAGE_HEALED: u32 = 2384;
/// An attempt to distribute failed.
pub(super) const MESSAGE_ATTEMPT_FAILED: u32 = 2328;
/// Distribution was given up or cancelled.
pub(super) const MESSAGE_GAVE_UP: u32 = 8203;

/// The counter a target adds to, beside "targeted".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counted {
    /// Serves the version asked for.
    Installed,
    /// Waits or receives.
    Pending,
    /// Failed and is tried again.
    Retrying,
    /// Given up.
    Failed,
    /// Counted nowhere: its removal was asked.
    Nowhere,
}

/// The columns of the status classes for one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// `SMS_PackageStatusDistPointsSummarizer.State`.
    pub summarizer_state: u32,
    /// `SMS_PackageStatus.Status` of a type 2 row.
    pub package_status: u32,
    /// `MessageState`: 1 success, 2 in progress, 4 error.
    pub message_state: u32,
    /// `MessageID`.
    pub message_id: Option<u32>,
    /// `SMS_DistributionPoint.Status`.
    pub point_status: u32,
    /// Which counter it adds to.
    pub counted: Counted,
}

impl Columns {
    /// The columns of a target in `state` that serves `serving` (0 for nothing yet), while the site
    /// itself stores `current`; `cause` is the message of its last failure or finding.
    pub fn of(
        state: TargetState,
        serving: SourceVersion,
        current: SourceVersion,
        cause: Option<u32>,
    ) -> Self {
        let is_first = serving.0 == 0;
        let update = if is_first { 2 } else { 1 };
        let waiting = if current.0 == 0 { MESSAGE_AWAITS_CONTENT } else { MESSAGE_STARTING };
        let receiving = if is_first { 1 } else { 7 };
        let row = |summarizer_state, package_status, message_state, message_id, point_status, counted| Self {
            summarizer_state,
            package_status,
            message_state,
            message_id,
            point_status,
            counted,
        };
        let found = |usual: u32| Some(cause.unwrap_or(usual));
        match state {
            TargetState::Waiting => row(1, 0, 2, Some(waiting), update, Counted::Pending),
            TargetState::Receiving => row(receiving, 1, 2, Some(MESSAGE_SENDING), update, Counted::Pending),
            TargetState::Complete => row(7, 2, 2, Some(MESSAGE_SENT), update, Counted::Pending),
            TargetState::Retrying => row(2, 4, 2, cause, update, Counted::Retrying),
            TargetState::Failed => row(3, 5, 4, Some(MESSAGE_GAVE_UP), update, Counted::Failed),
            TargetState::Installed => row(0, 3, 1, found(MESSAGE_INSTALLED), 0, Counted::Installed),
            TargetState::Damaged => row(8, 3, 4, found(MESSAGE_DAMAGED), 0, Counted::Failed),
            TargetState::RemovalAsked => row(4, 7, 2, None, 3, Counted::Nowhere),
            TargetState::RemovalRetrying => row(5, 9, 2, cause, 3, Counted::Retrying),
            TargetState::RemovalFailed => row(6, 8, 4, cause, 3, Counted::Failed),
        }
    }
}

/// How many distribution points of a package stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// All that are counted.
    pub targeted: u32,
    /// That serve the version asked for.
    pub installed: u32,
    /// That failed and are tried again.
    pub retrying: u32,
    /// That were given up.
    pub failed: u32,
    /// That wait or receive.
    pub pending: u32,
}

impl Counters {
    /// Adds one target.
    pub fn add(&mut self, counted: Counted) {
        let column = match counted {
            Counted::Installed => &mut self.installed,
            Counted::Pending => &mut self.pending,
            Counted::Retrying => &mut self.retrying,
            Counted::Failed => &mut self.failed,
            Counted::Nowhere => return,
        };
        *column += 1;
        self.targeted += 1;
    }
}
