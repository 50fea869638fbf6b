// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a packet capture sees of connections that are allowed, denied and undecided.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tidelock_wire::{Decision, Direction, Mode};

use super::{LONG_MS, Report, Test, begin, load, shared};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Capture, Decider, SYN, Seen, Segment, within},
    tests::MIDDLE,
    userland::Userland,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.capture", MIDDLE, loopback),
    shared("policy.networks", MIDDLE, networks),
];

/// What is decided on a connection to each port.
const ALLOWED: u16 = 7001;
const DENIED: u16 = 7002;
const UNDECIDED: u16 = 7003;
const ACCEPT_DENIED: u16 = 7004;
const ACCEPT_UNDECIDED: u16 = 7005;
const PORTS: [u16; 5] = [ALLOWED, DENIED, UNDECIDED, ACCEPT_DENIED, ACCEPT_UNDECIDED];

fn rule(seen: &Seen) -> Option<Decision<'static>> {
    let port = match seen.direction {
        Direction::Connect => seen.remote.port(),
        Direction::Accept => seen.local.port(),
    };
    match (seen.direction, port) {
        (Direction::Connect, DENIED) | (Direction::Accept, ACCEPT_DENIED) => Some(Decision::Deny),
        (Direction::Connect, UNDECIDED) | (Direction::Accept, ACCEPT_UNDECIDED) => None,
        _ => Some(Decision::Plain),
    }
}

/// All that a client tries, with one socket after the other; the last one waits.
const TRIES: [&str; 2] = [
    "nonblock connect send sendfile poll send dup connect send shut=write send \
     socket nonblock connect send disconnect fast send \
     socket nonblock fast send \
     socket hurry connect send sendfile splice \
     socket later connect send recv",
    "ring later ring-connect ring-send",
];

/// Servers at one place and clients at another. Nobody knows of those who are undecided when they
/// have tried it all: they are known to have been asked about, and time is given.
fn play(
    decider: &Decider,
    servers: Option<&str>,
    clients: Option<&str>,
    host: &str,
) -> Checked<Vec<Actor>> {
    let start = |network: Option<&str>, part: &str| match network {
        Some(network) => Actor::start_in(network, part),
        None => Actor::start(part),
    };
    let mut all = Vec::new();
    for port in PORTS {
        let server = start(servers, &format!("serve {host}:{port}"))?;
        server.says("listening")?;
        all.push(server);
    }
    for port in PORTS {
        for script in TRIES {
            let client = start(clients, &format!("script {host}:{port} {script}"))?;
            client.lines_to(&["later"])?;
            if ![UNDECIDED, ACCEPT_UNDECIDED].contains(&port) {
                client.lines_to(&["end"])?;
            }
            all.push(client);
        }
    }
    all[0].says("accepted")?;
    await_asked(decider, host)?;
    for silent in &all[1..PORTS.len()] {
        silent.is_silent(Duration::from_millis(50))?;
    }
    Ok(all)
}

/// Until each script's undecided connection was asked about, at both ends.
fn await_asked(decider: &Decider, host: &str) -> Checked<()> {
    let at = |port: u16| format!("{host}:{port}");
    let began = Instant::now();
    loop {
        let seen = decider.seen();
        let of = |direction| seen.iter().filter(move |one| one.direction == direction);
        let connects = of(Direction::Connect).filter(|one| one.remote.to_string() == at(UNDECIDED));
        let accepts =
            of(Direction::Accept).filter(|one| one.local.to_string() == at(ACCEPT_UNDECIDED));
        let (connects, accepts) = (connects.count(), accepts.count());
        if connects >= TRIES.len() && accepts >= 1 {
            return Ok(());
        }
        ensure(began.elapsed() < Duration::from_secs(20), || {
            format!("{connects} and {accepts} undecided connections were asked about: {seen:?}")
        })?;
        sleep(Duration::from_millis(20));
    }
}

/// All that was captured until the one who is allowed was answered: the server says that it has
/// accepted before it answers, and may be slow.
fn until_answered(capture: &Capture) -> Checked<Vec<Segment>> {
    let began = Instant::now();
    let mut all = Vec::new();
    loop {
        all.extend(capture.segments()?);
        // If it never is, that is for who judges.
        if all.iter().any(answered) || began.elapsed() > Duration::from_secs(20) {
            return Ok(all);
        }
        sleep(Duration::from_millis(20));
    }
}

