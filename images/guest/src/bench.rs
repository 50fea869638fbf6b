// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's side of `cargo xtask bench connect`: what a connection costs with the module and
//! without, in one guest, in rounds that take turns.
//!
//! Each way is run by a process of its own, for the one that has the device open is exempt. What
//! was measured is told as KTAP's `# key: value` lines: `WAY_ROUND: COUNT TOTAL P50 P99`, in
//! nanoseconds, and `memory_WHAT: BYTES COUNT CACHES`. Whether a way was what it is named for is checked by the
//! module's counters; how long it took is not.

mod answers;
mod memory;
mod sample;
mod worker;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use tidelock_wire::{Decision, Mode, Status};

use self::{
    answers::{Answers, Rule},
    sample::Sample,
    worker::{Part, Worker},
};
use crate::{
    device::Device,
    failure::{Checked, Failure, ensure},
    intercept::configure,
    module, procfs,
    tests::Report,
    userland::net,
};

pub(crate) use worker::{ROLE, play};

/// The word on the kernel's command line that offers the bench, and says how many rounds.
const WORD: &str = "tidelock.bench=";
/// What is measured of each way in each round.
const COUNT: u32 = 200;
/// What goes before, for caches of all kinds to fill.
const WARM: u32 = 30;
/// Nobody is to run out of time.
const DEADLINE_MS: u32 = 60_000;
/// Long against any bench.
const KEEP_MS: u32 = 3_600_000;
/// For a socket that is closed a moment after its process has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many rounds are asked for; none when no bench is.
pub(crate) fn rounds() -> Option<u32> {
    let line = procfs::read("/proc/cmdline").ok()?;
    asked(&line)
}

fn asked(line: &str) -> Option<u32> {
    let mut words = line.split_ascii_whitespace();
    words.find_map(|word| word.strip_prefix(WORD))?.parse().ok()
}

/// A way to connect, or to be refused.
struct Way {
    name: &'static str,
    part: Part,
    /// A port of its own, so that no way meets what is kept for another.
    port: u16,
    /// None where the module is not loaded.
    mode: Option<Mode>,
    /// What the questions are answered with, where there are any.
    rule: Option<Rule>,
}

const fn keep(decision: Decision<'static>) -> Rule {
    Rule {
        decision,
        ttl_ms: KEEP_MS,
    }
}

const fn forget(decision: Decision<'static>) -> Rule {
    Rule {
        decision,
        ttl_ms: 0,
    }
}

const PLAIN: Way = Way {
    name: "plain",
    part: Part::Connect,
    port: 7001,
    mode: None,
    rule: None,
};

/// With the module loaded, in the order of each round.
const WAYS: [Way; 5] = [
    Way {
        name: "off",
        part: Part::Connect,
        port: 7002,
        mode: Some(Mode::Off),
        rule: None,
    },
    Way {
        name: "hit",
        part: Part::Connect,
        port: 7003,
        mode: Some(Mode::Enforce),
        rule: Some(keep(Decision::Plain)),
    },
    Way {
        name: "miss",
        part: Part::Connect,
        port: 7004,
        mode: Some(Mode::Enforce),
        rule: Some(forget(Decision::Plain)),
    },
    Way {
        name: "refused_hit",
        part: Part::Refused,
        port: 7005,
        mode: Some(Mode::Enforce),
        rule: Some(keep(Decision::Deny)),
    },
    Way {
        name: "refused_miss",
        part: Part::Refused,
        port: 7006,
        mode: Some(Mode::Enforce),
        rule: Some(forget(Decision::Deny)),
    },
];

/// The test `bench.connect`.
pub(crate) fn connect(report: &mut Report) -> Checked<String> {
    let rounds = rounds().unwrap_or(1);
    net::bring_up_loopback()?;
    memory::measure(report)?;
    for round in 0..rounds {
        let mut tell = |name: &str, sample: Sample| report.note(&format!("{name}_{round}"), sample);
        tell(PLAIN.name, measure(&PLAIN)?)?;
        module::load()?;
        for way in &WAYS {
            tell(way.name, measure(way)?)?;
        }
        tell("frame", frames()?)?;
        unload_soon()?;
    }
    Ok(format!("{rounds} rounds of {COUNT}"))
}

