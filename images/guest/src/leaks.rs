// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds memory that grows with the number of repetitions.
//!
//! What leaks at each repetition grows in the first half of them and grows as much again in the
//! second; what the kernel takes once, for itself, grows in one of them. Counts of the slab
//! allocator are exact once each cache was told to shrink, which takes back what processors keep
//! for themselves (else dozens of free objects count as used). What is freed later (RCU, work
//! queues) has [`PATIENCE`] to go: a leak survives the wait, a delay does not.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    os::unix::fs::FileExt as _,
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
const PAUSE: Duration = Duration::from_millis(250);
/// For the kernel to free what it was told to drop.
const GRACE: Duration = Duration::from_millis(50);
/// How often to count until two counts agree.
const TRIES: u32 = 12;
/// As many KiB of memory may come and go while nothing is done.
const IDLE_KIB: u64 = 32;
/// As many objects of one slab cache may.
const IDLE_OBJECTS: u64 = 8;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    /// Objects of a slab cache.
    Slab,
    /// Areas of vmalloc of one caller.
    Areas,
    /// KiB that nobody could have for the asking.
    Used,
    /// KiB of per-processor memory.
    PerCpu,
    /// Threads.
    Threads,
}

impl Kind {
    /// By how much it grows over `cycles` repetitions, at the least, if each leaks.
    const fn limit(self, cycles: u64) -> u64 {
        match self {
            // One a cycle. KFENCE takes a few of the leaked objects out of their cache.
            Self::Slab | Self::Areas | Self::Threads | Self::PerCpu => cycles / 2,
            // A page of 4 KiB a cycle, less the noise.
            Self::Used => cycles * 2,
        }
    }

    /// How much it may move while nothing is done.
    const fn idle(self) -> u64 {
        match self {
            Self::Slab => IDLE_OBJECTS,
            Self::Used => IDLE_KIB,
            Self::Areas | Self::Threads | Self::PerCpu => 0,
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Slab => "objects",
            Self::Areas => "areas",
            Self::Used | Self::PerCpu => "KiB",
            Self::Threads => "threads",
        }
    }
}

/// What is in use, by kind and name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Census(BTreeMap<(Kind, String), u64>);

/// A counter that grew in both halves.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Growth {
    kind: Kind,
    what: String,
    by: [u64; 2],
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, what, by } = self;
        write!(f, "{what} +{} and +{} {}", by[0], by[1], kind.unit())
    }
}

/// Takes back what each processor keeps of each slab cache. Its files stay open: to open them
/// for each count makes hundreds of inodes, which are then counted, or not.
struct Shrinkers(Vec<File>);

impl Shrinkers {
    fn open() -> Self {
        // A kernel without SLUB's sysfs: the counts are less exact, the patience remains.
        let caches = fs::read_dir(CACHES).into_iter().flatten().flatten();
        // Aliases are links to the cache itself: once is enough. A cache may vanish meanwhile.
        let real = caches.filter(|cache| cache.file_type().is_ok_and(|kind| kind.is_dir()));
        let open = |cache: fs::DirEntry| {
            let path = cache.path().join("shrink");
            File::options().write(true).open(path).ok()
        };
        Self(real.filter_map(open).collect())
    }

    fn shrink(&self) {
        for file in &self.0 {
            // Of a cache that is gone there is nothing to take back.
            let _ = file.write_at(b"1", 0);
        }
    }

    /// As soon as two counts in a row agree, or the last of many.
    fn settled(&self) -> Checked<Census> {
        let mut last = Census::take(self)?;
        for _ in 1..TRIES {
            sleep(PAUSE);
            let now = Census::take(self)?;
            let agree = now.agrees_with(&last);
            last = now;
            if agree {
                break;
            }
        }
        Ok(last)
    }

    /// Counts again for as long as `bad`, within patience.
    fn patiently(&self, bad: impl Fn(&Census) -> bool) -> Checked<Census> {
        let start = Instant::now();
        loop {
            let now = self.settled()?;
            if !bad(&now) || start.elapsed() > PATIENCE {
                return Ok(now);
            }
            sleep(PAUSE);
        }
    }
}

impl Census {
    /// As of now, with all caches shrunk.
    fn take(shrinkers: &Shrinkers) -> Checked<Self> {
        // 4: without a line in the log; 3: page cache, dentries and inodes.
        for wish in ["4", "3"] {
            procfs::set("/proc/sys/vm/drop_caches", wish)?;
        }
        // Inodes are freed after a grace period of RCU.
        sleep(GRACE);
        shrinkers.shrink();
        // Adds up what each processor has counted for itself; it does so by itself every second.
        let _ = procfs::set("/proc/sys/vm/stat_refresh", "1");
        let memory = procfs::read("/proc/meminfo")?;
        let (used, percpu) = memory_in_use(&memory, &procfs::read("/proc/zoneinfo")?)?;
        let threads = procfs::parse_threads(&procfs::read("/proc/loadavg")?)
            .ok_or_else(|| Failure::BrokenCheck("/proc/loadavg tells of no threads".into()))?;
        let slabs = procfs::parse_slabs(&procfs::read("/proc/slabinfo")?);
        let areas = procfs::parse_areas(&procfs::read("/proc/vmallocinfo")?);
        Ok(Self(
            named(Kind::Slab, "/proc/slabinfo", slabs)?
                .chain(named(Kind::Areas, "/proc/vmallocinfo", areas)?)
                .chain([
                    ((Kind::Used, "used memory".into()), used),
                    ((Kind::PerCpu, "per-processor memory".into()), percpu),
                    ((Kind::Threads, "threads".into()), threads),
                ])
                .collect(),
        ))
    }

