// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds memory that grows with the number of repetitions.
//!
//! A leak of one object a cycle grows some counter by as many as there were cycles. Counts of
//! the slab allocator are exact once each cache was told to shrink, which takes back what
//! processors keep for themselves (else dozens of free objects count as used). What is freed
//! later (RCU, work queues) has [`PATIENCE`] to go: a leak survives the wait, a delay does not.

use std::{
    collections::BTreeMap,
    fmt, fs,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    failure::{Checked, Failure},
    procfs,
};

const CACHES: &str = "/sys/kernel/slab";
/// How long freed memory may take to come back.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(500);
/// Pages that the kernel may take for itself meanwhile (per-processor lists, page tables).
const SLACK_KIB: u64 = 512;

/// What is in use.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Census {
    /// Objects by slab cache.
    slabs: BTreeMap<String, u64>,
    /// Areas of vmalloc by caller.
    areas: BTreeMap<String, u64>,
    /// KiB that are in no list of free pages and in no cache that gives them back.
    used_kib: u64,
    /// KiB of per-processor memory.
    percpu_kib: u64,
    /// Threads.
    threads: u64,
}

/// A counter that grew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Growth {
    what: String,
    by: u64,
    unit: &'static str,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} +{} {}", self.what, self.by, self.unit)
    }
}

impl Census {
    /// As of now, with all caches shrunk.
    pub(crate) fn take() -> Checked<Self> {
        // 4: without a line in the log; 3: page cache, dentries and inodes.
        for wish in ["4", "3"] {
            procfs::set("/proc/sys/vm/drop_caches", wish)?;
        }
        shrink();
        let memory = procfs::parse_memory(&procfs::read("/proc/meminfo")?);
        let kib = |name| memory.get(name).copied().unwrap_or(0);
        Ok(Self {
            slabs: procfs::parse_slabs(&procfs::read("/proc/slabinfo")?),
            areas: procfs::parse_areas(&procfs::read("/proc/vmallocinfo")?),
            used_kib: kib("MemTotal").saturating_sub(
                kib("MemFree") + kib("Buffers") + kib("Cached") + kib("SReclaimable"),
            ),
            percpu_kib: kib("Percpu"),
            threads: procfs::parse_threads(&procfs::read("/proc/loadavg")?).unwrap_or(0),
        })
    }

    /// What grew since `before` by more than any noise, if there were `cycles` repetitions.
    pub(crate) fn grown_since(&self, before: &Self, cycles: u64) -> Vec<Growth> {
        let limit = cycles / 2;
        let slabs = grown(&before.slabs, &self.slabs, "objects");
        let areas = grown(&before.areas, &self.areas, "areas");
        let mut found: Vec<Growth> = slabs
            .chain(areas)
            .filter(|growth| growth.by >= limit)
            .collect();
        let totals = [
            (
                "used memory",
                before.used_kib,
                self.used_kib,
                "KiB",
                limit * 4 + SLACK_KIB,
            ),
            (
                "per-processor memory",
                before.percpu_kib,
                self.percpu_kib,
                "KiB",
                limit,
            ),
            ("threads", before.threads, self.threads, "threads", limit),
        ];
        for (what, old, new, unit, limit) in totals {
            if new.saturating_sub(old) >= limit {
                found.push(Growth {
                    what: what.into(),
                    by: new - old,
                    unit,
                });
            }
        }
        found
    }

    /// The greatest growth of a slab cache, and that of used memory: the noise, when all is well.
    pub(crate) fn noise_since(&self, before: &Self) -> String {
        let slab = grown(&before.slabs, &self.slabs, "objects").max_by_key(|growth| growth.by);
        let slab = slab.map_or("no slab cache grew".into(), |growth| growth.to_string());
        let used = i128::from(self.used_kib) - i128::from(before.used_kib);
        format!("{slab}, used memory {used:+} KiB")
    }
}

/// Counts again until nothing has grown, or fails with what has.
pub(crate) fn ensure_no_growth(before: &Census, cycles: u64) -> Checked<Census> {
    let start = Instant::now();
    loop {
        let now = Census::take()?;
        let grown = now.grown_since(before, cycles);
        if grown.is_empty() {
            return Ok(now);
        }
        if start.elapsed() > PATIENCE {
            let list: Vec<String> = grown.iter().map(Growth::to_string).collect();
            return Err(Failure::LeakedMemory(format!(
                "over {cycles} cycles: {}",
                list.join(", ")
            )));
        }
        sleep(PAUSE);
    }
}

fn grown<'a>(
    before: &'a BTreeMap<String, u64>,
    now: &'a BTreeMap<String, u64>,
    unit: &'static str,
) -> impl Iterator<Item = Growth> + 'a {
    now.iter().filter_map(move |(name, count)| {
        let by = count.saturating_sub(before.get(name).copied().unwrap_or(0));
        (by > 0).then(|| Growth {
            what: name.clone(),
            by,
            unit,
        })
    })
}

/// Takes back what each processor keeps of each slab cache.
fn shrink() {
    let Ok(caches) = fs::read_dir(CACHES) else {
        // A kernel without SLUB's sysfs: the counts are less exact, the patience remains.
        return;
    };
    for cache in caches.flatten() {
        let path = cache.path().join("shrink");
        // Aliases are links to the cache itself: once is enough. A cache may vanish meanwhile.
        if cache.file_type().is_ok_and(|kind| kind.is_dir()) {
            let _ = procfs::set(&path.to_string_lossy(), "1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(slab: u64, used_kib: u64) -> Census {
        Census {
            slabs: [("kmalloc-64".into(), slab)].into(),
            used_kib,
            ..Census::default()
        }
    }

    #[test]
    fn one_object_a_cycle_is_found_and_noise_is_not() {
        let before = census(1000, 50_000);
        assert_eq!(census(1040, 50_300).grown_since(&before, 200), []);
        // KFENCE takes a few of the leaked objects out of their cache.
        let found = census(1150, 50_300).grown_since(&before, 200);
        assert_eq!(
            found.iter().map(Growth::to_string).collect::<Vec<_>>(),
            ["kmalloc-64 +150 objects"]
        );
    }

    #[test]
    fn one_page_or_thread_or_area_a_cycle_is_found() {
        let before = census(0, 50_000);
        let mut now = census(0, 51_000);
        now.threads = 200;
        now.areas = [("stack_alloc+0x1/0x2".into(), 200)].into();
        let found = now.grown_since(&before, 200);
        assert_eq!(
            found.iter().map(Growth::to_string).collect::<Vec<_>>(),
            [
                "stack_alloc+0x1/0x2 +200 areas",
                "used memory +1000 KiB",
                "threads +200 threads"
            ]
        );
    }
}
