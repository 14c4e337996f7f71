//! What is remembered of a library's health: how far the scrub is, and damage that was found.
//!
//! One small file, replaced as a whole. Losing it loses no content: the scrub begins anew, and damage
//! is found again. Source: docs/formats/library.md, "Health".

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use restock_names::{Digest, Timestamp};

use super::{CleanConfig, Inner, Library, LibraryError, io_error};
use crate::codec::{DecodeError, Reader};
use crate::files::replace;

const MAGIC: &[u8; 4] = b"RShl";
const FORMAT: u16 = 1;
/// Damaged frames remembered; of more the rest is found again.
const DAMAGE_MAX: usize = 65_536;
/// For so long a pack in which damage was found is neither deleted nor written anew.
const EVIDENCE_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How a library is kept in health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthConfig {
    /// How it is cleaned.
    pub clean: CleanConfig,
    /// Each frame is read again within this time.
    pub scrub_period: Duration,
    /// Bytes of the file system that content leaves free, a twentieth of it at most.
    pub reserve_bytes: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            clean: CleanConfig::default(),
            scrub_period: Duration::from_secs(14 * 24 * 60 * 60),
            reserve_bytes: 512 << 20,
        }
    }
}

/// Stored bytes that one step of the scrub reads.
pub const SCRUB_STEP_BYTES: u64 = 32 << 20;
/// The longest pause between two steps of a round.
const SCRUB_PAUSE_MOST: Duration = Duration::from_secs(60);

impl ScrubState {
    /// How long after a step the next one follows. A round is read within half of `period`; the next
    /// round begins a period after the last one began.
    pub fn pause(&self, now: Timestamp, period: Duration, stored_bytes: u64) -> Duration {
        if self.sequence != 0 {
            let steps = u32::try_from(stored_bytes / SCRUB_STEP_BYTES + 1).unwrap_or(u32::MAX);
            return (period / 2 / steps).min(SCRUB_PAUSE_MOST);
        }
        // A clock that was set back must not put it off for longer than a period.
        period.saturating_sub(now.since(self.began_at)).min(period)
    }
}

/// How far the scrub is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ScrubState {
    /// The pack the next step reads, and from which byte on; 0 before a round.
    pub sequence: u64,
    /// See [`Self::sequence`].
    pub offset: u64,
    /// When the round that runs, or the last one, began; none yet when 0.
    pub began_at: Timestamp,
    /// When the last round that read everything ended; none yet when 0.
    pub ended_at: Timestamp,
}

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Health {
    pub(super) scrub: ScrubState,
    /// By pack and digest: when it was found.
    pub(super) damage: BTreeMap<(u64, Digest), Timestamp>,
}

impl Health {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(FORMAT.to_le_bytes());
        let ScrubState { sequence, offset, began_at, ended_at } = self.scrub;
        out.extend([sequence, offset].into_iter().flat_map(u64::to_le_bytes));
        out.extend([began_at, ended_at].into_iter().flat_map(|at| at.0.to_le_bytes()));
        let kept = self.damage.iter().take(DAMAGE_MAX);
        out.extend((kept.len() as u32).to_le_bytes());
        for ((sequence, digest), at) in kept {
            out.extend(sequence.to_le_bytes());
            out.extend(digest.0);
            out.extend(at.0.to_le_bytes());
        }
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    /// `None`: damaged, or of a format this release does not know.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).ok().flatten()
    }

    fn read(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        if reader.take(4)? != MAGIC || reader.u16()? != FORMAT {
            return Ok(None);
        }
        let time = |reader: &mut Reader<'_>| Ok::<_, DecodeError>(Timestamp(reader.u64()?.cast_signed()));
        let scrub = ScrubState {
            sequence: reader.u64()?,
            offset: reader.u64()?,
            began_at: time(&mut reader)?,
            ended_at: time(&mut reader)?,
        };
        let mut damage = BTreeMap::new();
        let count = reader.u32()?;
        if count as usize > DAMAGE_MAX {
            return Ok(None);
        }
        for _ in 0..count {
            let key = (reader.u64()?, Digest(reader.array()?));
            damage.insert(key, time(&mut reader)?);
        }
        let checked = bytes.get(..reader.at()).unwrap_or_default();
        let is_right = reader.u32()? == crc32fast::hash(checked) && reader.finish().is_ok();
        Ok(is_right.then_some(Self { scrub, damage }))
    }
}

