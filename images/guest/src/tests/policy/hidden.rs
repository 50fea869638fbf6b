// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sockets that are older than the module, and that no table of files shows: in flight over a Unix
//! socket, or held by a ring alone.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tidelock_wire::{Decision, Direction, Mode};

use super::{
    LONG_MS, Report, SERVER, Test, connects_to, lifetime::unload_soon, load, server, shared,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, ACK, Actor, Capture, Decider, SYN, Segment},
    procfs,
    tests::SHORT,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[shared("policy.way_older", SHORT, older)];

const CLIENTS: [(&str, &str); 2] = [
    (SERVER, "hide word find connect send"),
    (SERVER, "ring ring-hide word ring-connect ring-send"),
];
const SERVERS: [(&str, &str); 3] = [
    ("127.0.0.1:7003", "listen hide word find accept"),
    ("127.0.0.1:7004", "ring listen ring-hide word ring-accept"),
    ("[::1]:7005", "listen hide word find accept"),
];

/// For a SYN to leave, on a busy host.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

/// A script that has come to its word, with its socket hidden.
struct Hidden {
    actor: Actor,
    address: &'static str,
    told: Vec<String>,
}

fn hide(scripts: &[(&'static str, &str)]) -> Checked<Vec<Hidden>> {
    let hide = |(address, script): &(&'static str, &str)| {
        let actor = Actor::start(&format!("script {address} {script}"))?;
        let told = actor.lines_to(&["word"])?;
        Ok(Hidden {
            actor,
            address,
            told,
        })
    };
    scripts.iter().map(hide).collect()
}

fn older(report: &mut Report) -> Checked<String> {
    net::bring_up_loopback()?;
    let (mut clients, mut servers) = (hide(&CLIENTS)?, hide(&SERVERS)?);
    let mut repaired = hide(&[(SERVER, "repair hide word find connect repaired send")])?;
    let told = clients.iter().flat_map(|hidden| &hidden.told).cloned();
    let lacks: Vec<String> = told
        .filter(|line| line.starts_with("ring ") && *line != "ring ok")
        .collect();

    load(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|seen| {
        let plain = seen.direction == Direction::Connect && !connects_to(seen, SERVER);
        Some(if plain {
            Decision::Plain
        } else {
            Decision::Deny
        })
    })?;
    connect_nowhere(&mut clients)?;
    for hidden in &mut servers {
        hidden.actor.go_on()?;
        if hidden.told.iter().any(|line| line == "hide ok") {
            hidden.actor.says("find ok")?;
        }
        // Under a flood a listener answers without a socket, and what comes of it is its child
        // all the same.
        for cookies in ["0", "2"] {
            let _setting = procfs::Setting::new(net::SYN_COOKIES, cookies)?;
            knock(hidden)?;
        }
    }
    decider.stop()?;
    // Without a handshake there is no SYN to see: who administers the network can say anything.
    for hidden in &mut repaired {
        hidden.actor.go_on()?;
        let told = hidden.actor.lines_to(&["end"])?;
        report.note("repaired", told.join(", "))?;
    }

    // The same listeners, while nothing is in force.
    intercept::configure(Mode::Off, LONG_MS)?;
    for hidden in &servers {
        Actor::start(&format!("connect {}", hidden.address))?.says("ok")?;
        let told = hidden.actor.line()?;
        ensure(told.ends_with("accept ok"), || format!("off, and {told:?}"))?;
    }
    drop((clients, servers, repaired));
    unload_soon()?;
    Ok(if lacks.is_empty() {
        String::new()
    } else {
        format!("no io_uring on this kernel: {}", lacks.join(", "))
    })
}

/// A client that is allowed: its SYN is there, and nobody answers.
fn knock(hidden: &Hidden) -> Checked<()> {
    let capture = Capture::begin()?;
    let client = Actor::start(&format!("connect {}", hidden.address))?;
    let (mut seen, began) = (Vec::new(), Instant::now());
    let opens = |one: &Segment| one.flags & (SYN | ACK) == SYN;
    while !seen.iter().any(opens) && began.elapsed() < PATIENCE {
        sleep(LOOK);
        seen.extend(capture.segments()?);
    }
    hidden.actor.is_silent(Duration::from_millis(200))?;
    client.is_silent(Duration::ZERO)?;
    seen.extend(capture.segments()?);
    let to = |one: &Segment| one.to.to_string() == hidden.address;
    ensure(!seen.is_empty() && seen.iter().all(to), || {
        format!(
            "{} was to get a SYN and send nothing: {seen:?}",
            hidden.address
        )
    })
}

/// Each tries what is denied, or was never asked about: nothing leaves.
fn connect_nowhere(clients: &mut [Hidden]) -> Checked<()> {
    let server = server(SERVER)?;
    let capture = Capture::begin()?;
    for hidden in clients {
        hidden.actor.go_on()?;
        let told = hidden.actor.lines_to(&["end"])?;
        let good = told.iter().find(|line| line.ends_with("connect ok"));
        ensure(good.is_none() && told.len() > 2, || {
            format!("older, and {told:?}")
        })?;
    }
    server.is_silent(Duration::from_millis(50))?;
    let seen = capture.segments()?;
    ensure(seen.is_empty(), || format!("something has left: {seen:?}"))
}
