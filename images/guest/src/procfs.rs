// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel tells in text files, read into types.

use std::{collections::BTreeMap, fmt, fs, str::FromStr};

use crate::failure::{Checked, Failure};

/// Reads a file of the kernel.
pub(crate) fn read(path: &str) -> Checked<String> {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(Failure::system(format!("read {path}")))
}

/// Writes a setting of the kernel.
pub(crate) fn set(path: &str, value: &str) -> Checked<()> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a file of the kernel takes one write and is never half written"
    )]
    fs::write(path, value).map_err(Failure::system(format!("write {value:?} to {path}")))
}

/// A setting of the kernel that is as it was before when this goes.
pub(crate) struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    /// Writes it, and remembers what it was.
    pub(crate) fn new(path: &'static str, value: &str) -> Checked<Self> {
        let before = read(path)?.trim_end().to_owned();
        set(path, value)?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // The next test in this machine would see the difference, and nothing else does.
        let _ = set(self.path, &self.before);
    }
}

/// A line of `/proc/modules`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Module {
    /// With underscores.
    pub(crate) name: String,
    /// How many hold it.
    pub(crate) references: u64,
    /// `Live`, `Loading`, `Unloading`.
    pub(crate) state: String,
}

/// The loaded modules.
pub(crate) fn modules() -> Checked<Vec<Module>> {
    Ok(read("/proc/modules")?
        .lines()
        .filter_map(parse_module)
        .collect())
}

fn parse_module(line: &str) -> Option<Module> {
    let mut words = line.split_ascii_whitespace();
    let name = words.next()?.to_owned();
    let references = words.nth(1)?.parse().ok()?;
    let state = words.nth(1)?.to_owned();
    Some(Module {
        name,
        references,
        state,
    })
}

/// Objects in use by name of the slab cache, from `/proc/slabinfo`.
pub(crate) fn parse_slabs(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("slabinfo"))
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect()
}

/// Of x86-64.
pub(crate) const PAGE_KIB: u64 = 4;

/// Free pages that processors keep for themselves, from `/proc/zoneinfo`.
pub(crate) fn parse_kept_pages(text: &str) -> Option<u64> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("count:")?.trim().parse().ok())
        .reduce(|sum: u64, count: u64| sum.saturating_add(count))
}

/// Areas by who asked for them, from `/proc/vmallocinfo`.
///
/// A caller in a module that is gone has no name, and at each load another address: all such
/// callers are one.
pub(crate) fn parse_areas(text: &str) -> BTreeMap<String, u64> {
    let mut areas = BTreeMap::new();
    for line in text.lines() {
        // range, size, caller. Areas without a caller are free and wait for their purge.
        let Some(caller) = line.split_ascii_whitespace().nth(2) else {
            continue;
        };
        if caller != "unpurged" {
            let nameless = caller.starts_with("0x");
            let caller = if nameless { GONE } else { caller };
            *areas.entry(caller.to_owned()).or_default() += 1;
        }
    }
    areas
}

/// Stands for every caller that the kernel has no name for.
const GONE: &str = "(unloaded code)";

/// KiB by name, from `/proc/meminfo`.
pub(crate) fn parse_memory(text: &str) -> BTreeMap<String, u64> {
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.split_once(':')?;
            let number = rest.split_ascii_whitespace().next()?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

/// How many threads there are, from `/proc/loadavg`.
pub(crate) fn parse_threads(text: &str) -> Option<u64> {
    let (_, total) = text.split_ascii_whitespace().nth(3)?.split_once('/')?;
    total.parse().ok()
}

/// The kernel's taint bits.
pub(crate) fn taint() -> Checked<u64> {
    let text = read("/proc/sys/kernel/tainted")?;
    text.trim().parse().map_err(|_| {
        Failure::Assertion(format!(
            "/proc/sys/kernel/tainted holds {text:?}, not a number"
        ))
    })
}

/// Whether the kernel's command line has this word.
pub(crate) fn asked(word: &str) -> bool {
    read("/proc/cmdline").is_ok_and(|line| line.split_ascii_whitespace().any(|w| w == word))
}

/// What must be the same after a test as before it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Baseline {
    /// Taint bits.
    pub(crate) taint: u64,
    /// References by module.
    pub(crate) references: BTreeMap<String, u64>,
}

