// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module under test: in, out, and what the kernel shows of it.

use std::{fs::File, path::Path, thread::sleep, time::Duration};

use rustix::{fs::OFlags, io::Errno};

use crate::{
    failure::{Checked, Failure, ensure},
    procfs::{self, Baseline},
};

/// The name that the kernel knows it by.
pub(crate) const NAME: &str = "tidelock";
/// Where the host puts it.
pub(crate) const FILE: &str = "/tidelock.ko";

const SYSFS: &str = "/sys/module/tidelock";
/// Out-of-tree (O, bit 12) and unsigned (E, bit 13): what we are, and no more.
const OWN_TAINT: u64 = 1 << 12 | 1 << 13;
/// The kernel's letters for its taint bits, from bit 0 (Documentation/admin-guide/tainted-kernels).
const TAINT_LETTERS: &str = "PFSRMBUDAWCIOELKXTNJ";

/// Loads it.
pub(crate) fn load() -> Checked<()> {
    let file = File::open(FILE).map_err(Failure::system(format!("open {FILE}")))?;
    rustix::system::finit_module(&file, c"", 0).map_err(Failure::system(format!(
        "load {FILE}; the kernel log says why"
    )))
}

/// Unloads it, without waiting for those who hold it.
pub(crate) fn try_unload() -> Result<(), Errno> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(i32::MAX);
    rustix::system::delete_module(c"tidelock", flags)
}

/// Unloads it, or names who holds it.
pub(crate) fn unload() -> Checked<()> {
    try_unload().map_err(|error| match error {
        Errno::AGAIN | Errno::BUSY => {
            let count = references().map_or_else(|failure| failure.to_string(), |n| n.to_string());
            Failure::LeakedReference(format!(
                "unloading {NAME} was refused ({error}) with no user left: {count} references"
            ))
        }
        other => Failure::system(format!("unload {NAME}"))(other),
    })
}

/// References, from sysfs.
pub(crate) fn references() -> Checked<i64> {
    let text = procfs::read(&format!("{SYSFS}/refcnt"))?;
    text.trim()
        .parse()
        .map_err(|_| Failure::Assertion(format!("{SYSFS}/refcnt holds {text:?}, not a number")))
}

/// Its line in `/proc/modules`.
pub(crate) fn listed() -> Checked<Option<procfs::Module>> {
    Ok(procfs::modules()?
        .into_iter()
        .find(|module| module.name == NAME))
}

/// Fails unless it is live and nobody holds it.
pub(crate) fn ensure_live_and_free() -> Checked<()> {
    let Some(module) = listed()? else {
        return Err(Failure::Assertion(format!(
            "{NAME} is not in /proc/modules"
        )));
    };
    ensure(module.state == "Live" && module.references == 0, || {
        format!(
            "{NAME} is {} with {} references in /proc/modules, not Live with 0",
            module.state, module.references
        )
    })?;
    let count = references()?;
    ensure(count == 0, || format!("{SYSFS}/refcnt is {count}, not 0"))
}

/// Fails if anything of it can still be seen.
pub(crate) fn ensure_gone() -> Checked<()> {
    let listed = listed()?;
    ensure(listed.is_none(), || {
        format!("{NAME} is still in /proc/modules: {listed:?}")
    })?;
    for path in [SYSFS, crate::device::PATH, "/sys/class/misc/tidelock"] {
        ensure(!Path::new(path).exists(), || {
            format!("{path} is still there after the module was unloaded")
        })?;
    }
    Ok(())
}

/// Fails if the kernel is tainted by more than `before` and what an out-of-tree, unsigned
/// module must bring; returns what it did bring, in the kernel's letters.
pub(crate) fn ensure_taint(before: u64) -> Checked<String> {
    let new = procfs::taint()? & !before;
    match new & !OWN_TAINT {
        0 => Ok(letters(new)),
        other => Err(Failure::NewTaint(format!(
            "{} (only O and E are the module's right)",
            letters(other)
        ))),
    }
}

fn letters(taint: u64) -> String {
    (0u8..64)
        .filter(|bit| taint >> bit & 1 == 1)
        .map(|bit| match TAINT_LETTERS.chars().nth(bit.into()) {
            Some(letter) => letter.to_string(),
            None => format!("(bit {bit})"),
        })
        .collect()
}

/// After a test: unloads the module if it is there, and compares the kernel with `before`.
pub(crate) fn settle(before: &Baseline) -> Checked<()> {
    if listed()?.is_some() {
        unload()?;
    }
    ensure_gone()?;
    ensure_taint(before.taint)?;
    // A reference may be dropped from a work queue, a moment after the call that ended its use.
    let mut now = Baseline::take()?;
    for _ in 0..20 {
        if now.references == before.references {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
        now = Baseline::take()?;
    }
    Err(Failure::LeakedReference(format!(
        "modules and references were {:?} before the test, and are {:?}",
        before.references, now.references
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taint_is_told_in_the_kernels_letters() {
        assert_eq!(letters(1 << 12 | 1 << 13), "OE");
        assert_eq!(letters(1 | 1 << 7 | 1 << 9), "PDW");
        assert_eq!(letters(1 << 19 | 1 << 40), "J(bit 40)");
        assert_eq!(letters(0), "");
    }
}
