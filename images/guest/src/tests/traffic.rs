// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `load.`: in and out of the kernel beside programs that go on.

use std::{thread::sleep, time::Duration};

use rustix::io::Errno;
use tidelock_wire::{Decision, Direction, Mode};

use super::{LONG, Report, SHORT, Test, child};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{self, Actor, Decider, Seen, configure},
    module, procfs,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[
    child("load.under_traffic", LONG, under_traffic),
    child("load.withdrawn_while_asking", SHORT, withdrawn_while_asking),
    child("load.withdrawn_and_back", SHORT, withdrawn_and_back),
];

const SWITCH: &str = "/sys/module/tidelock/parameters/withdrawn";
const SERVER: &str = "127.0.0.1:7001";
const ECHO: &str = "127.0.0.1:7005";
const CYCLES: u32 = 50;
const LONG_MS: u32 = 30_000;

fn switch(to: &str) -> Checked<()> {
    procfs::set(SWITCH, to)
}

#[expect(clippy::unnecessary_wraps, reason = "a rule may also say nothing")]
fn everything(_: &Seen) -> Option<Decision<'static>> {
    Some(Decision::Plain)
}

/// What the kernel must not do while a socket is ours.
fn is_kept() -> Checked<()> {
    let result = module::try_unload();
    ensure(result == Err(Errno::AGAIN), || {
        format!("unloading with sockets open came to {result:?}, not EAGAIN")
    })
}

fn visit(address: &str) -> Checked<()> {
    let client = Actor::start(&format!("connect {address}"))?;
    client.says("ok")?;
    client.says("hello")
}

/// Every socket becomes ours and goes back, while a server sleeps in accept and reads, and a
/// client talks over old connections and new ones: neither may notice.
fn under_traffic(report: &mut Report) -> Checked<String> {
    net::bring_up_loopback()?;
    let server = Actor::start(&format!("echo {ECHO}"))?;
    server.says("listening")?;
    let mut client = Actor::start(&format!("talk {ECHO}"))?;
    client.says("talking")?;
    for _ in 0..CYCLES {
        module::load()?;
        configure(Mode::Enforce, LONG_MS)?;
        let decider = Decider::start(everything)?;
        // Both ends of a new connection.
        let seen = decider.await_seen(2);
        if let Err(failure) = seen {
            // The client may have ended for a reason of its own, which says more.
            let said = client.line_within(Duration::from_secs(1));
            let said = said.unwrap_or_else(|_| "nothing".into());
            return Err(Failure::Assertion(format!(
                "{failure}; the client said {said}"
            )));
        }
        is_kept()?;
        switch("1")?;
        decider.stop()?;
        module::unload()?;
    }
    client.go_on()?;
    let said = client.line()?;
    let rounds: u32 = said
        .strip_prefix("talked ")
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Failure::Assertion(format!("in the client {said}")))?;
    ensure(rounds >= CYCLES, || {
        format!("the client talked {rounds} times beside {CYCLES} cycles")
    })?;
    report.note("cycles", CYCLES)?;
    report.note("rounds", rounds)?;
    Ok(format!("{CYCLES} cycles, {rounds} rounds"))
}

/// Who waits for a verdict when the module goes is let in, as in mode off. A peer whose connection
/// the server has not been shown is let in, or reset when nobody accepts it in time.
fn withdrawn_while_asking(_: &mut Report) -> Checked<String> {
    intercept::begin()?;
    configure(Mode::Enforce, LONG_MS)?;
    let server = Actor::start(&format!("serve {SERVER}"))?;
    server.says("listening")?;
    let decider = Decider::start(|seen| {
        (seen.direction == Direction::Connect && seen.remote.port() == 7001)
            .then_some(Decision::Plain)
    })?;
    let held = Actor::start(&format!("connect {SERVER}"))?;
    held.says("ok")?;
    let other = Actor::start(&format!("echo {ECHO}"))?;
    other.says("listening")?;
    let blocking = Actor::start(&format!("connect {ECHO}"))?;
    let mut polling = Actor::start(&format!("connect-late {ECHO}"))?;
    for said in ["INPROGRESS", "ALREADY", "AGAIN", "AGAIN", "0x0"] {
        polling.says(said)?;
    }
    // The connects, and the accept.
    decider.await_seen(4)?;
    blocking.is_silent(Duration::from_millis(100))?;
    is_kept()?;

    switch("1")?;
    let held_was = held.line()?;
    ensure(matches!(held_was.as_str(), "hello" | "CONNRESET"), || {
        format!("the connection that was held came to {held_was:?}")
    })?;
    if held_was == "hello" {
        server.says("accepted")?;
    }
    blocking.says("ok")?;
    polling.go_on()?;
    for said in ["0x4", "ok", "ok"] {
        polling.says(said)?;
    }
    decider.stop()?;
    module::unload()?;
    visit(SERVER)?;
    server.says("accepted")?;
    Ok(format!("what was held came to {held_was}"))
}

/// Taken back under the mode that was set before.
fn withdrawn_and_back(_: &mut Report) -> Checked<String> {
    intercept::begin()?;
    configure(Mode::Enforce, 300)?;
    let server = Actor::start(&format!("serve {SERVER}"))?;
    server.says("listening")?;
    let refused = || {
        let client = Actor::start(&format!("connect {SERVER}"))?;
        client.says("CONNREFUSED")
    };
    for _ in 0..3 {
        refused()?;
        switch("1")?;
        let text = procfs::read(SWITCH)?;
        ensure(text == "Y\n", || format!("{SWITCH} holds {text:?}"))?;
        visit(SERVER)?;
        server.says("accepted")?;
        // The first socket is there, asleep, and not ours.
        let table = intercept::table()?;
        ensure(table.is_empty(), || format!("the table has {table:?}"))?;
        switch("0")?;
        let table = intercept::table()?;
        ensure(table.len() == 1, || format!("the table has {table:?}"))?;
        is_kept()?;
    }
    ensure(procfs::set(SWITCH, "perhaps").is_err(), || {
        format!("{SWITCH} took nonsense")
    })?;
    refused()?;
    sleep(Duration::from_millis(10));
    drop(server);
    switch("1")?;
    module::unload()?;
    Ok(String::new())
}
