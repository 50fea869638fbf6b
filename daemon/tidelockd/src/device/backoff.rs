// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long to wait before the next try.

use std::time::Duration;

/// Twice as long each time, up to a limit. The first try after success comes soon: each moment
/// without a daemon is one in which connections are refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

impl Backoff {
    /// From the beginning.
    pub const fn new() -> Self {
        Self { next: FIRST }
    }

    /// How long to wait now.
    pub fn step(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(LAST);
        now
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_limit() {
        let mut backoff = Backoff::new();
        let steps: Vec<u128> = (0..9).map(|_| backoff.step().as_millis()).collect();
        assert_eq!(steps, [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000]);
    }
}
