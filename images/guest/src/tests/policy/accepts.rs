// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a server sees.

use std::time::Duration;

use tidelock_wire::{Decision, Direction, Mode};

use super::{LONG_MS, Report, SERVER, SHORT, SIX, Test, begin, everything, server, shared, visit};
use crate::{
    failure::{Checked, ensure},
    intercept::{Actor, Decider},
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.accept_denied", SHORT, accept_denied),
    shared("policy.accept_held", SHORT, accept_held),
    shared("policy.accept_polled", SHORT, accept_polled),
    shared("policy.accept_many", SHORT, accept_many),
    shared("policy.decider_returns", SHORT, decider_returns),
];

/// The server never hears of it; the client is reset.
fn accept_denied(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|seen| {
        let deny = seen.direction == Direction::Accept && seen.local.is_ipv4();
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    let server = server("[::]:7001")?;
    let client = Actor::start(&format!("connect {SERVER}"))?;
    client.is_reset()?;
    server.is_silent(Duration::from_millis(200))?;
    visit(SIX)?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}

/// A server that does not wait is told when the verdict is in.
fn accept_held(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = Actor::start(&format!("serve-late {SERVER}"))?;
    server.says("listening")?;
    let decider =
        Decider::start(|seen| (seen.direction == Direction::Connect).then_some(Decision::Plain))?;
    let client = Actor::start(&format!("connect {SERVER}"))?;
    client.says("ok")?;
    server.is_silent(Duration::from_millis(300))?;
    decider.await_seen(2)?;
    decider.stop()?;
    // Another one, who is asked what the first one did not answer.
    let decider = Decider::start(everything)?;
    server.says("accepted")?;
    client.says("hello")?;
    let seen = decider.stop()?;
    ensure(seen.len() == 1, || {
        format!("one question was left: {seen:?}")
    })?;
    Ok(String::new())
}

/// A listener that blocks is readable when there is a connection for its server, and not before:
/// who polls it never sleeps in accept.
fn accept_polled(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = Actor::start("serve-polling [::]:7001")?;
    server.says("listening")?;
    let decider = Decider::start(|seen| {
        let accept = seen.direction == Direction::Accept;
        match (accept, seen.remote.ip().to_canonical().is_ipv4()) {
            (true, true) => Some(Decision::Deny),
            (true, false) => None,
            (false, _) => Some(Decision::Plain),
        }
    })?;
    let refused = Actor::start(&format!("connect {SERVER}"))?;
    refused.is_reset()?;
    let held = Actor::start(&format!("connect {SIX}"))?;
    held.says("ok")?;
    decider.await_seen(4)?;
    server.is_silent(Duration::from_millis(200))?;
    decider.stop()?;
    let decider = Decider::start(everything)?;
    server.says("readable")?;
    server.says("accepted")?;
    held.says("hello")?;
    // By a verdict that is kept.
    visit(SIX)?;
    server.says("readable")?;
    server.says("accepted")?;
    let seen = decider.stop()?;
    ensure(seen.len() == 1, || {
        format!("the accept alone was to be asked, once: {seen:?}")
    })?;
    Ok(String::new())
}

/// Threads that sleep in accept on one listener: a verdict that several connections wait for wakes
/// as many of them as there are connections, and who is left sleeps on.
fn accept_many(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = Actor::start(&format!("serve-many {SERVER} 4"))?;
    server.says("listening")?;
    let decider =
        Decider::start(|seen| (seen.direction == Direction::Connect).then_some(Decision::Plain))?;
    let clients: Vec<Actor> = (0..3)
        .map(|_| Actor::start(&format!("connect {SERVER}")))
        .collect::<Checked<_>>()?;
    for client in &clients {
        client.says("ok")?;
    }
    server.is_silent(Duration::from_millis(300))?;
    decider.stop()?;
    let decider = Decider::start(everything)?;
    for client in &clients {
        server.says("accepted")?;
        client.says("hello")?;
    }
    server.is_silent(Duration::from_millis(100))?;
    visit(SERVER)?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}

/// A daemon that is away for a while costs time and no connection.
fn decider_returns(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let client = Actor::start(&format!("connect {SERVER}"))?;
    client.is_silent(Duration::from_millis(300))?;
    Decider::start(|_| None)?.stop()?;
    client.is_silent(Duration::from_millis(100))?;
    let decider = Decider::start(everything)?;
    client.says("ok")?;
    client.says("hello")?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}
