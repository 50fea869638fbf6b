// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many cells run side by side, and in which order.

use std::{cmp::Reverse, num::NonZeroUsize, time::Duration};

/// Cells to run side by side for each core. A guest sleeps about half of its time (it waits for
/// grace periods of RCU, for timers, for memory to be freed): the full tier on two cores took 25
/// minutes with two at a time, while the cores were half idle.
const CELLS_A_CORE: usize = 2;

/// Memory of one cell: the guest's own, its copy in QEMU's page tables and the compiler's peak.
const CELL_MIB: u64 = 1024;

/// What the host can give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    /// Cores this process may run on.
    pub(crate) cores: NonZeroUsize,
    /// Memory that is free or can be freed, in MiB.
    pub(crate) memory_mib: u64,
}

impl Budget {
    /// Cells to run side by side: [`CELLS_A_CORE`], within memory, and never none.
    pub(crate) fn jobs(self, asked: Option<NonZeroUsize>) -> NonZeroUsize {
        let fitting = usize::try_from(self.memory_mib / CELL_MIB).unwrap_or(usize::MAX);
        let fitting = NonZeroUsize::new(fitting).unwrap_or(NonZeroUsize::MIN);
        let wanted = self
            .cores
            .saturating_mul(NonZeroUsize::new(CELLS_A_CORE).unwrap_or(NonZeroUsize::MIN));
        asked.unwrap_or(wanted.min(fitting))
    }

    /// Reads the host's cores and `MemAvailable` of `/proc/meminfo`.
    ///
    /// Where the memory cannot be read, one cell at a time is what is safe.
    pub(crate) fn of_host() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_mib: available_mib(&text).unwrap_or(0),
        }
    }
}

fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

/// Orders cells longest first, so that none is left alone at the end; what was never run
/// counts as longest. Equals keep their order.
pub(crate) fn longest_first<T>(
    mut cells: Vec<T>,
    recorded: impl Fn(&T) -> Option<Duration>,
) -> Vec<T> {
    cells.sort_by_key(|cell| Reverse(recorded(cell).unwrap_or(Duration::MAX)));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(cores: usize, memory_mib: u64, asked: Option<usize>) -> usize {
        let budget = Budget {
            cores: NonZeroUsize::new(cores).unwrap(),
            memory_mib,
        };
        budget.jobs(asked.and_then(NonZeroUsize::new)).get()
    }

    #[test]
    fn jobs_fit_cores_and_memory_and_are_never_none() {
        assert_eq!(jobs(2, 20_000, None), 4);
        assert_eq!(jobs(64, 8_192, None), 8);
        assert_eq!(jobs(2, 100, None), 1);
        assert_eq!(jobs(2, 100, Some(5)), 5, "what was asked for goes");
    }

    #[test]
    fn the_longest_comes_first_and_the_unknown_before_it() {
        let seconds = |cell: &&str| match *cell {
            "short" => Some(Duration::from_secs(1)),
            "long" => Some(Duration::from_secs(9)),
            _ => None,
        };
        let order = longest_first(vec!["short", "new-b", "long", "new-a"], seconds);
        assert_eq!(order, ["new-b", "new-a", "long", "short"]);
    }

    #[test]
    fn available_memory_is_read_or_unknown() {
        assert_eq!(
            available_mib("MemTotal: 9 kB\nMemAvailable:    2097152 kB\n"),
            Some(2048)
        );
        assert_eq!(available_mib("MemFree: 1 kB"), None);
        assert_eq!(available_mib("MemAvailable: lots"), None);
    }
}
