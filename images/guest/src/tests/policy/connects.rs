// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a client sees.

use std::time::Duration;

use rustix::event::PollFlags;
use tidelock_wire::{Decision, Direction, Mode};

use super::{
    LONG_MS, OTHER, Report, SERVER, SHORT, SHORT_MS, SIX, Test, begin, connects_to, everything,
    nothing, server, shared, visit,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Decider},
    procfs,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.off", SHORT, off),
    shared("policy.allowed", SHORT, allowed),
    shared("policy.denied", SHORT, denied),
    shared("policy.unanswered", SHORT, unanswered),
    shared("policy.permissive", SHORT, permissive),
    shared("policy.late_allowed", SHORT, late_allowed),
    shared("policy.late_denied", SHORT, late_denied),
    shared("policy.kept", SHORT, kept),
    shared("policy.mtls_is_refused", SHORT, mtls_is_refused),
];

fn off(_: &mut Report) -> Checked<String> {
    intercept::begin()?;
    let server = server(SERVER)?;
    visit(SERVER)?;
    server.says("accepted")?;
    Ok(String::new())
}

fn allowed(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(everything)?;
    for address in [SERVER, SIX] {
        let server = server(address)?;
        let client = Actor::start(&format!("connect {address}"))?;
        client.says("ok")?;
        client.says("hello")?;
        server.says("accepted")?;
        let seen = decider.seen();
        for (direction, actor) in [(Direction::Connect, &client), (Direction::Accept, &server)] {
            let of = |one: &&intercept::Seen| one.direction == direction;
            let last = seen.iter().rfind(of).map(|one| one.tgid);
            ensure(last == Some(actor.pid()), || {
                format!("process {} was to be asked about: {seen:?}", actor.pid())
            })?;
        }
        let asked = |direction| seen.iter().filter(|one| one.direction == direction).count();
        ensure(
            asked(Direction::Connect) == asked(Direction::Accept),
            || format!("not both ends were asked about: {seen:?}"),
        )?;
    }
    let seen = decider.stop()?;
    ensure(seen.len() == 4, || {
        format!("4 questions were due: {seen:?}")
    })?;
    let myself = Some("/init".to_owned());
    ensure(seen.iter().all(|one| one.executable == myself), || {
        format!("the executable is /init: {seen:?}")
    })?;
    Ok(String::new())
}

fn denied(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|seen| {
        let deny = connects_to(seen, SERVER) || connects_to(seen, SIX);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    for address in [SERVER, SIX] {
        let server = server(address)?;
        Actor::start(&format!("connect {address}"))?.says("CONNREFUSED")?;
        server.is_silent(Duration::from_millis(300))?;
    }
    let seen = decider.stop()?;
    let accepts = seen.iter().any(|one| one.direction == Direction::Accept);
    ensure(!accepts, || format!("a SYN has left: {seen:?}"))?;
    Ok(String::new())
}

/// Nobody has the device open, and then somebody who says nothing: the same refusal.
fn unanswered(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, SHORT_MS)?;
    let server = server(SERVER)?;
    Actor::start(&format!("connect {SERVER}"))?.says("CONNREFUSED")?;
    let decider = Decider::start(|_| None)?;
    Actor::start(&format!("connect {SERVER}"))?.says("CONNREFUSED")?;
    let seen = decider.stop()?;
    ensure(seen.len() == 1, || {
        format!("one question was due: {seen:?}")
    })?;
    server.is_silent(Duration::from_millis(100))?;
    let status = intercept::configure(Mode::Enforce, SHORT_MS)?;
    ensure(status.counters.timeouts == 2 && status.waiting == 0, || {
        format!("two timeouts were due: {status:?}")
    })?;
    Ok(String::new())
}

fn permissive(_: &mut Report) -> Checked<String> {
    begin(Mode::Permissive, LONG_MS)?;
    let server = server(SERVER)?;
    visit(SERVER)?;
    server.says("accepted")?;
    let decider = Decider::start(nothing)?;
    visit(SERVER)?;
    decider.await_seen(2)?;
    // By a verdict that is kept now.
    visit(SERVER)?;
    decider.stop()?;
    let status = intercept::configure(Mode::Permissive, LONG_MS)?;
    ensure(
        status.counters.would_deny >= 2 && status.counters.denied == 0,
        || format!("what would be denied was to be counted: {status:?}"),
    )?;
    Ok(String::new())
}

/// What a client that does not wait sees before the verdict: as while a SYN is under way.
fn sees_a_slow_network(client: &Actor) -> Checked<()> {
    client.says("INPROGRESS")?;
    client.says("ALREADY")?;
    client.says("AGAIN")?;
    client.says("AGAIN")?;
    client.says("0x0")
}

fn late_allowed(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let mut client = Actor::start(&format!("connect-late {SERVER}"))?;
    sees_a_slow_network(&client)?;
    let decider = Decider::start(everything)?;
    client.go_on()?;
    client.says(&format!("{:#x}", PollFlags::OUT.bits()))?;
    client.says("ok")?;
    // The kernel says so once, and ISCONN from then on.
    client.says("ok")?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}

fn late_denied(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let mut client = Actor::start(&format!("connect-late {SERVER}"))?;
    sees_a_slow_network(&client)?;
    let decider = Decider::start(nothing)?;
    client.go_on()?;
    let events = PollFlags::OUT | PollFlags::ERR | PollFlags::HUP;
    client.says(&format!("{:#x}", events.bits()))?;
    client.says("CONNREFUSED")?;
    client.says("CONNABORTED")?;
    server.is_silent(Duration::from_millis(100))?;
    decider.stop()?;
    Ok(String::new())
}

/// A verdict is kept for the same identity and purpose, and for no other.
fn kept(report: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let (server, other) = (server(SERVER)?, server(OTHER)?);
    let decider = Decider::start(everything)?;
    for _ in 0..5 {
        visit(SERVER)?;
        server.says("accepted")?;
    }
    let seen = decider.seen();
    ensure(seen.len() == 2, || {
        format!("one question an end was due: {seen:?}")
    })?;
    visit(OTHER)?;
    other.says("accepted")?;
    let seen = decider.stop()?;
    ensure(seen.len() == 4, || {
        format!("another port is another purpose: {seen:?}")
    })?;
    let status = intercept::configure(Mode::Enforce, LONG_MS)?;
    ensure(status.counters.hits == 8 && status.kept == 4, || {
        format!("8 of 12 were kept verdicts: {status:?}")
    })?;
    report.note("asks", status.counters.asks)?;
    let table = procfs::read(intercept::TABLE)?;
    ensure(table.contains("\tlistening\t"), || {
        format!("the table shows no listener: {table:?}")
    })?;
    intercept::table()?;
    Ok(String::new())
}

fn mtls_is_refused(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let mtls = intercept::mtls()?;
    let decider = Decider::start(move |_| Some(mtls))?;
    Actor::start(&format!("connect {SERVER}"))?.says("CONNREFUSED")?;
    server.is_silent(Duration::from_millis(100))?;
    decider.stop()?;
    Ok(String::new())
}
