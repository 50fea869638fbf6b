// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways around connect and accept for who has many rights: what options, raw sockets, older
//! sockets and two ends that open at once come to. Each is a way through while nothing is in
//! force, or the test says that this kernel has no such way.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tidelock_wire::{Decision, Direction, Mode};

use super::{
    LONG_MS, OTHER, Report, SERVER, Test, begin, connects_to, echo, everything,
    lifetime::unload_soon, nothing, server, shared,
};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Capture, Decider, SYN, Seen, Segment, refusing},
    procfs,
    tests::SHORT,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.way_options", SHORT, options),
    shared("policy.way_fast", SHORT, fast),
    shared("policy.way_raw", SHORT, raw),
    shared("policy.way_pieces", SHORT, pieces),
    shared("policy.way_at_once", SHORT, at_once),
    shared("policy.way_smc", SHORT, smc),
    shared("policy.way_cgroup", SHORT, cgroup),
];

const MAPPED: &str = "[::ffff:127.0.0.1]:7001";

/// All that a script tells.
fn told(address: &str, script: &str) -> Checked<Vec<String>> {
    Actor::start(&format!("script {address} {script}"))?.lines_to(&["end"])
}

/// What a step came to, or the last of its name.
fn of<'a>(told: &'a [String], step: &str) -> &'a str {
    let line = told.iter().rev().find_map(|line| line.strip_prefix(step));
    line.map_or("", str::trim_start)
}

fn opens(segment: &Segment, to: &str) -> bool {
    segment.flags & SYN != 0 && segment.to.to_string() == to
}

/// Everything is allowed, but not to connect to `OTHER`.
fn not_other() -> Checked<Decider> {
    Decider::start(|seen| {
        let deny = connects_to(seen, OTHER);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })
}

const UNDECIDED: &str = "127.0.0.1:7003";
const TO_OTHER: &str = "connect=127.0.0.1:7002";

/// kTLS, IPV6_ADDRFORM and TCP_REPAIR, on sockets that are decided, and then go elsewhere.
fn options(_: &mut Report) -> Checked<String> {
    const WAYS: [(&str, &str, &str); 5] = [
        ("kTLS", SERVER, "connect ulp disconnect"),
        ("IPV6_ADDRFORM", MAPPED, "connect addrform disconnect"),
        (
            "IPV6_ADDRFORM, shut down",
            MAPPED,
            "connect addrform shut=both disconnect",
        ),
        ("TCP_REPAIR", SERVER, "repair"),
        ("TCP_REPAIR, decided", SERVER, "connect repair disconnect"),
    ];
    begin(Mode::Off, LONG_MS)?;
    let (_server, other) = (echo(SERVER)?, server(OTHER)?);
    let play = |script: &str, address: &str| told(address, &format!("{script} {TO_OTHER} send"));
    let mut found = Vec::new();
    for (name, address, script) in WAYS {
        let open = play(script, address)?;
        let came = of(&open, TO_OTHER);
        if came == "ok" {
            found.push(format!("{name}: open while off"));
        } else {
            // No such option, or the kernel itself does not disconnect such a socket.
            let steps = open.join(", ");
            found.push(format!("{name}: no way on this kernel ({steps})"));
        }
    }
    // Who came in so far.
    while other.is_silent(Duration::from_millis(50)).is_err() {}

    intercept::configure(Mode::Enforce, LONG_MS)?;
    let capture = Capture::begin()?;
    let decider = not_other()?;
    for (name, address, script) in WAYS {
        let closed = play(script, address)?;
        ensure(of(&closed, TO_OTHER) != "ok", || {
            format!("{name} is a way around: {closed:?}")
        })?;
    }
    other.is_silent(Duration::from_millis(100))?;
    decider.stop()?;
    let seen = capture.segments()?;
    let left = seen.iter().find(|one| one.to.to_string() == OTHER);
    ensure(left.is_none(), || format!("{left:?} has left"))?;
    undecided_options()?;
    Ok(found.join("; "))
}

/// On a socket that is not decided, nothing of the kind can be set; and a source route is none.
fn undecided_options() -> Checked<()> {
    let asked = |seen: &Seen| (!connects_to(seen, UNDECIDED)).then_some(Decision::Plain);
    let decider = Decider::start(asked)?;
    let steps = told(UNDECIDED, "ulp nonblock connect ulp poll")?;
    let set = steps.iter().any(|line| line == "ulp ok");
    ensure(!set && of(&steps, "poll") == "0x0", || {
        format!("undecided, and {steps:?}")
    })?;

    let by = |one: &&Segment| opens(one, "127.0.0.2:7001");
    let capture = Capture::begin()?;
    let steps = told(SERVER, "route connect send")?;
    ensure(of(&steps, "connect") == "CONNREFUSED", || {
        format!("by way of another: {steps:?}")
    })?;
    let seen = capture.segments()?;
    ensure(seen.iter().find(by).is_none(), || format!("{seen:?}"))?;
    decider.stop()?;
    intercept::configure(Mode::Off, LONG_MS)?;
    told(SERVER, "nonblock route connect")?;
    let seen = capture.segments()?;
    ensure(seen.iter().find(by).is_some(), || {
        format!("off, and no SYN by way of another: {seen:?}")
    })
}