fn answered(segment: &Segment) -> bool {
    segment.from.port() == ALLOWED && segment.payload > 0
}

/// Nothing of what is denied or undecided, no word of who must not be heard; and of the others all.
fn judge(segments: &[Segment]) -> Checked<String> {
    let of = |port| move |one: &&Segment| one.to.port() == port || one.from.port() == port;
    for port in [DENIED, UNDECIDED] {
        let seen = segments.iter().find(of(port));
        ensure(seen.is_none(), || format!("{seen:?} was seen"))?;
    }
    for port in [ACCEPT_DENIED, ACCEPT_UNDECIDED] {
        let says = |one: &&Segment| one.from.port() == port && one.payload > 0;
        let seen = segments.iter().find(says);
        ensure(seen.is_none(), || format!("{seen:?} was seen"))?;
        let opened = |one: &Segment| one.to.port() == port && one.flags & SYN != 0;
        ensure(segments.iter().any(opened), || {
            format!("no SYN to {port} was seen, of an allowed client")
        })?;
    }
    // So that the check can fail: what is allowed is seen, in both directions.
    let opened = |one: &Segment| one.to.port() == ALLOWED && one.flags & SYN != 0;
    let asked = |one: &Segment| one.to.port() == ALLOWED && one.payload > 0;
    let seen = [
        segments.iter().any(opened),
        segments.iter().any(asked),
        segments.iter().any(answered),
    ];
    ensure(seen == [true; 3], || {
        format!("of what is allowed SYN, data and answer were seen: {seen:?}")
    })?;
    Ok(format!("{} segments", segments.len()))
}

fn loopback(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(rule)?;
    let mut found = Vec::new();
    for host in ["127.0.0.1", "[::1]"] {
        let capture = Capture::begin()?;
        let actors = play(&decider, None, None, host)?;
        found.push(judge(&until_answered(&capture)?)?);
        drop(actors);
    }
    decider.stop()?;
    Ok(found.join(", "))
}

/// Between two network namespaces, one older than the module.
fn networks(_: &mut Report) -> Checked<String> {
    let userland = Userland::enter()?;
    let ip = |network: &[&str], lines: String| {
        let ip = userland.program("/usr/sbin/ip").args(network);
        ip.args(["-batch", "-"]).input(lines).run()?.ok()
    };
    userland.network("old")?;
    load(Mode::Enforce, LONG_MS)?;
    userland.network("new")?;
    let pair = "link add here netns old type veth peer name there netns new\n";
    ip(&[], pair.into())?;
    for (network, device, number) in [("old", "here", 1), ("new", "there", 2)] {
        let lines = format!(
            "addr add 10.9.0.{number}/24 dev {device}\n\
             addr add fd09::{number}/64 dev {device} nodad\n\
             link set {device} up\n"
        );
        ip(&["-n", network], lines)?;
    }
    let decider = Decider::start(rule)?;
    let mut found = Vec::new();
    for (clients, servers, host) in [("old", "new", "10.9.0.2"), ("new", "old", "[fd09::1]")] {
        let captures = [
            within("old", Capture::begin)?,
            within("new", Capture::begin)?,
        ];
        let actors = play(&decider, Some(servers), Some(clients), host)?;
        for capture in captures {
            found.push(judge(&until_answered(&capture)?)?);
        }
        drop(actors);
    }
    let by_way = routed()?;
    decider.stop()?;
    ensure(by_way.is_empty(), || format!("{by_way:?} was seen"))?;
    intercept::configure(Mode::Off, LONG_MS)?;
    ensure(!routed()?.is_empty(), || {
        "off, and no SYN by way of another was seen".into()
    })?;
    userland.leave()?;
    Ok(found.join(", "))
}

/// A connection that is allowed, by way of somebody else: the SYNs to him.
fn routed() -> Checked<Vec<Segment>> {
    let capture = within("old", Capture::begin)?;
    let script = "script [fd09::3]:7001 route6 hurry connect";
    Actor::start_in("old", script)?.lines_to(&["end"])?;
    let mut seen = capture.segments()?;
    seen.retain(|one| one.flags & SYN != 0 && one.to.to_string() == "[fd09::2]:7001");
    Ok(seen)
}
