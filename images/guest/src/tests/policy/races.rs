// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Threads that connect with one socket at once, and nothing of it is left.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tidelock_wire::{Decision, Mode};

use super::{
    LONG_MS, OTHER, Report, SERVER, Test, begin, connects_to, lifetime::unload_soon, server, shared,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Decider, Keep},
    tests::SHORT,
};

pub(super) const TESTS: &[Test] = &[shared("policy.race", SHORT, race)];

/// Of two destinations one is denied: nobody ever gets there, whoever asked first; and in the end
/// there is no socket, no question and no reference.
fn race(report: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let (allowed, denied) = (server(SERVER)?, server(OTHER)?);
    let decider = Decider::keeping(Keep::Never, |seen| {
        // So that connects that wait and connects that do not are there at once.
        sleep(Duration::from_millis(2));
        let deny = connects_to(seen, OTHER);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    let client = Actor::start(&format!("race {SERVER} {OTHER}"))?;
    client.says("done")?;
    denied.is_silent(Duration::from_millis(50))?;
    allowed.says("accepted")?;
    let asked = decider.seen().len();
    drop((client, allowed, denied));
    report.note("asked", asked)?;
    let began = Instant::now();
    while !intercept::table()?.is_empty() {
        ensure(began.elapsed() < Duration::from_secs(10), || {
            format!("sockets are left: {:?}", intercept::table())
        })?;
        sleep(Duration::from_millis(20));
    }
    decider.stop()?;
    let status = intercept::configure(Mode::Enforce, LONG_MS)?;
    ensure(status.waiting == 0, || {
        format!("questions are left: {status:?}")
    })?;
    unload_soon()?;
    Ok(String::new())
}
