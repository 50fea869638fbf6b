// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `device.`: what `/dev/tidelock` takes, gives and refuses.

use std::{path::Path, time::Duration};

use rustix::{event::PollFlags, io::Errno};
use tidelock_wire::{ABI_VERSION, Answer, Capabilities, EngineState, Hello, Refusal, Request};

use super::{LONG, Offered, Report, SHORT, Test, child, frames, shared};
use crate::{
    device::{self, Device, Wait},
    failure::{Checked, Failure, ensure},
    leaks, module, procfs,
};

pub(super) const TESTS: &[Test] = &[
    // It counts what is in use: in a machine that nobody else has been in.
    child("device.refusals", LONG, refusals),
    shared("device.hello", SHORT, hello),
    shared("device.two_openers", SHORT, two_openers),
    shared("device.nonblock", SHORT, nonblock),
    shared("device.garbage", SHORT, garbage),
    shared("device.oversized", SHORT, oversized),
    shared("device.truncated", SHORT, truncated),
    shared("device.fault_refused", SHORT, fault_refused).when(Offered::WithoutFault),
];

/// A self-test under emulation on a busy host.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many leaks are looked for in each half of the search. Frames are refused more often, and
/// for several reasons: what leaks for one of them only must show too.
const REFUSALS: u64 = 100;

fn hello(report: &mut Report) -> Checked<String> {
    module::load()?;
    let (device, hello) = Device::greet()?;
    let version = format!(
        "{}.{}.{}",
        hello.module.major, hello.module.minor, hello.module.patch
    );
    report.note("abi", hello.abi)?;
    report.note("module_version", &version)?;
    report.note("capabilities", names(hello.capabilities))?;
    ensure(hello.abi == ABI_VERSION, || {
        format!("the module's ABI is {}, ours {ABI_VERSION}", hello.abi)
    })?;
    ensure(version == env!("CARGO_PKG_VERSION"), || {
        format!(
            "the module says it is {version}, we are {}",
            env!("CARGO_PKG_VERSION")
        )
    })?;
    ensure_fresh(&hello)?;
    ensure_capabilities(hello.capabilities)?;
    drop(device);
    let (_, again) = Device::greet()?;
    ensure(again == hello, || {
        format!("the second hello {again:?} differs from the first {hello:?}")
    })?;
    Ok(format!("version {version}, {}", names(hello.capabilities)))
}

fn names(capabilities: Capabilities) -> String {
    let names: Vec<&str> = capabilities.iter_names().map(|(name, _)| name).collect();
    if names.is_empty() {
        "none".into()
    } else {
        names.join(" ").to_lowercase()
    }
}

fn ensure_fresh(hello: &Hello) -> Checked<()> {
    let fresh =
        hello.engine == EngineState::Ready && hello.panics == 0 && hello.frames_refused == 0;
    ensure(fresh, || format!("a freshly loaded module says {hello:?}"))
}

/// What the module says of the kernel against what the kernel shows of itself.
fn ensure_capabilities(said: Capabilities) -> Checked<()> {
    let unknown = said.difference(Capabilities::from_bits_truncate(
        Capabilities::all()
            .iter_names()
            .fold(0, |bits, (_, flag)| bits | flag.bits()),
    ));
    ensure(unknown.is_empty(), || {
        format!("unknown capability bits {:#x}", unknown.bits())
    })?;
    let ciphers = Capabilities::KTLS_AES128GCM
        | Capabilities::KTLS_AES256GCM
        | Capabilities::KTLS_CHACHA20
        | Capabilities::KTLS_REKEY;
    ensure(
        said.contains(Capabilities::KTLS) || !said.intersects(ciphers),
        || format!("ciphers of kTLS without kTLS: {}", names(said)),
    )?;
    let shown = [
        // A kernel built without IPv6 has neither file.
        (Capabilities::IPV6, Path::new("/proc/net/if_inet6").exists()),
        (
            Capabilities::MPTCP,
            Path::new("/proc/sys/net/mptcp").exists(),
        ),
    ];
    for (flag, there) in shown {
        ensure(said.contains(flag) == there, || {
            format!(
                "capability {} is said to be {}, but the kernel shows {there}",
                names(flag),
                said.contains(flag)
            )
        })?;
    }
    Ok(())
}

/// Opens a device that has its opener, in both ways.
fn ensure_busy() -> Checked<()> {
    for wait in [Wait::Block, Wait::Never] {
        match Device::try_open(wait) {
            Err(Errno::BUSY) => {}
            Err(other) => {
                return Err(Failure::Assertion(format!(
                    "the second opener was refused with {other}, not EBUSY"
                )));
            }
            Ok(_) => return Err(Failure::Assertion("a second opener was let in".into())),
        }
    }
    Ok(())
}

fn two_openers(_: &mut Report) -> Checked<String> {
    module::load()?;
    let (first, _) = Device::greet()?;
    ensure_busy()?;
    // The refusals must not have let go of anything of the first one's.
    first.self_test(1)?;
    drop(first);
    let (second, _) = Device::greet()?;
    second.self_test(2)?;
    Ok("the second was refused until the first had gone".into())
}

