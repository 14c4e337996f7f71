//! What a distribution point finds wrong with content it serves, and that it has put right.

use restock_names::SourceVersion;

use super::{Effect, Package, Target, TargetState, columns};

/// What is wrong with content that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Stored bytes do not have their digest.
    Wrong,
    /// Nothing is stored where something should be.
    Missing,
}

impl Damage {
    /// The status message that tells it; the number kept in the database.
    pub fn message(self) -> u32 {
        match self {
            Self::Wrong => columns::MESSAGE_DAMAGED,
            Self::Missing => columns::MESSAGE_MISSING,
        }
    }

    /// The damage told by the status message of this number.
    pub fn of_message(number: u32) -> Option<Self> {
        [Self::Wrong, Self::Missing].into_iter().find(|damage| damage.message() == number)
    }
}

impl Target {
    /// Damage was found in `version`. It is remembered while that version is served, and shown when
    /// nothing else is under way.
    pub(super) fn found(&mut self, version: SourceVersion, damage: Damage) {
        if version != self.serving || version.0 == 0 {
            return;
        }
        self.damage = Some(damage);
        if matches!(self.state, TargetState::Installed | TargetState::Damaged) {
            self.state = TargetState::Damaged;
            self.cause = Some(damage.message());
        }
    }

    /// The distribution point has put `version` right by itself.
    pub(super) fn healed(&mut self, version: SourceVersion, package: &Package, effects: &mut Vec<Effect>) {
        if version != self.serving || self.damage.take().is_none() || self.state != TargetState::Damaged {
            return;
        }
        self.settle(package, effects);
        if self.state == TargetState::Installed {
            self.cause = Some(columns::MESSAGE_HEALED);
        }
    }
}
