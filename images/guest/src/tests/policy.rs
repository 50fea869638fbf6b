// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.`: every connection has a verdict.

mod accepts;
mod bypasses;
mod captured;
mod connects;
mod hidden;
mod lifetime;
mod races;
mod servers;
mod waits;
mod ways;

use std::net::SocketAddr;

use tidelock_wire::{Decision, Direction, Mode};

use super::{Report, SHORT, Test, shared};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Seen},
    module,
    userland::net,
};

pub(super) const TESTS: [&[Test]; 10] = [
    connects::TESTS,
    accepts::TESTS,
    bypasses::TESTS,
    lifetime::TESTS,
    waits::TESTS,
    servers::TESTS,
    ways::TESTS,
    captured::TESTS,
    races::TESTS,
    hidden::TESTS,
];

const SERVER: &str = "127.0.0.1:7001";
const OTHER: &str = "127.0.0.1:7002";
const SIX: &str = "[::1]:7001";
/// For tests in which nobody is to run out of time.
const LONG_MS: u32 = 30_000;
/// For tests in which somebody is.
const SHORT_MS: u32 = 300;

/// Loads the module and puts a mode in force.
fn begin(mode: Mode, deadline_ms: u32) -> Checked<()> {
    net::bring_up_loopback()?;
    load(mode, deadline_ms)
}

/// As `begin`, where the loopback is up already.
fn load(mode: Mode, deadline_ms: u32) -> Checked<()> {
    module::load()?;
    let status = intercept::configure(mode, deadline_ms)?;
    ensure(
        status.mode == mode && status.deadline_ms == deadline_ms && status.generation == 1,
        || format!("{mode:?} was to be in force and {status:?} is"),
    )
}

/// A server that is ready.
fn server(address: &str) -> Checked<Actor> {
    let actor = Actor::start(&format!("serve {address}"))?;
    actor.says("listening")?;
    Ok(actor)
}

/// One that says back what it hears, until it hears no more.
fn echo(address: &str) -> Checked<Actor> {
    let actor = Actor::start(&format!("serve-echo {address}"))?;
    actor.says("listening")?;
    Ok(actor)
}

/// Whether the question is about connecting to this address.
fn connects_to(seen: &Seen, address: &str) -> bool {
    seen.direction == Direction::Connect && address.parse() == Ok::<SocketAddr, _>(seen.remote)
}

#[expect(clippy::unnecessary_wraps, reason = "a rule may also say nothing")]
fn everything(_: &Seen) -> Option<Decision<'static>> {
    Some(Decision::Plain)
}

#[expect(clippy::unnecessary_wraps, reason = "a rule may also say nothing")]
fn nothing(_: &Seen) -> Option<Decision<'static>> {
    Some(Decision::Deny)
}

/// A client that is let in to the end.
fn visit(address: &str) -> Checked<()> {
    let client = Actor::start(&format!("connect {address}"))?;
    client.says("ok")?;
    client.says("hello")
}
