// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `corpus.`: a guest that misbehaves on purpose, for the host's own tests. The host must give
//! each misbehaviour its own verdict.

use std::{fs::OpenOptions, io::Write as _, thread::sleep, time::Duration};

use rustix::{
    rand::{GetRandomFlags, getrandom},
    system::{RebootCommand, reboot},
    time::{ClockId, clock_gettime},
};

use super::{Act, Offered, SHORT, Test};
use crate::{
    control::Heart,
    failure::{Checked, Failure},
    ktap::Verdict,
    procfs,
    run::{Stage, end_marker},
};

pub(super) const TESTS: &[Test] = &[
    machine("corpus.dies_before_plan", dies_before_plan),
    machine("corpus.dies_after_verdict", dies_after_verdict),
    machine("corpus.truncated_ktap", truncated_ktap),
    machine("corpus.no_verdict", no_verdict),
    machine("corpus.no_plan", no_plan),
    machine("corpus.not_ok", not_ok),
    machine("corpus.silent_hang", silent_hang),
    machine("corpus.kernel_panic", kernel_panic),
    machine("corpus.init_exits", init_exits),
    machine("corpus.kmsg_lost", kmsg_lost),
    machine("corpus.no_marker", no_marker),
    machine("corpus.dies_when_done", dies_when_done),
    machine("corpus.chance", |stage, _| chance(stage, "corpus.chance")),
    machine("corpus.chance_again", |stage, _| {
        chance(stage, "corpus.chance_again")
    }),
];

const NAME: &str = "corpus";

const fn machine(name: &'static str, act: fn(&mut Stage, &Heart) -> Checked<()>) -> Test {
    Test {
        name,
        limit: SHORT,
        offered: Offered::WithCorpus,
        shares: false,
        programs: false,
        act: Act::Machine(act),
    }
}

fn ktap(result: std::io::Result<()>) -> Checked<()> {
    result.map_err(Failure::system("write the KTAP port"))
}

/// A lone passed test, as a well-behaved guest says it.
fn pass(stage: &mut Stage) -> Checked<()> {
    ktap(stage.ktap.plan(1))?;
    ktap(stage.ktap.verdict(NAME, &Verdict::Passed(String::new())))
}

fn power_off() -> Checked<()> {
    reboot(RebootCommand::Restart).map_err(Failure::system("restart"))
}

fn dies_before_plan(_: &mut Stage, _: &Heart) -> Checked<()> {
    power_off()
}

/// Everything was said but DONE.
fn dies_after_verdict(stage: &mut Stage, _: &Heart) -> Checked<()> {
    pass(stage)?;
    power_off()
}

fn truncated_ktap(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(2))?;
    ktap(stage.ktap.verdict(NAME, &Verdict::Passed(String::new())))
}

fn no_verdict(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(1))
}

fn no_plan(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.line("KTAP version 1"))?;
    ktap(stage.ktap.verdict(NAME, &Verdict::Passed(String::new())))
}

fn not_ok(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(1))?;
    let why = "assertion-failed: on purpose".into();
    ktap(stage.ktap.verdict("corpus.not_ok", &Verdict::Failed(why)))
}

fn silent_hang(stage: &mut Stage, heart: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(1))?;
    heart.stop();
    loop {
        sleep(Duration::from_hours(1));
    }
}

fn kernel_panic(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(1))?;
    procfs::set("/proc/sysrq-trigger", "c")
}

/// The error makes PID 1 exit, which panics the kernel.
fn init_exits(stage: &mut Stage, _: &Heart) -> Checked<()> {
    ktap(stage.ktap.plan(1))?;
    Err(Failure::Assertion("PID 1 exits on purpose".into()))
}

/// A passed test whose log has a gap: nothing can be said of what was in it.
///
/// The log's own ring is overrun while the stream is held back.
fn kmsg_lost(stage: &mut Stage, _: &Heart) -> Checked<()> {
    let mut log = OpenOptions::new()
        .write(true)
        .open("/dev/kmsg")
        .map_err(Failure::system("open /dev/kmsg"))?;
    let line = format!("<7>{}\n", "x".repeat(900));
    let held = stage.stream.hold();
    for _ in 0..4096 {
        log.write_all(line.as_bytes())
            .map_err(Failure::system("write /dev/kmsg"))?;
    }
    drop(held);
    pass(stage)
}

/// All is well, and a moment later the machine is gone: whoever comes next finds it out.
fn dies_when_done(stage: &mut Stage, heart: &Heart) -> Checked<()> {
    const NAME: &str = "corpus.dies_when_done";
    ktap(stage.ktap.plan(1))?;
    ktap(stage.ktap.verdict(NAME, &Verdict::Passed(String::new())))?;
    stage.stream.mark(&end_marker(NAME))?;
    heart.stop();
    stage.say(&format!("DONE {NAME}"))?;
    sleep(Duration::from_millis(200));
    power_off()
}

/// No misbehaviour: tells what must differ between copies of one saved machine, and between the
/// tests that share one, for the host to compare.
fn chance(stage: &mut Stage, name: &str) -> Checked<()> {
    let mut bytes = [0; 16];
    getrandom(&mut bytes[..], GetRandomFlags::empty()).map_err(Failure::system("getrandom"))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let now = clock_gettime(ClockId::Realtime);
    ktap(stage.ktap.plan(1))?;
    ktap(stage.ktap.line(&format!("# random: {hex}")))?;
    ktap(stage.ktap.line(&format!("# seconds: {}", now.tv_sec)))?;
    ktap(stage.ktap.verdict(name, &Verdict::Passed(String::new())))
}

/// DONE without the end marker in the log: nothing can be said of the log's end.
fn no_marker(stage: &mut Stage, heart: &Heart) -> Checked<()> {
    pass(stage)?;
    heart.stop();
    stage.say("DONE corpus.no_marker")?;
    loop {
        sleep(Duration::from_hours(1));
    }
}