/// Fast Open without cookies, asked for before anything is in force: data would leave in the SYN.
fn fast(_: &mut Report) -> Checked<String> {
    const SCRIPTS: [&str; 3] = [
        "deferred word connect send ready error connect send",
        "deferred nonblock word connect send sendfile poll send ready",
        "nonblock word fast fast connect fast send ready",
    ];
    let start = |address: &str| -> Checked<Vec<Actor>> {
        let start = |script: &&str| Actor::start(&format!("script {address} {script}"));
        let actors: Vec<Actor> = SCRIPTS.iter().map(start).collect::<Checked<_>>()?;
        for actor in &actors {
            actor.lines_to(&["word"])?;
        }
        Ok(actors)
    };
    begin(Mode::Off, LONG_MS)?;
    // Client and server, both without a cookie, and each listener.
    let _open = procfs::Setting::new("/proc/sys/net/ipv4/tcp_fastopen", "1543")?;
    let (_server, other) = (echo(SERVER)?, server(OTHER)?);
    let (open, closed) = (start(SERVER)?, start(OTHER)?);
    let play = |actors: Vec<Actor>| -> Checked<(Vec<Vec<String>>, Vec<Segment>)> {
        let capture = Capture::begin()?;
        let mut told = Vec::new();
        for mut actor in actors {
            actor.go_on()?;
            told.push(actor.lines_to(&["end"])?);
        }
        Ok((told, capture.segments()?))
    };
    let loaded = |one: &Segment| one.flags & SYN != 0 && one.payload > 0;
    let (told, seen) = play(open)?;
    ensure(seen.iter().any(loaded), || {
        format!("off, and no data in a SYN: {told:?}, {seen:?}")
    })?;

    intercept::configure(Mode::Enforce, LONG_MS)?;
    let decider = not_other()?;
    let (told, seen) = play(closed)?;
    // What was open before may still be saying its last words.
    let left = seen.iter().find(|one| one.to.to_string() == OTHER);
    ensure(left.is_none(), || format!("{left:?} has left: {told:?}"))?;
    // Also where it may: the decision comes first, and then no SYN of another task's.
    let (told, seen) = play(start(SERVER)?)?;
    let early = seen.iter().find(|one| loaded(one));
    ensure(early.is_none(), || format!("{early:?} has left: {told:?}"))?;
    other.is_silent(Duration::from_millis(50))?;
    decider.stop()?;
    Ok("open while off".into())
}

/// A raw socket that speaks TCP, as a client and as a server.
fn raw(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let capture = Capture::begin()?;
    let decider = Decider::start(everything)?;
    let by_hand = format!("by-hand connect 127.0.0.1:5001 {SERVER}");
    let client = Actor::start(&by_hand)?;
    client.says("SYN CONNREFUSED")?;
    client.says("no answer")?;
    drop(client);
    server.is_silent(Duration::from_millis(50))?;
    let seen = capture.segments()?;
    ensure(!seen.iter().any(|one| opens(one, SERVER)), || {
        format!("a SYN has left: {seen:?}")
    })?;
    // The client is allowed, and is not answered by who is not.
    let hand = Actor::start("by-hand accept 127.0.0.1:7005")?;
    hand.says("listening")?;
    let client = Actor::start("connect 127.0.0.1:7005")?;
    hand.says("SYN-ACK PERM")?;
    client.is_silent(Duration::from_millis(100))?;
    drop((client, hand));
    decider.stop()?;

    intercept::configure(Mode::Off, LONG_MS)?;
    let client = Actor::start(&by_hand)?;
    for line in ["SYN ok", "answered", "data ok"] {
        client.says(line)?;
    }
    server.says("accepted")?;
    let hand = Actor::start("by-hand accept 127.0.0.1:7005")?;
    hand.says("listening")?;
    let client = Actor::start("connect 127.0.0.1:7005")?;
    hand.says("SYN-ACK ok")?;
    client.says("ok")?;
    Ok("open while off".into())
}

/// Fragments that hide TCP's flags, or overwrite them, go nowhere (RFC 1858, RFC 3128).
fn pieces(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(everything)?;
    let by_hand = format!("by-hand connect-in-pieces 127.0.0.1:5002 {SERVER}");
    let client = Actor::start(&by_hand)?;
    for line in ["hidden PERM", "hidden PERM", "no answer"] {
        client.says(line)?;
    }
    // What shows itself, and is no SYN, is nobody's business here.
    for line in ["overwritten ok", "overwritten PERM", "no answer"] {
        client.says(line)?;
    }
    drop(client);
    decider.stop()?;

    intercept::configure(Mode::Off, LONG_MS)?;
    let client = Actor::start(&by_hand)?;
    for line in ["hidden ok", "hidden ok", "answered"] {
        client.says(line)?;
    }
    drop((client, server));
    Ok("put together while off".into())
}

