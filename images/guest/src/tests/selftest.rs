// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `selftest.`: the Rust core at work inside the kernel.

use rustix::io::Errno;
use tidelock_wire::{EngineState, Request, StackUse};

use super::{Offered, Report, SHORT, Test, shared, svids};
use crate::{
    device::Device,
    failure::{Checked, ensure},
    module,
};

pub(super) const TESTS: &[Test] = &[
    shared("selftest.handshake", SHORT, handshake),
    shared("selftest.stack_budget", SHORT, stack_budget),
    shared("selftest.panic", SHORT, panic).when(Offered::WithFault),
];

/// TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256 (RFC 8446, B.4).
const TLS13_SUITES: std::ops::RangeInclusive<u16> = 0x1301..=0x1303;
/// Later runs must not need more stack than the first by so much as a leak of it would show.
const STACK_RUNS: u64 = 5;

fn handshake(report: &mut Report) -> Checked<String> {
    module::load()?;
    let (device, _) = Device::greet()?;
    let (passed, stack) = device.self_test(1)?;
    report.note("cipher_suite", format!("{:#06x}", passed.cipher_suite))?;
    report.note("group", format!("{:#06x}", passed.group))?;
    report.note("rounds", passed.rounds)?;
    report.note("handshake_bytes", passed.handshake_bytes)?;
    report.note("data_bytes", passed.data_bytes)?;
    report.note("stack_high_water", stack.high_water)?;
    ensure(TLS13_SUITES.contains(&passed.cipher_suite), || {
        format!("{:#06x} is no cipher suite of TLS 1.3", passed.cipher_suite)
    })?;
    let moved = passed.rounds > 0 && passed.handshake_bytes > 0 && passed.data_bytes > 0;
    ensure(moved, || format!("a handshake without bytes: {passed:?}"))?;
    Ok(format!(
        "suite {:#06x}, {} bytes in {} flights",
        passed.cipher_suite, passed.handshake_bytes, passed.rounds
    ))
}

fn stack_budget(report: &mut Report) -> Checked<String> {
    module::load()?;
    let (device, _) = Device::greet()?;
    let mut most = StackUse::default();
    for id in 0..STACK_RUNS {
        let (_, stack) = device.self_test(id)?;
        ensure(stack.size > 0 && stack.high_water > 0, || {
            format!("the stack was not measured: {stack:?}")
        })?;
        if stack.high_water >= most.high_water {
            most = stack;
        }
    }
    report.note("stack_size", most.size)?;
    report.note("stack_high_water", most.high_water)?;
    ensure(most.high_water <= most.size / 2, || {
        format!(
            "{} of {} bytes of stack were used, more than half",
            most.high_water, most.size
        )
    })?;
    Ok(format!("{} of {} bytes", most.high_water, most.size))
}

fn panic(report: &mut Report) -> Checked<String> {
    // The module holds something for the core, which is gone with it.
    let server = svids::somebody()?;
    let (device, _) = Device::greet()?;
    let dead = |what: &str, result: Result<(), Errno>| {
        ensure(result == Err(Errno::NOTRECOVERABLE), || {
            format!("{what} gave {result:?}, not ENOTRECOVERABLE")
        })
    };
    // A write waits only for the verdict that the frame is well formed.
    let written = device.try_ask(1, Request::Fault)?;
    ensure(written == Ok(()), || {
        format!("the request to panic gave {written:?}, not Ok")
    })?;
    dead("the answer to it", device.try_read().map(drop))?;
    dead(
        "a request after the panic",
        device.try_ask(2, Request::SelfTest)?,
    )?;
    drop(device);
    let (device, hello) = Device::greet()?;
    ensure(
        hello.engine == EngineState::Dead && hello.panics == 1,
        || format!("after a panic the module says {hello:?}"),
    )?;
    dead(
        "a request of the next opener",
        device.try_ask(3, Request::SelfTest)?,
    )?;
    drop((device, server));
    module::unload()?;
    module::ensure_gone()?;
    // A new load is a new life.
    module::load()?;
    let (device, hello) = Device::greet()?;
    ensure(
        hello.engine == EngineState::Ready && hello.panics == 0,
        || format!("a module loaded anew after a panic says {hello:?}"),
    )?;
    device.self_test(4)?;
    report.note("panics", 1)?;
    Ok("the panic stayed in the module".into())
}
