// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon is killed, stopped, restarted and replaced, with 200 connections open and 1,000 new
//! ones on their way.

use std::{fs, thread::sleep, time::Duration};

use rustix::process::Signal;

use super::{
    ALLOWED, BY_PORT, Checked, DENIED, Daemon, Failure, POLICY, Report, Userland, accepted,
    because, begin, comes_to, configure, end, write_policy,
};
use crate::{failure::ensure, intercept::Actor, userland::OWN_PROGRAMS};

const OPEN: usize = 200;
/// New ones under each of the upheavals.
const NEW: usize = 200;
/// Of these there are as many that are not allowed.
const OUTCAST: usize = 10;
/// At the same time, by the herd.
const SIDE_BY_SIDE: usize = 20;
/// To as many addresses: those of a process that wait for the same share a question.
const ADDRESSES: usize = 5;
const OTHER_PROGRAM: &str = "/run/tidelockd-of-tomorrow";
const OTHER_CONFIG: &str = "/etc/tidelock/other.toml";

/// What happens to the daemon. While it cannot answer, `stuck` must hold.
type Upheaval = fn(&Userland, Daemon, &mut Crowd) -> Checked<Daemon>;

const UPHEAVALS: [Upheaval; 5] = [killed, stopped, restarted, replaced, killed_again];

struct Crowd {
    keeper: Actor,
    herd: Actor,
    outcast: Actor,
}

pub(super) fn upheaval(report: &mut Report) -> Checked<String> {
    let (userland, mut server) = begin()?;
    write_policy(&userland, POLICY, BY_PORT)?;
    configure(&userland, 60_000)?;
    let mut daemon = Daemon::serving(&userland)?;
    let mut crowd = Crowd {
        keeper: Actor::start(&format!("keep {ALLOWED} {OPEN} {ADDRESSES}"))?,
        herd: Actor::start(&format!("herd {ALLOWED} {ADDRESSES}"))?,
        outcast: Actor::start(&format!("herd {DENIED} {ADDRESSES}"))?,
    };
    comes_to(&crowd.keeper, &format!("open ok={OPEN}"))?;
    for upheaval in UPHEAVALS {
        crowd.herd.tell(&format!("go {NEW}"))?;
        crowd.outcast.tell(&format!("go {OUTCAST}"))?;
        daemon = upheaval(&userland, daemon, &mut crowd)?;
        comes_to(&crowd.herd, &format!("ok={NEW}"))
            .map_err(|failure| because(&failure.to_string()))?;
        comes_to(&crowd.outcast, &format!("CONNREFUSED={OUTCAST}"))?;
        crowd.goes_on()?;
    }
    let came = accepted(&mut server)?;
    let wanted = format!("{} 0", OPEN + NEW * UPHEAVALS.len());
    ensure(came == wanted, || {
        format!("{wanted} were to come in, and {came} have")
    })?;
    report.note("accepted", came)?;
    daemon.stop()?;
    drop((server, crowd));
    end(userland)?;
    Ok(String::new())
}

impl Crowd {
    /// Every open connection has carried a message once more.
    fn goes_on(&mut self) -> Checked<()> {
        self.keeper.tell("")?;
        let line = self.keeper.line()?;
        ensure(line.starts_with("rounds "), || {
            format!("of the open connections: {line}")
        })
    }

    /// Waits until as many connects wait as can, and sees that none opens meanwhile; the open
    /// ones go on.
    fn stuck(&mut self) -> Checked<()> {
        let mut last = String::new();
        for _ in 0..1000 {
            self.herd.tell("look")?;
            let line = self.herd.line()?;
            let numbers: Vec<usize> = line
                .split(' ')
                .filter_map(|word| word.parse().ok())
                .collect();
            let [begun, done] = numbers[..] else {
                return Err(Failure::Assertion(format!(
                    "connections were to wait, and came to {line:?}"
                )));
            };
            if line == last && begun - done == SIDE_BY_SIDE {
                return self.goes_on();
            }
            last = line;
            sleep(Duration::from_millis(50));
        }
        Err(Failure::Assertion(format!(
            "connections do not come to wait: {last}"
        )))
    }
}

fn killed(userland: &Userland, daemon: Daemon, crowd: &mut Crowd) -> Checked<Daemon> {
    daemon.kill()?;
    crowd.stuck()?;
    Daemon::serving(userland)
}

fn stopped(_: &Userland, daemon: Daemon, crowd: &mut Crowd) -> Checked<Daemon> {
    daemon.signal(Signal::STOP)?;
    crowd.stuck()?;
    daemon.signal(Signal::CONT)?;
    Ok(daemon)
}

fn restarted(userland: &Userland, daemon: Daemon, _: &mut Crowd) -> Checked<Daemon> {
    daemon.stop()?;
    Daemon::serving(userland)
}

/// Another program takes the device over, as soon as it is free.
fn replaced(userland: &Userland, daemon: Daemon, crowd: &mut Crowd) -> Checked<Daemon> {
    // So that nothing is over before the other one comes.
    daemon.signal(Signal::STOP)?;
    crowd.stuck()?;
    let program = format!("{OWN_PROGRAMS}/tidelockd");
    fs::copy(&program, OTHER_PROGRAM).map_err(Failure::system(format!("copy {program}")))?;
    let config = fs::read_to_string(super::CONFIG)
        .map_err(Failure::system(format!("read {}", super::CONFIG)))?;
    let config =
        config + "[admin]\nsocket = '/run/tidelock/other.sock'\n[metrics]\nenabled = false\n";
    userland.write(OTHER_CONFIG, config)?;
    let mut other = Daemon::start(userland, OTHER_PROGRAM, &["--config", OTHER_CONFIG])?;
    other.tells("STATUS=Not answering: /dev/tidelock is open elsewhere")?;
    daemon.signal(Signal::CONT)?;
    daemon.stop()?;
    other.answers()?;
    Ok(other)
}

/// Killed, and killed again as soon as it has come back.
fn killed_again(userland: &Userland, daemon: Daemon, crowd: &mut Crowd) -> Checked<Daemon> {
    daemon.kill()?;
    let mut second = Daemon::start(userland, &format!("{OWN_PROGRAMS}/tidelockd"), &[])?;
    second.tells("READY=1")?;
    second.kill()?;
    crowd.stuck()?;
    Daemon::serving(userland)
}