/// Two sockets that connect to each other, and one that connects to itself.
fn at_once(_: &mut Report) -> Checked<String> {
    // A listener at the one's address loses its SYN, so that it waits for the other's.
    let both = |first: &str, second: &str| -> Checked<(Actor, Actor, Actor)> {
        let lost = Actor::start(&format!("echo-slow {second} accept"))?;
        lost.says("listening")?;
        let here = format!("script {second} reuseport bind={first} nonblock connect");
        let here = Actor::start(&format!("{here} word ready error send arrive recv"))?;
        let told = here.lines_to(&["word"])?;
        ensure(of(&told, "connect") == "INPROGRESS", || format!("{told:?}"))?;
        let there = format!("script {first} reuseport bind={second} connect");
        let there = Actor::start(&format!("{there} later recv send"))?;
        Ok((lost, here, there))
    };
    begin(Mode::Enforce, LONG_MS)?;
    let decider = Decider::start(|seen| {
        let deny =
            [7102, 7202].contains(&seen.remote.port()) && seen.direction == Direction::Connect;
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    let (_lost, mut here, there) = both("127.0.0.1:7001", "127.0.0.1:7002")?;
    let told = there.lines_to(&["later"])?;
    ensure(of(&told, "connect") == "ok", || format!("{told:?}"))?;
    here.go_on()?;
    let told = here.lines_to(&["end"])?;
    ensure(of(&told, "recv") == "\"ping\"", || format!("{told:?}"))?;
    let told = there.lines_to(&["end"])?;
    ensure(of(&told, "recv") == "\"ping\"", || format!("{told:?}"))?;

    // One of the two is refused: the other waits.
    let (_lost, mut here, there) = both("127.0.0.1:7102", "127.0.0.1:7101")?;
    let told = there.lines_to(&["later"])?;
    ensure(of(&told, "connect") == "CONNREFUSED", || {
        format!("{told:?}")
    })?;
    here.go_on()?;
    here.is_silent(Duration::from_millis(200))?;
    drop(here);

    let alone = told_alone("127.0.0.1:7201")?;
    ensure(of(&alone, "recv") == "\"ping\"", || format!("{alone:?}"))?;
    let alone = told_alone("127.0.0.1:7202")?;
    ensure(of(&alone, "error") == "CONNREFUSED", || {
        format!("{alone:?}")
    })?;
    let seen = decider.stop()?;
    let accepts = seen.iter().find(|one| one.direction == Direction::Accept);
    ensure(accepts.is_none(), || format!("nobody accepts: {accepts:?}"))?;
    Ok(String::new())
}

fn told_alone(address: &str) -> Checked<Vec<String>> {
    told(
        address,
        "bind nonblock connect ready error block send poll recv",
    )
}

/// SMC has a TCP socket of the kernel's below each of its own.
fn smc(_: &mut Report) -> Checked<String> {
    begin(Mode::Enforce, LONG_MS)?;
    let server = server(SERVER)?;
    let decider = Decider::start(nothing)?;
    let mut found = Vec::new();
    let client = Actor::start(&format!("smc {SERVER}"))?;
    for _ in 0..2 {
        let line = client.line()?;
        let closed = line.ends_with("is not there") || line.ends_with("socket PERM");
        ensure(closed, || format!("SMC is a way around: {line}"))?;
        found.push(line);
    }
    server.is_silent(Duration::from_millis(100))?;
    decider.stop()?;
    intercept::configure(Mode::Off, LONG_MS)?;
    let client = Actor::start(&format!("smc {SERVER}"))?;
    for line in &found {
        let open = client.line()?;
        let way = line.ends_with("is not there") || open.ends_with("connect ok");
        ensure(way, || format!("off, and {open}"))?;
    }
    Ok(found.join("; "))
}

/// A program of the control group refuses a socket after our init: the entry must not stay.
fn cgroup(report: &mut Report) -> Checked<String> {
    const COUNT: usize = 400;
    let tcp = || -> Checked<u64> {
        // Else each processor keeps some that are free.
        procfs::set("/sys/kernel/slab/TCP/shrink", "1")?;
        let slabs = procfs::parse_slabs(&procfs::read("/proc/slabinfo")?);
        Ok(slabs.get("TCP").copied().unwrap_or_default())
    };
    begin(Mode::Enforce, LONG_MS)?;
    let Some(group) = refusing()? else {
        return Ok("no programs of BPF on this kernel".into());
    };
    let mut client = Actor::start(&format!("script {SERVER} word sockets={COUNT}"))?;
    client.says("word")?;
    let before = tcp()?;
    group.join(client.pid())?;
    client.go_on()?;
    client.says(&format!("sockets={COUNT} PERM"))?;
    client.says("end")?;
    drop(client);
    let held = tcp()?.saturating_sub(before);
    report.note("held", held)?;
    // What is refused keeps nobody from unloading, which sweeps.
    unload_soon()?;
    // The memory of a socket is given back a moment later (RCU).
    let began = Instant::now();
    loop {
        let left = tcp()?.saturating_sub(before);
        if left < 20 {
            return Ok(String::new());
        }
        ensure(began.elapsed() < Duration::from_secs(10), || {
            format!("{left} of {COUNT} refused sockets are still there")
        })?;
        sleep(Duration::from_millis(50));
    }
}
