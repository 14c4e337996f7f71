//! How long a holder is waited for: until it says nothing, or too little.
//!
//! Time counts only while the holder owes items and this end reads: neither what this end takes its
//! time for nor the making of a connection is the holder's. The count goes on over connections made
//! again, so a holder that is cut and drips on is found too.

use std::time::Duration;

use super::PullOptions;
use crate::LinkError;

/// What came of what was owed, since the last time that was looked at.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// Since the last byte.
    quiet: Duration,
    /// Since the rate was last looked at.
    spent: Duration,
    bytes: u64,
}

impl Patience {
    /// How long may be waited before [`Self::judge`] has to be asked again.
    pub(super) fn left(&self, options: &PullOptions) -> Duration {
        let idle = options.idle.saturating_sub(self.quiet);
        match options.rate_min {
            0 => idle,
            _ => idle.min(options.rate_window.saturating_sub(self.spent)),
        }
    }

    /// The holder was waited for.
    pub(super) fn waited(&mut self, time: Duration) {
        self.quiet += time;
        self.spent += time;
    }

    /// Bytes came.
    pub(super) fn received(&mut self, bytes: u64) {
        self.quiet = Duration::ZERO;
        self.bytes += bytes;
    }

    /// A connection begins: silence counts from here.
    pub(super) fn connected(&mut self) {
        self.quiet = Duration::ZERO;
    }

    /// Errors: nothing came for [`PullOptions::idle`], or too little in [`PullOptions::rate_window`].
    pub(super) fn judge(&mut self, options: &PullOptions) -> Result<(), LinkError> {
        if self.quiet >= options.idle {
            self.quiet = Duration::ZERO;
            return Err(LinkError::Timeout { what: "send what it owes", after: options.idle });
        }
        if options.rate_min == 0 || self.spent < options.rate_window {
            return Ok(());
        }
        let (bytes, after) = (self.bytes, self.spent);
        (self.bytes, self.spent) = (0, Duration::ZERO);
        let rate = bytes as f64 / after.as_secs_f64().max(f64::MIN_POSITIVE);
        if rate < options.rate_min as f64 {
            return Err(LinkError::TooSlow { bytes, after, rate_min: options.rate_min });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Patience, PullOptions};

    #[test]
    fn a_drip_is_given_up_at_the_end_of_the_window_and_silence_before() {
        let seconds = Duration::from_secs;
        let options =
            PullOptions { idle: seconds(20), rate_min: 10, rate_window: seconds(60), ..Default::default() };
        // Rows: bytes a second, what is said in the end.
        for (rate, code) in [(9, Some("LINK_RATE")), (10, None), (1_000, None), (0, Some("LINK_TIMEOUT"))] {
            let mut patience = Patience::default();
            let mut said = None;
            let mut passed = seconds(0);
            while said.is_none() && passed < seconds(300) {
                let step = patience.left(&options).min(seconds(1));
                patience.waited(step);
                passed += step;
                if rate > 0 {
                    patience.received(rate * step.as_secs());
                }
                said = patience.judge(&options).err().map(|error| error.code().to_owned());
            }
            assert_eq!(said.as_deref(), code, "{rate} a second");
            assert!(code != Some("LINK_RATE") || passed == seconds(60));
            assert!(code != Some("LINK_TIMEOUT") || passed == seconds(20));
        }
        // Without a rate only silence counts.
        let mut patience = Patience::default();
        let any = PullOptions { rate_min: 0, ..options };
        for _ in 0..1_000 {
            patience.waited(seconds(19));
            patience.received(1);
            patience.judge(&any).unwrap();
        }
    }
}
