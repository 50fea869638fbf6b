// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `mtls.`: the handshake of the module with who connects, who speaks TLS by himself. The connection
//! ends when it is done: nothing takes the records over yet. Who must connect by mTLS is refused.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use tidelock_wire::{Mode, Scope};

use super::{Report, SHORT, Test, shared};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{self, Actor, Registrar, TlsPeer, await_svids, dial, is_ended},
    module,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[
    shared("mtls.accept", SHORT, accept),
    shared("mtls.strangers", SHORT, strangers),
    shared("mtls.no_tls", SHORT, no_tls),
    shared("mtls.silence", SHORT, silence),
    shared("mtls.broken_off", SHORT, broken_off),
];

const SERVER: &str = "127.0.0.1:7001";
/// Who accepts, and who speaks for itself.
const OWN: &str = "spiffe://a.test/own";
const PEER: &str = "spiffe://a.test/peer";
const HOUR: Duration = Duration::from_hours(1);
const LONG_MS: u32 = 30_000;
const SHORT_MS: u32 = 1000;

/// Enforces; whoever accepts is `OWN`, and there is trust.
fn begin(deadline_ms: u32) -> Checked<Registrar> {
    net::bring_up_loopback()?;
    module::load()?;
    intercept::configure(Mode::Enforce, deadline_ms)?;
    let registrar = Registrar::start(OWN, Scope::Process)?;
    registrar.trusted()?;
    Ok(registrar)
}

fn server() -> Checked<Actor> {
    let actor = Actor::start(&format!("serve {SERVER}"))?;
    actor.says("listening")?;
    Ok(actor)
}

/// Does something while the registrar answers beside it.
fn beside<T>(registrar: &Registrar, act: impl FnOnce() -> Checked<T>) -> Checked<T> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let answers = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if let Some(wanted) = registrar.wanted_within(Duration::from_millis(20))? {
                    registrar.issue(&wanted, HOUR)?;
                }
            }
            Ok(())
        });
        let result = act();
        over.store(true, Ordering::Relaxed);
        match answers.join() {
            Ok(answered) => answered.and(result),
            Err(_) => Err(Failure::Assertion("the registrar panicked".into())),
        }
    })
}

/// The module's server, and a client that speaks for itself.
fn accept(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS)?;
    let server = server()?;
    // The first makes it get its SVID; then whole flights, and an octet at a time.
    for piece in [usize::MAX, usize::MAX, 1] {
        let session = registrar.client(PEER)?;
        let shaken = beside(&registrar, || {
            let peer = TlsPeer::new(dial(SERVER)?, session);
            Ok(peer.in_pieces(piece).shake())
        })?;
        shaken.is_with(OWN)?;
    }
    server.is_silent(Duration::from_millis(100))?;
    let status = registrar.status()?;
    ensure(status.counters.denied == 3, || {
        format!("{} were refused in the end, not 3", status.counters.denied)
    })?;
    Ok(String::new())
}

/// Who is nobody we trust, nobody we expect, or late, is refused, and told by an alert.
fn strangers(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS)?;
    let foreign = registrar.foreign()?;
    let _server = server()?;
    let clients = [
        ("another domain", registrar.client("spiffe://b.test/peer")?),
        ("another authority", foreign.client(PEER)?),
        ("one who has expired", registrar.expired_client(PEER)?),
    ];
    for (what, session) in clients {
        let shaken = beside(&registrar, || {
            Ok(TlsPeer::new(dial(SERVER)?, session).shake())
        })?;
        shaken
            .is_refused()
            .map_err(|failure| Failure::Assertion(format!("{what}: {failure}")))?;
    }
    Ok(String::new())
}

/// What is no handshake is not waited for: it ends long before the deadline.
fn no_tls(_: &mut Report) -> Checked<String> {
    use std::io::Write as _;
    let registrar = begin(2 * LONG_MS)?;
    let server = server()?;
    // As many records as a handshake never has, each of which may be there.
    let records = b"\x14\x03\x03\x00\x01\x01".repeat(100);
    let noise: [&[u8]; 8] = [
        &records,
        b"\x16\x03\x01\x41\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"\x17\x03\x03\x00\x05hello",
    ];
    for bytes in noise {
        beside(&registrar, || {
            let mut stream = dial(SERVER)?;
            stream
                .write_all(bytes)
                .map_err(|error| Failure::Assertion(format!("write: {error}")))?;
            is_ended(&mut stream)
        })?;
    }
    server.is_silent(Duration::from_millis(100))?;
    Ok(String::new())
}

/// A peer that says nothing, or half of something, is waited for until the deadline.
fn silence(_: &mut Report) -> Checked<String> {
    use std::io::Write as _;
    let registrar = begin(SHORT_MS)?;
    let _server = server()?;
    for bytes in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x00\x10half"] {
        beside(&registrar, || {
            let mut stream = dial(SERVER)?;
            stream
                .write_all(bytes)
                .map_err(|error| Failure::Assertion(format!("write: {error}")))?;
            is_ended(&mut stream)
        })?;
    }
    Ok(String::new())
}

/// Processes end, and sockets are closed, in the midst of it.
fn broken_off(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS)?;
    // Who accepts, while the peer says nothing.
    let acceptor = server()?;
    let mut stream = beside(&registrar, || dial(SERVER))?;
    await_held(&registrar, &acceptor)?;
    drop(acceptor);
    is_ended(&mut stream)?;
    // The peer: somebody else is served.
    let acceptor = server()?;
    drop(beside(&registrar, || dial(SERVER))?);
    await_held(&registrar, &acceptor)?;
    let session = registrar.client(PEER)?;
    let shaken = beside(&registrar, || {
        Ok(TlsPeer::new(dial(SERVER)?, session).shake())
    })?;
    shaken.is_with(OWN).map(|()| String::new())
}

/// Answers until this process has its SVID.
fn await_held(registrar: &Registrar, actor: &Actor) -> Checked<()> {
    let held = |lines: &[intercept::Line]| {
        lines
            .iter()
            .any(|line| line.tgid == actor.pid() && line.state == "held")
    };
    beside(registrar, || {
        await_svids("one that is held", held).map(drop)
    })
}