/// One way, warmed up, and held against what the module has counted of it.
fn measure(way: &Way) -> Checked<Sample> {
    if let Some(mode) = way.mode {
        configure(mode, DEADLINE_MS)?;
    }
    let mut worker = Worker::start(way.part, way.port, WARM, COUNT)?;
    let looks = u64::from(way.part.looks());
    let (warm, all) = (looks * u64::from(WARM), looks * u64::from(COUNT));
    let kept = way.rule.is_some_and(|rule| rule.ttl_ms > 0);
    answered(way.rule, if kept { looks } else { warm }, || {
        worker.go_on()?;
        worker.says("warm")
    })?;
    let before = way.mode.map(|_| status()).transpose()?;
    // A daemon that nobody asks anything sleeps; here there is none then.
    let rule = way.rule.filter(|_| !kept);
    let sample = answered(rule, all, || {
        worker.go_on()?;
        worker.sample()
    })?;
    if let Some(before) = before {
        let (asked, hit) = match (way.rule, kept) {
            (None, _) => (0, 0),
            (Some(_), true) => (0, all),
            (Some(_), false) => (all, 0),
        };
        ensure_counted(way.name, &before, &status()?, [all, asked, hit])?;
    }
    Ok(sample)
}

/// Does `work` while `count` questions are answered by `rule`, if there are any.
fn answered<T>(rule: Option<Rule>, count: u64, work: impl FnOnce() -> Checked<T>) -> Checked<T> {
    let answers = rule.map(|rule| Answers::start(rule, count)).transpose()?;
    let result = work()?;
    answers.map_or(Ok(()), Answers::end)?;
    Ok(result)
}

/// What the module has counted between: looks, questions, and kept verdicts that served.
fn ensure_counted(name: &str, before: &Status, after: &Status, expected: [u64; 3]) -> Checked<()> {
    let looks = |status: &Status| status.counters.connects + status.counters.accepts;
    let counted = [
        looks(after).saturating_sub(looks(before)),
        after.counters.asks.saturating_sub(before.counters.asks),
        after.counters.hits.saturating_sub(before.counters.hits),
    ];
    ensure(counted == expected, || {
        format!(
            "{name} was to come to {expected:?} looks, questions and kept verdicts that serve, \
             and came to {counted:?}"
        )
    })
}

/// What is in force, and how it goes.
fn status() -> Checked<Status> {
    let (device, _) = Device::greet()?;
    device.status(1)
}

/// A frame to the module and its answer, over the device.
fn frames() -> Checked<Sample> {
    let (device, _) = Device::greet()?;
    let ask = |id: u32| device.status(id.into()).map(|_| ());
    (0..WARM).try_for_each(ask)?;
    sample::of(COUNT, ask)
}

/// Unloads the module, once the last socket has let go of it.
fn unload_soon() -> Checked<()> {
    let began = Instant::now();
    loop {
        match module::try_unload() {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) if began.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
            Err(error) => return Err(Failure::system("unload the module")(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_says_how_many_rounds() {
        assert_eq!(asked("quiet tidelock.bench=15 panic=-1\n"), Some(15));
        for line in ["", "tidelock.bench", "tidelock.bench=", "tidelock.bench=x"] {
            assert_eq!(asked(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_way_that_was_not_what_it_is_named_for_is_found_out() {
        let status = |asks, hits| Status {
            mode: Mode::Enforce,
            generation: 1,
            deadline_ms: DEADLINE_MS,
            waiting: 0,
            kept: 0,
            counters: tidelock_wire::Counters {
                connects: asks + hits,
                asks,
                hits,
                ..Default::default()
            },
        };
        let before = status(3, 1);
        assert!(ensure_counted("hit", &before, &status(3, 11), [10, 0, 10]).is_ok());
        let wrong = ensure_counted("hit", &before, &status(4, 10), [10, 0, 10]);
        assert!(wrong.unwrap_err().to_string().contains("[10, 1, 9]"));
    }

    #[test]
    fn no_way_meets_what_is_kept_for_another() {
        let mut ports: Vec<u16> = WAYS.iter().map(|way| way.port).collect();
        ports.push(PLAIN.port);
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), WAYS.len() + 1);
    }
}