impl Baseline {
    /// As of now.
    pub(crate) fn take() -> Checked<Self> {
        let references = modules()?
            .into_iter()
            .map(|module| (module.name, module.references))
            .collect();
        Ok(Self {
            taint: taint()?,
            references,
        })
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.taint)?;
        self.references
            .iter()
            .try_for_each(|(name, count)| write!(f, " {name}={count}"))
    }
}

impl FromStr for Baseline {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let parse = || {
            let mut words = text.split(' ');
            let taint = words.next()?.parse().ok()?;
            let references = words
                .map(|word| {
                    let (name, count) = word.split_once('=')?;
                    Some((name.to_owned(), count.parse().ok()?))
                })
                .collect::<Option<_>>()?;
            Some(Self { taint, references })
        };
        parse().ok_or_else(|| Failure::Assertion(format!("not a baseline: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_read_in_old_and_new_forms() {
        let old = "virtio_pci 28672 2 - Live 0xffffffffc0064000";
        let new = "tidelock 1994752 1 tls,other, Unloading 0xffffffffc0372000 (OE-)";
        assert_eq!(
            [old, new].map(|line| parse_module(line).unwrap()),
            [
                Module {
                    name: "virtio_pci".into(),
                    references: 2,
                    state: "Live".into()
                },
                Module {
                    name: "tidelock".into(),
                    references: 1,
                    state: "Unloading".into()
                },
            ]
        );
        assert_eq!(parse_module("half a line"), None);
    }

    #[test]
    fn slabs_are_counted_in_objects_in_use() {
        let text = "slabinfo - version: 2.1\n\
            # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>\n\
            kmalloc-64          1234   1280     64   64    1 : tunables    0    0    0 : slabdata     20     20      0\n";
        assert_eq!(parse_slabs(text), [("kmalloc-64".into(), 1234)].into());
    }

    #[test]
    fn areas_are_counted_by_caller_without_the_unpurged() {
        let text = "0xffffc90000000000-0xffffc90000002000    8192 hpet_enable+0x2d/0x2e2 phys=0x00000000fed00000 ioremap\n\
            0xffffc90000004000-0xffffc90000009000   20480 unpurged vm_area\n\
            0xffffc9000000c000-0xffffc90000011000   20480 copy_process+0x1ae/0x1a50 pages=4 vmalloc\n\
            0xffffc9000000c000-0xffffc90000011000   20480 copy_process+0x1ae/0x1a50 pages=4 vmalloc\n\
            0xffffc90000014000-0xffffc90000017000   12288 vm_map_ram\n\
            0xffffc90000018000-0xffffc9000001a000    8192 0xffffffffc03720a4 pages=1 vmalloc\n\
            0xffffc9000001c000-0xffffc9000001e000    8192 0xffffffffc04110a4 pages=1 vmalloc\n";
        let areas = parse_areas(text);
        assert_eq!(areas.get("copy_process+0x1ae/0x1a50"), Some(&2));
        assert_eq!(areas.get("vm_map_ram"), Some(&1));
        assert_eq!(areas.get(GONE), Some(&2));
        assert_eq!(areas.len(), 4);
    }

    #[test]
    fn pages_that_processors_keep_are_summed() {
        let text = "Node 0, zone      DMA\n  pages free     3840\n  pagesets\n    cpu: 0\n\
            \x20             count:    7\n              high:  14\n  vm stats threshold: 2\n\
            Node 0, zone    DMA32\n  pagesets\n    cpu: 0\n              count: 651\n";
        assert_eq!(parse_kept_pages(text), Some(658));
        assert_eq!(parse_kept_pages("Node 0, zone      DMA\n"), None);
    }

    #[test]
    fn memory_and_threads_are_read() {
        let memory = parse_memory("MemFree:          221580 kB\nHugePages_Total:       0\nnone\n");
        assert_eq!(
            memory,
            [("MemFree".into(), 221_580), ("HugePages_Total".into(), 0)].into()
        );
        assert_eq!(parse_threads("0.00 0.01 0.05 2/57 312\n"), Some(57));
        assert_eq!(parse_threads("0.00 0.01"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_baseline_round_trips(taint: u64, references: Vec<u64>) {
            let references = references.into_iter().enumerate();
            let references = references.map(|(n, count)| (format!("m_{n}"), count)).collect();
            let baseline = Baseline { taint, references };
            proptest::prop_assert_eq!(baseline.to_string().parse::<Baseline>().unwrap(), baseline);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_module(&text), parse_slabs(&text), parse_areas(&text));
            let _ = (parse_memory(&text), parse_threads(&text), parse_kept_pages(&text));
            let _ = text.parse::<Baseline>();
        }
    }
}
