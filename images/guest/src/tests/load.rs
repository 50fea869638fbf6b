// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `load.`: in and out of the kernel, and nothing left behind.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use super::{LONG, Report, SHORT, Test, child};
use crate::{
    device::{self, Device},
    failure::{Checked, Failure, ensure},
    leaks, module, procfs,
};

pub(super) const TESTS: &[Test] = &[
    child("load.module", SHORT, load),
    child("load.taint", SHORT, taint),
    child("load.cycles", LONG, cycles),
    child("load.while_open", SHORT, while_open),
];

/// Longer than a grace period of RCU, and than what a driver that lives for calls has to wait for.
const AFTERMATH: Duration = Duration::from_millis(1500);
/// Before counting: the first loads fill caches that stay (names in sysfs, tracing, symbols).
const WARM_UP: u64 = 20;
const CYCLES_PER_HALF: u64 = 100;
/// A handshake a cycle would take minutes under emulation; one in so many keeps it honest.
const CYCLES_PER_SELF_TEST: u64 = 20;

fn load(report: &mut Report) -> Checked<String> {
    module::ensure_gone()?;
    let start = Instant::now();
    module::load()?;
    report.note("load_us", start.elapsed().as_micros())?;
    module::ensure_live_and_free()?;
    ensure_device()?;
    let start = Instant::now();
    module::unload()?;
    report.note("unload_us", start.elapsed().as_micros())?;
    module::ensure_gone()?;
    outlive();
    Ok(String::new())
}

/// Waits, after the unload, for what the module may have left armed: a timer, delayed work or a
/// callback of RCU that now fires into freed text. Such a fault must come before the verdict.
fn outlive() {
    sleep(AFTERMATH);
}

fn ensure_device() -> Checked<()> {
    let path = Path::new(device::PATH);
    let node = path
        .symlink_metadata()
        .map_err(Failure::system(format!("stat {}", device::PATH)))?;
    ensure(node.mode() == 0o020_600 && node.uid() == 0, || {
        format!(
            "{} has mode {:o} and owner {}, not a character device of root with mode 0600",
            device::PATH,
            node.mode(),
            node.uid()
        )
    })
}

fn taint(report: &mut Report) -> Checked<String> {
    let before = procfs::taint()?;
    module::load()?;
    let loaded = module::ensure_taint(before)?;
    Device::greet()?;
    module::unload()?;
    module::ensure_taint(before)?;
    report.note("taint", &loaded)?;
    Ok(format!("taint {loaded}"))
}

fn cycles(report: &mut Report) -> Checked<String> {
    let run = |count| (0..count).try_for_each(cycle);
    run(WARM_UP)?;
    let mut busy = Duration::ZERO;
    let noise = leaks::ensure_none(CYCLES_PER_HALF, || {
        let start = Instant::now();
        run(CYCLES_PER_HALF)?;
        busy += start.elapsed();
        Ok(())
    })?;
    let cycles = 2 * CYCLES_PER_HALF;
    report.note("cycles", cycles)?;
    report.note("cycle_us", busy.as_micros() / u128::from(cycles))?;
    report.note("noise", noise)?;
    Ok(format!("{cycles} cycles"))
}

fn cycle(number: u64) -> Checked<()> {
    module::load()?;
    let (device, _) = Device::greet()?;
    if number.is_multiple_of(CYCLES_PER_SELF_TEST) {
        device.self_test(number)?;
    }
    drop(device);
    module::ensure_live_and_free()?;
    module::unload()
}

fn while_open(_: &mut Report) -> Checked<String> {
    module::load()?;
    let (device, _) = Device::greet()?;
    let refused = module::try_unload();
    ensure(matches!(refused, Err(Errno::AGAIN | Errno::BUSY)), || {
        format!("unloading with the device open gave {refused:?}, not EAGAIN or EBUSY")
    })?;
    let listed = module::listed()?;
    ensure(
        listed
            .as_ref()
            .is_some_and(|m| m.state == "Live" && m.references == 1),
        || format!("after the refused unload the module is {listed:?}, not Live with 1 reference"),
    )?;
    device.self_test(1)?;
    drop(device);
    // It must not be stuck half-way out either: a new opener is welcome.
    Device::greet()?;
    module::ensure_live_and_free()?;
    module::unload()?;
    module::ensure_gone()?;
    outlive();
    Ok("refused, then unloaded after close".into())
}
