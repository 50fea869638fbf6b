// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A server that waits, by each of the ways there are, and two that share an address.

use std::{thread::sleep, time::Duration};

use tidelock_wire::{Decision, Direction, Mode};

use super::{
    LONG_MS, Report, SERVER, Test, begin, echo, everything, lifetime::unload_soon, shared,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{Actor, Decider, Keep, Seen},
    tests::SHORT,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.server_waits", SHORT, server_waits),
    shared("policy.server_edges", SHORT, server_edges),
    shared("policy.accept_reset", SHORT, accept_reset),
    shared("policy.reuseport", SHORT, reuseport),
];

const CLIENT: &str = "connect send recv";

/// Who connects is let in at once, who accepts is decided by a rule of its own.
fn accepting(
    rule: impl Fn(&Seen) -> Option<Decision<'static>> + Send + 'static,
) -> impl Fn(&Seen) -> Option<Decision<'static>> + Send + 'static {
    move |seen| match seen.direction {
        Direction::Connect => Some(Decision::Plain),
        Direction::Accept => rule(seen),
    }
}

fn start(address: &str, script: &str) -> Checked<Actor> {
    let actor = Actor::start(&format!("script {address} {script}"))?;
    actor.lines_to(&["word", "later"])?;
    Ok(actor)
}

/// What it tells last, before its end.
fn ends_with(actor: &Actor, expected: &[&str]) -> Checked<()> {
    let told = actor.lines_to(&["end"])?;
    let before = &told[..told.len() - 1];
    let last = &before[before.len().saturating_sub(expected.len())..];
    ensure(last == expected, || format!("{told:?}, not {expected:?}"))
}

/// Where a server is, what it does, and what it says in the end.
const WAITING: [(&str, &str, &[&str]); 5] = [
    (
        "127.0.0.1:7011",
        "listen hurry later accept patience plain alarm accept restart alarm accept recv send",
        &[
            "accept AGAIN",
            "patience ok",
            "plain ok",
            "alarm ok",
            "accept INTR",
            "restart ok",
            "alarm ok",
            "accept ok",
            "recv \"ping\"",
            "send ok",
        ],
    ),
    (
        "127.0.0.1:7012",
        "listen fork later accept recv send",
        &["accept ok", "recv \"ping\"", "send ok"],
    ),
    (
        "127.0.0.1:7013",
        "listen pass later accept recv splice",
        &["accept ok", "recv \"ping\"", "splice \"\""],
    ),
    (
        "127.0.0.1:7014",
        "ring listen later ring-accept ring-recv ring-send",
        &["ring-accept ok", "ring-recv \"ping\"", "ring-send ok"],
    ),
    (
        "127.0.0.1:7015",
        "ring listen forced later ring-accept ring-recv ring-send",
        &["ring-accept ok", "ring-recv \"ping\"", "ring-send ok"],
    ),
];

/// Timeouts and signals while a connection waits for its verdict, as while there is none; and
/// io_uring as a server.
fn server_waits(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    // The first verdict of a server comes when signals and timeouts have.
    let decider = Decider::start(accepting(|_| None))?;
    let servers = WAITING
        .iter()
        .map(|(address, script, _)| start(address, script))
        .collect::<Checked<Vec<Actor>>>()?;
    let clients = WAITING
        .iter()
        .map(|(address, _, _)| {
            Actor::start(&format!("script {address} connect send shut=write recv"))
        })
        .collect::<Checked<Vec<Actor>>>()?;
    for client in &clients {
        client.says("connect ok")?;
    }
    decider.await_seen(2 * WAITING.len())?;
    sleep(Duration::from_millis(400));
    let undecided = decider.stop()?;
    let decider = Decider::start(accepting(|_| Some(Decision::Plain)))?;
    for (server, (_, _, expected)) in servers.iter().zip(WAITING) {
        ends_with(server, expected)?;
    }
    for client in &clients {
        client.lines_to(&["end"])?;
    }
    decider.stop()?;
    ensure(undecided.len() == 2 * WAITING.len(), || {
        format!("one question an end was due: {undecided:?}")
    })?;

    drop((servers, clients));
    never_shown()?;
    unload_soon()?;
    Ok(String::new())
}

