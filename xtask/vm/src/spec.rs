// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a cell is booted from, and what comes of it.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use tidelock_model::{Crash, Durations, Sha256, Status, TestReport};

use crate::{
    initramfs::Entry,
    kernel::{Kernel, modinfo::Wanted},
    machine::arguments::{CMDLINE, Clock},
};

/// What every machine needs: its ports. The PCI transport's parts are named by its own
/// dependencies; in some kernels all of it is built in.
pub fn drivers() -> Vec<Wanted> {
    ["virtio_pci", "virtio_console"]
        .map(Wanted::required)
        .into()
}

/// A read-only disk of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Its serial number, by which the guest finds it: 20 letters at most.
    pub name: String,
    /// The file on the host.
    pub image: PathBuf,
    /// Of the file's bytes.
    pub sha256: Sha256,
}

/// A kernel, what runs on it, and where the logs go.
#[derive(Clone, Debug)]
pub struct CellSpec {
    /// The kernel.
    pub kernel: Kernel,
    /// PID 1: `tidelock-guest`.
    pub init: PathBuf,
    /// The module under test.
    pub module: Option<PathBuf>,
    /// More programs for the guest's root.
    pub extra: Vec<Entry>,
    /// Disks, in the order of their device names.
    pub disks: Vec<Disk>,
    /// More words for the kernel's command line.
    pub parameters: Vec<String>,
    /// The names of the tests, in the order to run them in.
    pub tests: Vec<String>,
    /// Those of them that may follow another in the same machine.
    pub sharing: BTreeSet<String>,
    /// Of time.
    pub limits: Limits,
    /// Of memory, in MiB.
    pub mib: u32,
    /// How many processors it has.
    pub processors: u8,
    /// What the guest's clocks go by.
    pub clock: Clock,
    /// The folder for the logs.
    pub logs: PathBuf,
}

impl CellSpec {
    /// A cell with the usual limits and memory, and no tests yet.
    pub fn new(kernel: Kernel, init: PathBuf, logs: PathBuf) -> Self {
        Self {
            kernel,
            init,
            module: None,
            extra: Vec::new(),
            disks: Vec::new(),
            parameters: Vec::new(),
            tests: Vec::new(),
            sharing: BTreeSet::new(),
            limits: Limits::default(),
            mib: 256,
            processors: 1,
            clock: Clock::Host,
            logs,
        }
    }

    /// Whether the test at `index` and the one behind it share a machine.
    pub fn goes_on(&self, index: usize) -> bool {
        let shares = |index| {
            let test = self.tests.get(index);
            test.is_some_and(|test| self.sharing.contains(test))
        };
        shares(index) && shares(index + 1)
    }

    /// The kernel's command line.
    pub fn cmdline(&self) -> String {
        let words = std::iter::once(CMDLINE).chain(self.parameters.iter().map(String::as_str));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// How long things may take, on a busy host under emulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// From the start of QEMU to the guest's READY.
    pub boot: Duration,
    /// Without a heartbeat during a test.
    pub silence: Duration,
    /// From the restore of the machine to the end of a test.
    pub test: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            boot: Duration::from_mins(3),
            silence: Duration::from_secs(20),
            test: Duration::from_mins(5),
        }
    }
}

/// What happens in a cell, as it happens.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The kernel is being booted.
    Booting,
    /// The guest is ready.
    Ready {
        /// How that came about.
        origin: Origin,
        /// How long it took.
        time: Duration,
    },
    /// A test begins.
    Testing(&'a str),
    /// It has ended.
    Tested(&'a TestReport),
}

/// Where the first machine came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// It was booted.
    Booted,
    /// Its state had been saved by an earlier run.
    Saved,
}

/// Who wants to know.
pub trait Events: Send + Sync {
    /// Is told of an event; must not block.
    fn tell(&self, event: Event<'_>);
}

impl<F: Fn(Event<'_>) + Send + Sync> Events for F {
    fn tell(&self, event: Event<'_>) {
        self(event);
    }
}

/// What came of a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CellOutcome {
    /// The worst of its boot and its tests.
    pub status: Status,
    /// Empty, or the named verdict, a colon and the reason of what was worst first.
    pub reason: String,
    /// Every test of the spec, in its order, also those that could not run.
    pub tests: Vec<TestReport>,
    /// What the kernel said when it first fell over.
    pub crash: Option<Crash>,
    /// `boot` (absent where a saved state was at hand) and `test`.
    pub durations_ms: Durations,
}
