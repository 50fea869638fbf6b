// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.`: every connection has a verdict.

mod accepts;
mod bypasses;
mod connects;
mod lifetime;

use std::net::SocketAddr;

use tidelock_wire::{Decision, Direction, Mode};

use super::{Report, SHORT, Test, child};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Seen},
};

pub(super) const TESTS: [&[Test]; 4] = [
    connects::TESTS,
    accepts::TESTS,
    bypasses::TESTS,
    lifetime::TESTS,
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
    intercept::begin()?;
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

/// Whether the question is about connecting to this address.
fn connects_to(seen: &Seen, address: &str) -> bool {
    seen.direction == Direction::Connect && address.parse() == Ok::<SocketAddr, _>(seen.remote)
}

#[expect(clippy::unnecessary_wraps, reason = "a rule may also say nothing")]
fn everything(_: &Seen) -> Option<Decision> {
    Some(Decision::Plain)
}

#[expect(clippy::unnecessary_wraps, reason = "a rule may also say nothing")]
fn nothing(_: &Seen) -> Option<Decision> {
    Some(Decision::Deny)
}

/// A client that is let in to the end.
fn visit(address: &str) -> Checked<()> {
    let client = Actor::start(&format!("connect {address}"))?;
    client.says("ok")?;
    client.says("hello")
}