/// A refused connection is never shown, by whichever way.
fn never_shown() -> Checked<()> {
    for (address, script) in [
        ("127.0.0.1:7021", "ring listen later ring-accept"),
        ("127.0.0.1:7022", "ring forced listen later ring-accept"),
        ("127.0.0.1:7023", "listen later accept"),
    ] {
        let decider = Decider::start(accepting(|_| Some(Decision::Deny)))?;
        let server = start(address, script)?;
        Actor::start(&format!("connect {address}"))?.is_reset()?;
        server.is_silent(Duration::from_millis(100))?;
        decider.stop()?;
    }
    Ok(())
}

/// Edge-triggered: none for what comes and is not decided, one when it is, and no other.
fn server_edges(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(accepting(|_| None))?;
    let script = "listen nonblock watch edges word edges accept word edge accept edges";
    let mut server = start(SERVER, script)?;
    let client = Actor::start(&format!("script {SERVER} {CLIENT}"))?;
    client.says("connect ok")?;
    server.go_on()?;
    let told = server.lines_to(&["word"])?;
    let expected = ["edges none", "accept AGAIN", "word"];
    ensure(told == expected, || format!("{told:?}, not {expected:?}"))?;
    decider.await_seen(2)?;
    decider.stop()?;
    let decider = Decider::start(everything)?;
    server.go_on()?;
    ends_with(&server, &["edge 0x1", "accept ok", "edges none"])?;
    decider.stop()?;
    Ok(String::new())
}

/// A client that is gone before it was accepted: decided for the address it came to all the same
/// (what it has said can still be read), and shown if it is allowed, as ever.
fn accept_reset(_: &mut Report) -> Checked<String> {
    const ALLOWED: &str = "127.0.0.1:7031";
    const DENIED: &str = "127.0.0.1:7032";
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(accepting(|seen| {
        Some(if seen.local.port() == 7032 {
            Decision::Deny
        } else {
            Decision::Plain
        })
    }))?;
    let visit = |address: &str| -> Checked<Actor> {
        let server = Actor::start(&format!("script {address} listen word accept recv"))?;
        server.lines_to(&["word"])?;
        let client = Actor::start(&format!("script {address} connect send disconnect"))?;
        client.lines_to(&["end"])?;
        Ok(server)
    };
    let mut allowed = visit(ALLOWED)?;
    allowed.go_on()?;
    ends_with(&allowed, &["accept ok", "recv \"ping\""])?;
    let mut denied = visit(DENIED)?;
    denied.go_on()?;
    denied.is_silent(Duration::from_millis(200))?;
    let seen = decider.stop()?;
    let accepts = seen.iter().filter(|one| one.direction == Direction::Accept);
    let addresses: Vec<String> = accepts.map(|one| one.local.to_string()).collect();
    ensure(addresses == [ALLOWED, DENIED], || {
        format!("asked about {addresses:?}")
    })?;
    Ok(String::new())
}

/// Two processes listen at one address. Each connection is decided for who accepts it.
fn reuseport(report: &mut Report) -> Checked<String> {
    const COUNT: usize = 40;
    begin(Mode::Enforce, LONG_MS)?;
    let (allowed, denied) = (echo(SERVER)?, echo(SERVER)?);
    let refused = denied.pid();
    let decider = Decider::keeping(
        Keep::Never,
        accepting(move |seen| {
            Some(if seen.tgid == refused {
                Decision::Deny
            } else {
                Decision::Plain
            })
        }),
    )?;
    let visitor = Actor::start(&format!("visit {SERVER} {COUNT}"))?;
    let answered = visitor.line()?;
    visitor.says("CONNRESET")?;
    denied.is_silent(Duration::from_millis(50))?;
    let seen = decider.stop()?;
    let of = |tgid| {
        let accepts = seen.iter().filter(|one| one.direction == Direction::Accept);
        accepts.filter(|one| one.tgid == tgid).count()
    };
    let (good, bad) = (of(allowed.pid()), of(refused));
    report.note("shared", format!("{good} and {bad}"))?;
    // Of 40, none for one of two is as likely as 40 coins on one side.
    ensure(good > 0 && bad > 0 && good + bad == COUNT, || {
        format!("{good} and {bad} of {COUNT} were asked about")
    })?;
    ensure(answered == format!("{good} answered"), || {
        format!("{good} were allowed, and {answered}")
    })?;
    for _ in 0..good {
        allowed.says("accepted")?;
    }
    Ok(String::new())
}
