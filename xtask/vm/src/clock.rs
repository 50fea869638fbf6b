// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether a guest's clock runs as fast as the host's.
//!
//! A kernel without hardware virtualisation measures its processor's counter against a timer that
//! QEMU emulates. On a host that is busy in that moment it was seen to be out by a factor of ten
//! ("tsc: PIT calibration deviates from HPET"), and then it finds soft lockups and lets tests run
//! out of time for nothing. Such a machine is no ground to test on.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{
    machine::{MachineError, Vm},
    watch::{End, Heard, Patience, watch},
};

/// Between the two readings: long against the time it takes to ask.
const INTERVAL: Duration = Duration::from_millis(300);
const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(30),
    total: Duration::from_secs(30),
};

/// The guest's clock, and when the host asked and was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    asked: Instant,
    guest: Duration,
    answered: Instant,
}

/// Asks the guest twice for the time. An answer is what is wrong with its clock.
pub(crate) async fn check(vm: &mut Vm, heard: &mut Heard) -> Result<Option<String>, MachineError> {
    let Some(first) = read(vm, heard).await? else {
        return Ok(Some("the guest did not tell the time".into()));
    };
    sleep(INTERVAL).await;
    let Some(second) = read(vm, heard).await? else {
        return Ok(Some("the guest did not tell the time twice".into()));
    };
    Ok(wrong(first, second))
}

async fn read(vm: &mut Vm, heard: &mut Heard) -> Result<Option<Reading>, MachineError> {
    let asked = Instant::now();
    vm.order("CLOCK").await?;
    let End::Said(said) = watch(vm, heard, "CLOCK", PATIENCE).await else {
        return Ok(None);
    };
    let answered = Instant::now();
    Ok(said.parse().ok().map(|nanos| Reading {
        asked,
        guest: Duration::from_nanos(nanos),
        answered,
    }))
}

/// What passed on the host between the two looks at the guest's clock is known but for the time
/// that asking took. Half as fast, or twice, is out of it by any means.
fn wrong(first: Reading, second: Reading) -> Option<String> {
    let guest = second.guest.checked_sub(first.guest);
    let least = second.asked.saturating_duration_since(first.answered);
    let most = second.answered.saturating_duration_since(first.asked);
    let right = guest.is_some_and(|guest| guest >= least / 2 && guest <= most * 2);
    (!right).then(|| {
        format!(
            "the guest's clock went {guest:?} forward while {least:?} to {most:?} passed on the \
             host: its kernel mismeasured the processor's counter, as it can on a busy host"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_out_by_far_is_told() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let judged = |guest: u64, latency: u64| {
            let first = Reading {
                asked: start,
                guest: ms(1000),
                answered: start + ms(latency),
            };
            let second = Reading {
                asked: start + ms(300 + latency),
                guest: ms(guest),
                answered: start + ms(300 + 2 * latency),
            };
            wrong(first, second)
        };
        for (guest, latency) in [(1300, 1), (1200, 1), (1500, 1), (1300, 200), (2200, 200)] {
            assert_eq!(judged(guest, latency), None, "{guest} {latency}");
        }
        for (guest, latency) in [(4000, 1), (1030, 1), (900, 1), (4000, 200)] {
            let told = judged(guest, latency).unwrap();
            assert!(told.contains("busy host"), "{told}");
        }
    }
}
