// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many lines may be written: a bucket that fills at a steady rate.

use std::time::Duration;

/// A bucket of tokens, one a line. Time is passed in.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_second: u64,
    burst: u64,
    /// In billionths of a token, so that nothing is lost in rounding.
    level: u64,
    last: Duration,
}

const TOKEN: u64 = 1_000_000_000;

impl Bucket {
    /// A full one: `burst` at once, `per_second` in the long run.
    pub const fn new(per_second: u32, burst: u32, now: Duration) -> Self {
        let burst = (burst as u64).saturating_mul(TOKEN);
        Self {
            per_second: per_second as u64,
            burst,
            level: burst,
            last: now,
        }
    }

    /// Takes a token, when there is one. A clock that stands still or goes back fills nothing.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.last).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.last = self.last.max(now);
        let more = passed.saturating_mul(self.per_second);
        self.level = self.level.saturating_add(more).min(self.burst);
        match self.level.checked_sub(TOKEN) {
            Some(rest) => {
                self.level = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, milliseconds: u64) -> usize {
        let now = Duration::from_millis(milliseconds);
        (0..100).filter(|_| bucket.take(now)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(10, 5, Duration::ZERO);
        assert_eq!(taken(&mut bucket, 0), 5);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 350), 2);
        assert_eq!(taken(&mut bucket, 400), 1);
        // Never more than the burst, never anything for time that runs backwards.
        assert_eq!(taken(&mut bucket, 1_000_000), 5);
        assert_eq!(taken(&mut bucket, 0), 0);
        assert_eq!(taken(&mut bucket, 1_000_000), 0);
    }
}
