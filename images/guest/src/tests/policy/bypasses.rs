// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways around connect and accept: each is tried where everything is refused, and fails.

use std::time::Duration;

use tidelock_wire::{Decision, Mode};

use super::{
    LONG_MS, OTHER, Report, SERVER, SHORT, SIX, Test, begin, connects_to, everything, nothing,
    server, shared,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Decider},
    module, procfs,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.bypass_fastopen", SHORT, fastopen),
    shared("policy.bypass_mptcp", SHORT, mptcp),
    shared("policy.bypass_unspec", SHORT, unspec),
    shared("policy.bypass_older", SHORT, older),
    shared("policy.bypass_any", SHORT, any),
    shared("policy.syn_cookies", SHORT, syn_cookies),
    shared("policy.threads", SHORT, threads),
];

fn fastopen(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(nothing)?;
    Actor::start(&format!("fastopen {SERVER}"))?.says("CONNREFUSED")?;
    server.is_silent(Duration::from_millis(200))?;
    decider.stop()?;
    Ok(String::new())
}

fn mptcp(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(nothing)?;
    let said = Actor::start(&format!("mptcp {SERVER}"))?.line()?;
    // A kernel without MPTCP says that it does not know it.
    let refused = ["CONNREFUSED", "PROTONOSUPPORT", "INVAL"].contains(&said.as_str());
    ensure(refused, || format!("MPTCP came to {said:?}"))?;
    server.is_silent(Duration::from_millis(200))?;
    decider.stop()?;
    Ok(said)
}

/// One verdict is for one destination, whatever happens to the socket in between.
fn unspec(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let (server, other) = (server(SERVER)?, server(OTHER)?);
    let decider = Decider::start(|seen| {
        let deny = connects_to(seen, OTHER);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    let client = Actor::start(&format!("again {SERVER} {OTHER}"))?;
    client.says("ok")?;
    client.says("ok")?;
    client.says("CONNREFUSED")?;
    server.says("accepted")?;
    other.is_silent(Duration::from_millis(200))?;
    decider.stop()?;
    Ok(String::new())
}

/// A server that is older than the module and sleeps in accept: what it accepts is decided.
fn older(_: &mut Report) -> Checked<String> {
    net::bring_up_loopback()?;
    let server = server(SERVER)?;
    super::visit(SERVER)?;
    server.says("accepted")?;
    module::load()?;
    intercept::configure(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|seen| {
        let connect = connects_to(seen, SERVER);
        Some(if connect {
            Decision::Plain
        } else {
            Decision::Deny
        })
    })?;
    let client = Actor::start(&format!("connect {SERVER}"))?;
    client.is_reset()?;
    server.is_silent(Duration::from_millis(200))?;
    decider.stop()?;
    intercept::configure(Mode::Off, LONG_MS)?;
    let decider = Decider::start(everything)?;
    super::visit(SERVER)?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}

/// The unspecified address is this host, and is decided as that.
fn any(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let (server, six) = (server(SERVER)?, server(SIX)?);
    let decider = Decider::start(|seen| {
        let deny = connects_to(seen, SERVER) || connects_to(seen, SIX);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    for address in ["0.0.0.0:7001", "[::]:7001"] {
        Actor::start(&format!("connect {address}"))?.says("CONNREFUSED")?;
    }
    server.is_silent(Duration::from_millis(100))?;
    six.is_silent(Duration::from_millis(100))?;
    decider.stop()?;
    Ok(String::new())
}

/// A listener under a flood answers without a socket: still for those that are allowed.
fn syn_cookies(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let _always = procfs::Setting::new(net::SYN_COOKIES, "2")?;
    let server = server(SERVER)?;
    let decider = Decider::start(everything)?;
    super::visit(SERVER)?;
    server.says("accepted")?;
    decider.stop()?;
    Ok(String::new())
}

/// Threads that do everything at once with one socket: nothing breaks, whatever comes of it.
fn threads(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(everything)?;
    let client = Actor::start(&format!("hammer {SERVER}"))?;
    client.says("done")?;
    drop(server);
    decider.stop()?;
    Ok(String::new())
}
