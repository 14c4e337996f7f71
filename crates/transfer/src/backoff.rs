//! How long to wait before trying again.

use std::time::Duration;

/// Delays that double from `first` to `most`, each shortened by a random part of up to half, so
/// that points that lost one site together do not come back together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The delay after the first failure.
    pub first: Duration,
    /// The longest delay.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(500), most: Duration::from_secs(60) }
    }
}

impl Backoff {
    /// The delay after `failures` failures in a row (at least 1) for a `random` number.
    pub fn delay(&self, failures: u32, random: u32) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(self.most);
        doubled.mul_f64(1.0 - f64::from(random) / f64::from(u32::MAX) / 2.0)
    }

    /// The delay after `failures` failures in a row, with fresh randomness.
    pub(crate) fn draw(&self, failures: u32) -> Duration {
        // Without randomness the delay is only less spread.
        self.delay(failures, getrandom::u32().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn delays_double_up_to_the_limit_and_lose_at_most_half() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(1) };
        let delays: Vec<u128> = (1..=6).map(|n| backoff.delay(n, 0).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.delay(1, u32::MAX).as_millis(), 50);
        assert_eq!(backoff.delay(u32::MAX, 0), backoff.most);
    }
}