fn nonblock(_: &mut Report) -> Checked<String> {
    module::load()?;
    let device = Device::try_open(Wait::Never).map_err(Failure::system("open without waiting"))?;
    let both = PollFlags::IN | PollFlags::OUT;
    // open(2) does not wait for the hello: poll(2) does.
    device.ready(PollFlags::IN, PATIENCE)?;
    let greeted = device.ready(both, Duration::ZERO)?;
    ensure(greeted == both, || {
        format!("poll of a device with a hello says {greeted:?}, not {both:?}")
    })?;
    device.hello()?;
    let empty = device.try_read();
    ensure(empty == Err(Errno::AGAIN), || {
        format!("a read with nothing to read gave {empty:?}, not EAGAIN")
    })?;
    let idle = device.ready(both, Duration::ZERO)?;
    ensure(idle == PollFlags::OUT, || {
        format!("poll of an idle device says {idle:?}, not OUT")
    })?;
    device
        .try_ask(7, Request::SelfTest)?
        .map_err(Failure::system("write a self-test without waiting"))?;
    let answered = device.ready(PollFlags::IN, PATIENCE)?;
    ensure(answered == PollFlags::IN, || {
        format!("poll after a request says {answered:?}, not IN")
    })?;
    let said = device.answer()?;
    let answer = said.frame()?;
    ensure(answer.id == 7, || {
        format!("the answer is {answer:?}, not that of self-test 7")
    })?;
    device::passed(&answer.message)?;
    let empty = device.try_read();
    ensure(empty == Err(Errno::AGAIN), || {
        format!("a second read of one answer gave {empty:?}, not EAGAIN")
    })?;
    Ok(String::new())
}

fn garbage(report: &mut Report) -> Checked<String> {
    refuse_all(report, &frames::garbage()?, Errno::PROTO)
}

fn oversized(report: &mut Report) -> Checked<String> {
    refuse_all(report, &frames::oversized()?, Errno::MSGSIZE)
}

fn truncated(report: &mut Report) -> Checked<String> {
    refuse_all(report, &frames::truncated()?, Errno::PROTO)
}

/// A device that has said hello, and that never waits.
fn unwaiting() -> Checked<Device> {
    let device = Device::try_open(Wait::Never).map_err(Failure::system("open without waiting"))?;
    // open(2) does not wait for the hello: poll(2) does.
    device.ready(PollFlags::IN, PATIENCE)?;
    device.hello()?;
    Ok(device)
}

/// Writes each of `frames`: all must be refused with `errno`, and counted.
pub(super) fn refuse_all(
    report: &mut Report,
    frames: &[frames::Bad],
    errno: Errno,
) -> Checked<String> {
    module::load()?;
    let device = unwaiting()?;
    let count = u64::try_from(frames.len()).unwrap_or(u64::MAX);
    for frame in frames {
        ensure_refused(&device, frame, errno)?;
    }
    drop(device);
    let (device, hello) = Device::greet()?;
    ensure(hello.frames_refused == count, || {
        format!(
            "{} refused frames are counted, {count} were refused",
            hello.frames_refused
        )
    })?;
    device.self_test(1)?;
    report.note("frames_refused", count)?;
    Ok(format!("{count} frames refused"))
}

/// Refusals of every kind, over and over: none may leave anything in memory.
fn refusals(report: &mut Report) -> Checked<String> {
    module::load()?;
    let device = unwaiting()?;
    let bad = [
        (frames::garbage()?, Errno::PROTO),
        (frames::oversized()?, Errno::MSGSIZE),
        (frames::truncated()?, Errno::PROTO),
    ];
    let refuse = || -> Checked<()> {
        for (frames, errno) in &bad {
            for frame in frames {
                ensure_refused(&device, frame, *errno)?;
            }
        }
        (0..REFUSALS).try_for_each(|_| ensure_busy())
    };
    refuse()?;
    report.note("noise", leaks::ensure_none(REFUSALS, refuse)?)?;
    Ok("refused again and again".into())
}

fn ensure_refused(device: &Device, frame: &frames::Bad, errno: Errno) -> Checked<()> {
    let result = device.try_write(&frame.bytes);
    ensure(result == Err(errno), || {
        format!(
            "{} ({} bytes) gave {result:?}, not {errno}",
            frame.what,
            frame.bytes.len()
        )
    })?;
    let answer = device.try_read();
    ensure(answer == Err(Errno::AGAIN), || {
        format!("{} was refused and then answered: {answer:?}", frame.what)
    })
}

fn fault_refused(_: &mut Report) -> Checked<String> {
    let before = procfs::taint()?;
    module::load()?;
    let (device, _) = Device::greet()?;
    let said = device.ask(3, Request::Fault)?;
    let answer = said.frame()?.message;
    ensure(answer == Answer::Refused(Refusal::Unsupported), || {
        format!("a request to panic was answered with {answer:?} by a module for users")
    })?;
    device.self_test(4)?;
    drop(device);
    let (_, hello) = Device::greet()?;
    ensure(
        hello.engine == EngineState::Ready && hello.panics == 0,
        || format!("after a refused request to panic the module says {hello:?}"),
    )?;
    // The kernel's own view: nothing was logged as trouble by a mere request.
    module::ensure_taint(before).map(|_| String::new())
}