    fn agrees_with(&self, other: &Self) -> bool {
        let within = |(key, count): (&(Kind, String), &u64), other: &Self| {
            count.abs_diff(other.of(key)) <= key.0.idle()
        };
        self.0.iter().all(|entry| within(entry, other))
            && other.0.iter().all(|entry| within(entry, self))
    }

    fn of(&self, key: &(Kind, String)) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }

    fn growth_since(&self, before: &Self, key: &(Kind, String)) -> u64 {
        self.of(key).saturating_sub(before.of(key))
    }

    /// Whether anything grew since `before` as a leak would in `cycles` repetitions.
    fn is_suspect(&self, before: &Self, cycles: u64) -> bool {
        self.0
            .keys()
            .any(|key| self.growth_since(before, key) >= key.0.limit(cycles))
    }
}

/// What grew in each half, of `cycles` repetitions, as a leak would.
fn leaks(counts: [&Census; 3], cycles: u64) -> Vec<Growth> {
    let [before, middle, after] = counts;
    let growth = |key: &(Kind, String)| Growth {
        kind: key.0,
        what: key.1.clone(),
        by: [
            middle.growth_since(before, key),
            after.growth_since(middle, key),
        ],
    };
    let is_leak = |growth: &Growth| growth.by.iter().all(|by| *by >= growth.kind.limit(cycles));
    after.0.keys().map(growth).filter(is_leak).collect()
}

/// The greatest growth of a slab cache, and that of used memory: the noise, when all is well.
fn noise(counts: [&Census; 3]) -> String {
    let [before, middle, after] = counts;
    let halves = [(before, middle), (middle, after)].map(|(old, new)| {
        let slabs = new.0.keys().filter(|key| key.0 == Kind::Slab);
        let most = slabs
            .map(|key| (new.growth_since(old, key), key.1.as_str()))
            .max()
            .unwrap_or_default();
        let used = |census: &Census| {
            let key = (Kind::Used, "used memory".into());
            i128::from(census.of(&key))
        };
        format!(
            "{} +{} objects, used memory {:+} KiB",
            most.1,
            most.0,
            used(new) - used(old)
        )
    });
    halves.join("; ")
}

/// Does `half` twice, which is `cycles` repetitions each time, and fails with what grew in both;
/// returns the noise. What grows once, because it is the first time, must have grown before.
pub(crate) fn ensure_none(cycles: u64, mut half: impl FnMut() -> Checked<()>) -> Checked<String> {
    let shrinkers = Shrinkers::open();
    let before = shrinkers.settled()?;
    half()?;
    let middle = shrinkers.patiently(|now| now.is_suspect(&before, cycles))?;
    half()?;
    let after = shrinkers.patiently(|now| !leaks([&before, &middle, now], cycles).is_empty())?;
    let counts = [&before, &middle, &after];
    let found = leaks(counts, cycles);
    if found.is_empty() {
        return Ok(noise(counts));
    }
    let list: Vec<String> = found.iter().map(Growth::to_string).collect();
    Err(Failure::LeakedMemory(format!(
        "over twice {cycles} cycles: {}",
        list.join(", ")
    )))
}

/// Counters of one kind, of which there must be some.
fn named(
    kind: Kind,
    path: &str,
    counts: BTreeMap<String, u64>,
) -> Checked<impl Iterator<Item = ((Kind, String), u64)>> {
    if counts.is_empty() {
        return Err(Failure::BrokenCheck(format!(
            "{path} holds nothing that can be counted"
        )));
    }
    Ok(counts
        .into_iter()
        .map(move |(name, count)| ((kind, name), count)))
}

/// KiB in use and KiB of per-processor memory, from `/proc/meminfo` and `/proc/zoneinfo`.
fn memory_in_use(memory: &str, zones: &str) -> Checked<(u64, u64)> {
    let memory = procfs::parse_memory(memory);
    let kib = |name: &str| {
        memory
            .get(name)
            .copied()
            .ok_or_else(|| Failure::BrokenCheck(format!("/proc/meminfo has no {name}")))
    };
    // Free pages that a processor keeps for its next allocation: some MiB, and not in MemFree.
    let kept = procfs::parse_kept_pages(zones).ok_or_else(|| {
        Failure::BrokenCheck("/proc/zoneinfo tells of no processor's free pages".into())
    })? * procfs::PAGE_KIB;
    let free = kib("MemFree")? + kib("Buffers")? + kib("Cached")? + kib("SReclaimable")? + kept;
    let used = kib("MemTotal")?.checked_sub(free).ok_or_else(|| {
        Failure::BrokenCheck("/proc/meminfo tells of more free memory than there is".into())
    })?;
    Ok((used, kib("Percpu")?))
}

#[cfg(test)]
#[path = "leaks_tests.rs"]
mod tests;
