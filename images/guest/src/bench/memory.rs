// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a connection and a kept verdict take of the slab allocator.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::FileExt as _,
    thread::sleep,
    time::Duration,
};

use tidelock_wire::{Decision, Mode};

use super::{
    DEADLINE_MS, answered, forget, keep, status, unload_soon,
    worker::{Part, Worker},
};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::configure,
    module, procfs,
    tests::Report,
};

const CACHES: &str = "/sys/kernel/slab";
/// Connections that are open at a time.
const CONNECTIONS: u32 = 1000;
/// Verdicts that are kept.
const KEPT: u32 = 2_000;
const PORT: u16 = 7010;
/// The first of as many ports as verdicts are kept; nobody listens at them.
const FIRST: u16 = 20_000;
/// Between two counts that must agree.
const PAUSE: Duration = Duration::from_millis(250);
const TRIES: u32 = 20;
/// Two counts agree when they differ by less: a thousandth of what is looked for.
const IDLE_BYTES: u64 = 4096;

/// Bytes in use by slab cache.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Slabs(BTreeMap<String, u64>);

impl Slabs {
    /// From `/proc/slabinfo`: objects in use times the size of one, slots between them included.
    fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.starts_with("slabinfo"));
        let read = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let name = words.next()?.to_owned();
            let objects: u64 = words.next()?.parse().ok()?;
            let size: u64 = words.nth(1)?.parse().ok()?;
            Some((name, objects.checked_mul(size)?))
        };
        Self(lines.filter_map(read).collect())
    }

    fn take(shrinkers: &[File]) -> Checked<Self> {
        for file in shrinkers {
            // Takes back what each processor keeps. Of a cache that is gone there is nothing.
            let _ = file.write_at(b"1", 0);
        }
        let slabs = Self::parse(&procfs::read("/proc/slabinfo")?);
        if slabs.0.is_empty() {
            return Err(Failure::BrokenCheck(
                "/proc/slabinfo holds nothing that can be counted".into(),
            ));
        }
        Ok(slabs)
    }

    /// As soon as two counts in a row agree: what is freed after a grace period has gone.
    fn settled(shrinkers: &[File]) -> Checked<Self> {
        let mut last = Self::take(shrinkers)?;
        for _ in 0..TRIES {
            sleep(PAUSE);
            let now = Self::take(shrinkers)?;
            if now.total().abs_diff(last.total()) < IDLE_BYTES {
                return Ok(now);
            }
            last = now;
        }
        Err(Failure::BrokenCheck(format!(
            "the slab allocator does not come to rest within {TRIES} counts"
        )))
    }

    fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// By how much it grew, and the caches that did most.
    fn growth_since(&self, before: &Self) -> Growth {
        let of = |slabs: &Self, name: &str| slabs.0.get(name).copied().unwrap_or(0);
        let mut by_cache: Vec<(String, u64)> = self
            .0
            .keys()
            .map(|name| {
                (
                    name.clone(),
                    of(self, name).saturating_sub(of(before, name)),
                )
            })
            .collect();
        by_cache.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), name.clone()));
        Growth {
            bytes: self.total().saturating_sub(before.total()),
            by_cache,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Growth {
    bytes: u64,
    /// The greatest first.
    by_cache: Vec<(String, u64)>,
}

impl Growth {
    /// Bytes for each of `count`, and the caches behind most of it.
    fn told(&self, count: u32) -> String {
        let each = |bytes: u64| bytes.div_ceil(u64::from(count.max(1)));
        let caches: Vec<String> = self
            .by_cache
            .iter()
            .take(6)
            .filter(|(_, bytes)| each(*bytes) > 1)
            .map(|(name, bytes)| format!("{name} {}", each(*bytes)))
            .collect();
        format!("{} {count} {}", self.bytes, caches.join(", "))
    }
}

fn shrinkers() -> Vec<File> {
    // Aliases are links to the cache itself.
    let caches = fs::read_dir(CACHES).into_iter().flatten().flatten();
    let real = caches.filter(|cache| cache.file_type().is_ok_and(|kind| kind.is_dir()));
    let open = |cache: fs::DirEntry| {
        let path = cache.path().join("shrink");
        File::options().write(true).open(path).ok()
    };
    real.filter_map(open).collect()
}

/// Tells `memory_plain`, `memory_module` and `memory_kept`: bytes, of how many, and what of each
/// cache for one. Leaves the module unloaded.
pub(super) fn measure(report: &mut Report) -> Checked<()> {
    let shrinkers = shrinkers();
    report.note(
        "memory_plain",
        connections(&shrinkers, false)?.told(CONNECTIONS),
    )?;
    module::load()?;
    configure(Mode::Enforce, DEADLINE_MS)?;
    report.note(
        "memory_module",
        connections(&shrinkers, true)?.told(CONNECTIONS),
    )?;
    report.note("memory_kept", kept(&shrinkers)?.told(KEPT))?;
    unload_soon()
}

/// The growth by [`CONNECTIONS`] that are open, both ends counted.
fn connections(shrinkers: &[File], decided: bool) -> Checked<Growth> {
    let mut worker = Worker::start(Part::Hold, PORT, 1, CONNECTIONS)?;
    let rule = decided.then(|| keep(Decision::Plain));
    answered(rule, Part::Hold.looks().into(), || {
        worker.go_on()?;
        worker.says("warm")
    })?;
    let before = Slabs::settled(shrinkers)?;
    worker.go_on()?;
    worker.sample()?;
    Ok(Slabs::settled(shrinkers)?.growth_since(&before))
}

/// The growth by [`KEPT`] verdicts.
fn kept(shrinkers: &[File]) -> Checked<Growth> {
    let mut worker = Worker::start(Part::Ports, FIRST, 1, KEPT)?;
    answered(Some(forget(Decision::Deny)), 1, || {
        worker.go_on()?;
        worker.says("warm")
    })?;
    let (before, slabs) = (status()?.kept, Slabs::settled(shrinkers)?);
    answered(Some(keep(Decision::Deny)), KEPT.into(), || {
        worker.go_on()?;
        worker.sample()
    })?;
    let growth = Slabs::settled(shrinkers)?.growth_since(&slabs);
    let after = status()?.kept;
    ensure(after.saturating_sub(before) == KEPT, || {
        format!("{KEPT} verdicts were to be kept more than {before}, and {after} are")
    })?;
    Ok(growth)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\n";

    fn slabs(lines: &[(&str, u64, u64)]) -> Slabs {
        let line = |(name, objects, size): &(&str, u64, u64)| {
            format!("{name}  {objects}  9999  {size}  64  1 : tunables 0 0 0 : slabdata 20 20 0\n")
        };
        Slabs::parse(&(HEAD.to_owned() + &lines.iter().map(line).collect::<String>()))
    }

    #[test]
    fn growth_is_in_bytes_and_names_the_caches_behind_it() {
        let before = slabs(&[("TCP", 10, 2048), ("kmalloc-64", 500, 64), ("idle", 9, 8)]);
        let after = slabs(&[("TCP", 20, 2048), ("kmalloc-64", 510, 64), ("idle", 9, 8)]);
        let growth = after.growth_since(&before);
        assert_eq!(growth.bytes, 10 * (2048 + 64));
        assert_eq!(growth.told(10), "21120 10 TCP 2048, kmalloc-64 64");
        assert_eq!(before.growth_since(&after).bytes, 0);
        assert_eq!(Slabs::parse("nothing"), Slabs::default());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(?s).*") {
            let _ = Slabs::parse(&text);
        }
    }
}
