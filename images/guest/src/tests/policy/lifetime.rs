// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The module comes and goes while others use the network.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use tidelock_wire::Mode;

use super::{
    LONG_MS, OTHER, Report, SERVER, SHORT, Test, begin, everything, server, shared, visit,
};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{Actor, Decider},
    module,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.unload_with_sockets", SHORT, unload_with_sockets),
    shared("policy.unload_while_asking", SHORT, unload_while_asking),
];

/// While somebody has a socket of ours.
fn is_kept() -> Checked<()> {
    let result = module::try_unload();
    ensure(result == Err(Errno::AGAIN), || {
        format!("unloading with sockets open came to {result:?}, not EAGAIN")
    })
}

/// Once nobody has: a socket is closed a moment after its process has ended.
pub(super) fn unload_soon() -> Checked<()> {
    let began = Instant::now();
    loop {
        match module::try_unload() {
            Ok(()) => return Ok(()),
            Err(Errno::AGAIN) if began.elapsed() < Duration::from_secs(10) => {
                sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(Failure::system("unload the module")(error)),
        }
    }
}

/// A socket keeps the module, and lets go of it when it is closed.
fn unload_with_sockets(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    for _ in 0..5 {
        let server = server(SERVER)?;
        let decider = Decider::start(everything)?;
        visit(SERVER)?;
        server.says("accepted")?;
        decider.stop()?;
        is_kept()?;
        drop(server);
        unload_soon()?;
        begin(Mode::Enforce, LONG_MS)?;
    }
    Ok(String::new())
}

/// Who ends while a verdict is waited for leaves nothing behind.
fn unload_while_asking(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let waiting = Actor::start(&format!("connect {SERVER}"))?;
    let polling = Actor::start(&format!("connect-late {OTHER}"))?;
    polling.says("INPROGRESS")?;
    waiting.is_silent(Duration::from_millis(200))?;
    is_kept()?;
    drop(waiting);
    drop(polling);
    // The questions wait for their deadline, which keeps nobody.
    unload_soon()?;
    begin(Mode::Off, LONG_MS)?;
    let server = server(SERVER)?;
    visit(SERVER)?;
    server.says("accepted").map(|()| String::new())
}
