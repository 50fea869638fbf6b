// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Times of the same thing done again and again.

use std::{fmt, str::FromStr, time::Instant};

use crate::failure::{Checked, Failure};

/// What came of some hundred times, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    /// How often it was done.
    count: u32,
    /// How long that took in all.
    total: u64,
    /// The median, by nearest rank.
    p50: u64,
    /// What one in a hundred takes longer than.
    p99: u64,
}

/// Does `act` `count` times in a row.
pub(crate) fn of(count: u32, mut act: impl FnMut(u32) -> Checked<()>) -> Checked<Sample> {
    let mut times = Vec::with_capacity(count.try_into().unwrap_or_default());
    let began = Instant::now();
    for number in 0..count {
        let start = Instant::now();
        act(number)?;
        times.push(nanos(start));
    }
    let total = nanos(began);
    times.sort_unstable();
    Ok(Sample {
        count,
        total,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
    })
}

fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// By nearest rank: the smallest of `sorted` that `percent` of them do not exceed.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            total,
            p50,
            p99,
        } = self;
        write!(f, "{count} {total} {p50} {p99}")
    }
}

impl FromStr for Sample {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let parse = || {
            let mut words = text.split(' ');
            let sample = Self {
                count: words.next()?.parse().ok()?,
                total: words.next()?.parse().ok()?,
                p50: words.next()?.parse().ok()?,
                p99: words.next()?.parse().ok()?,
            };
            words.next().is_none().then_some(sample)
        };
        parse().ok_or_else(|| Failure::Assertion(format!("not a sample: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(
            (percentile(&hundred, 50), percentile(&hundred, 99)),
            (50, 99)
        );
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[1, 2, 3], 50), 2);
        assert_eq!(percentile(&[1, 2, 3, 4], 50), 2);
        assert_eq!(percentile(&[], 50), 0);
    }

    #[test]
    fn a_sample_is_told_as_it_is_read() {
        let sample = of(5, |_| Ok(())).unwrap();
        assert!(sample.count == 5 && sample.p50 <= sample.p99 && sample.p99 <= sample.total);
        assert_eq!(sample.to_string().parse::<Sample>().unwrap(), sample);
        for text in ["", "1 2 3", "1 2 3 4 5", "1 2 3 x"] {
            assert!(text.parse::<Sample>().is_err(), "{text:?}");
        }
        assert!(of(2, |_| Err(Failure::Assertion("no".into()))).is_err());
    }
}
