// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client that waits for its verdict sees what a client of a slow network sees.
//!
//! Scripts are played twice: where the module is not, in front of a server whose SYNs are lost at
//! first; and where it is, while nothing is decided. What they tell must be the same to the word.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use tidelock_wire::{Decision, Mode};

use super::{
    LONG_MS, Report, SERVER, Test, begin, connects_to, echo, everything, lifetime::unload_soon,
    load, shared,
};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{self, Actor, Decider, Keep, Seen},
    tests::MIDDLE,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[
    shared("policy.waits_allowed", MIDDLE, waits_allowed),
    shared("policy.waits_denied", MIDDLE, waits_denied),
    shared("policy.waits_and_ends", MIDDLE, waits_and_ends),
];

/// Which begin in the same way, and end so when the connection is allowed.
const ALLOWED: &[&str] = &[
    // All that can be asked of a socket, before and after.
    "nonblock connect connect send recv poll error splice sendfile word ready error connect \
     connect send arrive recv sendfile arrive splice",
    // Edges: none before, one for the connection, one for data.
    "nonblock watch edges connect edges connect send edges word edge edges error connect send \
     edge recv edges",
    // Timeouts of the socket, each of which ends in its own way.
    "hurry connect connect send recv splice sendfile word ready error patience send recv",
    // Megabytes by sendfile and splice.
    "later connect bulk",
    // Both halves, and a duplicate whose first descriptor is closed.
    "nonblock connect dup poll word ready error send arrive recv shut=write arrive recv",
    "nonblock connect shut=write poll connect word ready error send arrive recv",
    "nonblock connect shut=both poll connect word ready error send arrive recv",
    "nonblock connect shut=read poll connect word ready error send arrive recv",
    "nonblock connect disconnect poll connect word ready error send arrive recv",
    // Another process has it too, or it alone.
    "nonblock connect fork connect poll word ready error send arrive recv",
    "nonblock connect pass connect poll word ready error send arrive recv",
    "fork nonblock connect poll word ready error send arrive recv",
    "nonblock connect word ready error pass send arrive recv",
    // Signals: a call that is restarted, one that is not, one with a timeout that never is.
    "restart alarm later connect send recv",
    "plain alarm connect poll word ready error send recv",
    "restart hurry connect patience alarm later send recv",
    "hurry connect patience plain alarm send plain alarm recv word ready error send recv",
    // io_uring, by its polling and by a worker that blocks.
    "ring later ring-connect ring-send ring-recv",
    "ring forced later ring-connect ring-send ring-recv",
    "sqpoll later ring-connect ring-send ring-recv",
    "nonblock ring later ring-connect ring-send arrive ring-recv",
];

/// The same, for connections that come to nothing.
const DENIED: &[&str] = &[
    "nonblock connect connect send recv word ready error connect recv send",
    "nonblock connect word ready connect error poll",
    "nonblock connect word ready send send recv",
    "nonblock connect word ready recv recv error",
    "nonblock connect word ready splice sendfile",
    "nonblock watch edges connect edges word edge error edges poll",
    "hurry connect word ready error recv send",
    "later connect recv send",
    "later nonblock connect block recv recv",
    "nonblock connect dup word ready error",
    "nonblock connect fork word ready error",
    "nonblock connect pass word ready error",
    "restart alarm later connect",
    "ring later ring-connect ring-send ring-recv",
    "ring forced later ring-connect",
];

/// The scripts' signals have come by then.
const SIGNALS: Duration = Duration::from_millis(300);

/// Begins all scripts; when each has come to its word, `then` is done and they go on to their end.
fn together<T>(
    scripts: &[&str],
    then: impl FnOnce() -> Checked<T>,
) -> Checked<(Vec<Vec<String>>, T)> {
    let start = |script: &&str| Actor::start(&format!("script {SERVER} {script}"));
    let mut actors: Vec<Actor> = scripts.iter().map(start).collect::<Checked<_>>()?;
    let mut told: Vec<Vec<String>> = actors
        .iter()
        .map(|actor| actor.lines_to(&["word", "later"]))
        .collect::<Checked<_>>()?;
    let made = then()?;
    for (actor, lines) in actors.iter_mut().zip(&mut told) {
        if lines.last().is_some_and(|line| line == "word") {
            actor.go_on()?;
        }
        lines.extend(actor.lines_to(&["end"])?);
    }
    Ok((told, made))
}

/// Whether all of two plays is the same, or where it is not.
fn same(scripts: &[&str], slow: &[Vec<String>], ours: &[Vec<String>]) -> Checked<()> {
    let mut others = Vec::new();
    for ((script, slow), ours) in scripts.iter().zip(slow).zip(ours) {
        if slow != ours {
            let differ = |(slow, ours): (&String, &String)| {
                (slow != ours).then(|| format!("{slow:?} is {ours:?}"))
            };
            let differences: Vec<String> = slow.iter().zip(ours).filter_map(differ).collect();
            others.push(format!("in <{script}> {}", differences.join(", ")));
        }
    }
    ensure(others.is_empty(), || {
        format!("a slow network looks otherwise: {}", others.join("; "))
    })
}