/// Fuzz target: any bytes are refused or survive a round trip.
#[doc(hidden)]
pub fn fuzz_one(bytes: &[u8]) {
    if let Some(health) = Health::decode(bytes) {
        assert_eq!(Health::decode(&health.encode()), Some(health));
    }
}

impl Library {
    /// How far the scrub is.
    pub fn scrub_state(&self) -> ScrubState {
        self.inner.lock_health().scrub
    }

    /// Keeps what was found damaged since the last call, with the time, and forgets what was found too long
    /// ago. Errors: the file cannot be written.
    pub fn remember_damage(&self, now: Timestamp) -> Result<(), LibraryError> {
        let sequences: Vec<u64> = self.inner.sealed().iter().map(|pack| pack.header.sequence).collect();
        let mut expired = Vec::new();
        self.inner.change_health(|health, known| {
            let before = health.damage.len();
            health.damage.retain(|key, at| {
                let is_kept = sequences.contains(&key.0) && (*at > now || now.since(*at) < EVIDENCE_KEPT);
                if !is_kept {
                    expired.push(*key);
                }
                is_kept
            });
            let kept = health.damage.len();
            let is_evidence = |key: &(u64, Digest)| sequences.contains(&key.0) && !expired.contains(key);
            for key in known.iter().filter(|key| is_evidence(key)) {
                health.damage.entry(*key).or_insert(now);
            }
            kept != before || health.damage.len() != kept
        })?;
        let mut damaged = self.inner.damaged.lock().expect("no code panics while holding this lock");
        damaged.retain(|key| !expired.contains(key));
        Ok(())
    }
}

impl Inner {
    fn health_path(&self) -> PathBuf {
        self.folder.join("health")
    }

    pub(super) fn lock_health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().expect("no code panics while holding this lock")
    }

    /// Reads the file: frames known to be damaged are not served. A damaged file counts as none.
    pub(super) fn load_health(&self) -> Result<(), LibraryError> {
        let path = self.health_path();
        let health = match std::fs::read(&path) {
            Ok(bytes) => Health::decode(&bytes).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "what was known of the library's health cannot be read");
                Health::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Health::default(),
            Err(source) => return Err(LibraryError::Io { step: "read", path, source }),
        };
        let mut damaged = self.damaged.lock().expect("no code panics while holding this lock");
        damaged.extend(health.damage.keys().copied());
        drop(damaged);
        *self.lock_health() = health;
        Ok(())
    }

    /// Changes what is remembered; it is written when `change` says that it changed. `change` also gets
    /// the frames known to be damaged.
    pub(super) fn change_health(
        &self,
        change: impl FnOnce(&mut Health, &[(u64, Digest)]) -> bool,
    ) -> Result<(), LibraryError> {
        let known: Vec<(u64, Digest)> = {
            let damaged = self.damaged.lock().expect("no code panics while holding this lock");
            damaged.iter().copied().collect()
        };
        let mut health = self.lock_health();
        let mut changed = health.clone();
        if !change(&mut changed, &known) {
            return Ok(());
        }
        let path = self.health_path();
        replace(&*self.files, &path, &changed.encode()).map_err(io_error("write", &path))?;
        *health = changed;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, ScrubState, fuzz_one};
    use proptest::prelude::{any, prop, proptest};
    use restock_names::{Digest, Timestamp};

    #[test]
    fn a_flipped_bit_is_noticed_everywhere() {
        let scrub =
            ScrubState { sequence: 7, offset: 1 << 40, began_at: Timestamp(5), ended_at: Timestamp(-1) };
        let damage = [((3, Digest([9; 32])), Timestamp(8))].into_iter().collect();
        let health = Health { scrub, damage };
        let bytes = health.encode();
        assert_eq!(Health::decode(&bytes), Some(health));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Health::decode(&flipped), None, "bit {bit}");
        }
    }

    #[test]
    fn an_old_sample_is_read() {
        let text = include_str!("../../../../docs/formats/samples/library-health.hex").trim();
        let bytes: Vec<u8> = (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
            .collect();
        let health = Health::decode(&bytes).expect("it is read");
        assert_eq!((health.scrub.sequence, health.scrub.offset), (7, 4096));
        let digest = Digest(std::array::from_fn(|at| at as u8));
        assert_eq!(health.damage.get(&(3, digest)), Some(&Timestamp(1_700_000_000_000_001)));
        assert_eq!(health.encode(), bytes);
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_one(&bytes);
        }
    }
}
