// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module comes and goes while sockets are open.

use std::time::Duration;

use tidelock_wire::Mode;

use super::{LONG_MS, OTHER, Report, SERVER, SHORT, Test, begin, child, everything, server, visit};
use crate::{
    failure::Checked,
    intercept::{Actor, Decider, configure},
    module,
};

pub(super) const TESTS: &[Test] = &[
    child("policy.unload_with_sockets", SHORT, unload_with_sockets),
    child("policy.unload_while_asking", SHORT, unload_while_asking),
];

/// A server that sleeps in accept, and connections that are open, live on without the module.
fn unload_with_sockets(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(everything)?;
    visit(SERVER)?;
    server.says("accepted")?;
    decider.stop()?;
    for _ in 0..10 {
        module::unload()?;
        visit(SERVER)?;
        server.says("accepted")?;
        module::load()?;
        visit(SERVER)?;
        server.says("accepted")?;
    }
    module::unload()?;
    visit(SERVER)?;
    server.says("accepted")?;
    Ok(String::new())
}

/// Who waits for a verdict when the module goes is refused, and then the network is as it was.
fn unload_while_asking(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let (server, late) = (
        server(SERVER)?,
        Actor::start(&format!("serve-late {OTHER}"))?,
    );
    late.says("listening")?;
    let waiting = Actor::start(&format!("connect {SERVER}"))?;
    let mut polling = Actor::start(&format!("connect-late {OTHER}"))?;
    polling.says("INPROGRESS")?;
    waiting.is_silent(Duration::from_millis(200))?;
    module::unload()?;
    waiting.says("CONNREFUSED")?;
    polling.go_on()?;
    visit(SERVER)?;
    server.says("accepted")?;
    module::load()?;
    configure(Mode::Off, LONG_MS)?;
    visit(SERVER)?;
    server.says("accepted")?;
    Ok(String::new())
}