/// The kernel has io_uring, or the scripts that want it say that it has not.
fn without(told: &[Vec<String>]) -> String {
    let lacks = |line: &String| line.starts_with("ring ") && line != "ring ok";
    match told.iter().flatten().find(|line| lacks(line)) {
        Some(line) => format!("no io_uring on this kernel: {line}"),
        None => String::new(),
    }
}

/// A play without the module, and one with it, whose server is as quick as can be.
fn like_a_slow_network(
    scripts: &[&str],
    end: &str,
    rule: impl Fn(&Seen) -> Option<Decision<'static>> + Send + 'static,
) -> Checked<Vec<Vec<String>>> {
    net::bring_up_loopback()?;
    let mut slow = Actor::start(&format!("echo-slow {SERVER} {end}"))?;
    slow.says("listening")?;
    let (reference, ()) = together(scripts, || slow.go_on())?;
    drop(slow);

    load(Mode::Enforce, LONG_MS)?;
    let server = echo(SERVER)?;
    let (told, decider) = together(scripts, || {
        sleep(SIGNALS);
        // So that another play is asked about again.
        Decider::keeping(Keep::Never, rule)
    })?;
    let seen = decider.stop()?;
    let asked = seen.iter().filter(|one| connects_to(one, SERVER)).count();
    ensure(asked >= scripts.len() / 2, || {
        format!("{asked} of {} scripts were asked about", scripts.len())
    })?;
    drop(server);
    same(scripts, &reference, &told)?;
    Ok(reference)
}

/// Another play, in front of a server that is slow as well: after the verdict the SYN is lost at
/// first. Of those scripts that wait in ways of their own.
fn and_a_slow_network(scripts: &[&str], reference: &[Vec<String>]) -> Checked<()> {
    const OWN: [&str; 4] = ["ring", "watch", "alarm", "bulk"];
    let waits = |(script, _): &(&str, Vec<String>)| OWN.iter().any(|own| script.contains(own));
    let both = scripts.iter().copied().zip(reference.iter().cloned());
    let (scripts, reference): (Vec<&str>, Vec<Vec<String>>) = both.filter(waits).unzip();
    intercept::configure(Mode::Off, LONG_MS)?;
    let mut slow = Actor::start(&format!("echo-slow {SERVER} accept"))?;
    slow.says("listening")?;
    intercept::configure(Mode::Enforce, LONG_MS)?;
    let (told, decider) = together(&scripts, || {
        sleep(SIGNALS);
        let decider = Decider::keeping(Keep::Never, everything)?;
        decider.await_seen(scripts.len() / 2)?;
        sleep(SIGNALS);
        slow.go_on()?;
        Ok(decider)
    })?;
    decider.stop()?;
    same(&scripts, &reference, &told)
}

fn waits_allowed(_: &mut Report) -> Checked<String> {
    let reference = like_a_slow_network(ALLOWED, "accept", everything)?;
    and_a_slow_network(ALLOWED, &reference)?;
    unload_soon()?;
    Ok(without(&reference))
}

fn waits_denied(_: &mut Report) -> Checked<String> {
    let reference = like_a_slow_network(DENIED, "refuse", |seen| {
        let deny = connects_to(seen, SERVER);
        Some(if deny {
            Decision::Deny
        } else {
            Decision::Plain
        })
    })?;
    unload_soon()?;
    Ok(without(&reference))
}

/// Processes that end while they wait, in whichever way, leave nothing behind.
fn waits_and_ends(_: &mut Report) -> Checked<String> {
    const SCRIPTS: [&str; 8] = [
        "later connect",
        "nonblock connect word",
        "nonblock watch connect word",
        "later fork connect",
        "nonblock connect pass word",
        "nonblock connect hide word",
        "ring later ring-connect",
        "ring forced later ring-connect",
    ];
    begin(Mode::Enforce, LONG_MS)?;
    let start = |script: &&str| Actor::start(&format!("script {SERVER} {script}"));
    let actors: Vec<Actor> = SCRIPTS.iter().map(start).collect::<Checked<_>>()?;
    for actor in &actors {
        actor.lines_to(&["word", "later"])?;
    }
    let began = Instant::now();
    while intercept::table()?.len() < SCRIPTS.len() {
        ensure(began.elapsed() < Duration::from_secs(10), || {
            "not every script has a socket in the table".into()
        })?;
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_millis(100));
    drop(actors);
    // Descriptors in flight, and those of a ring, are let go of a moment later.
    let began = Instant::now();
    loop {
        let left = intercept::table()?;
        if left.is_empty() {
            break;
        }
        if began.elapsed() > Duration::from_secs(10) {
            return Err(Failure::LeakedReference(format!("{left:?}")));
        }
        sleep(Duration::from_millis(20));
    }
    unload_soon()?;
    Ok(String::new())
}
