// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `svid.`: keys that the module makes for processes, and what becomes of them. Who connects here
//! speaks no TLS: the handshake is another's matter.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};
use tidelock_wire::{Mode, Scope};

use super::{LONG, Report, SHORT, Test, child, shared};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{self, Actor, Line, Registrar, Wanted, await_svids, svids},
    module, procfs,
    userland::net,
};

pub(super) const TESTS: &[Test] = &[
    shared("svid.issued", SHORT, issued),
    shared("svid.renewed", SHORT, renewed),
    shared("svid.expired", SHORT, expired),
    shared("svid.refused", SHORT, refused),
    shared("svid.of_another", SHORT, of_another),
    shared("svid.unanswered", SHORT, unanswered),
    shared("svid.asked_anew", SHORT, asked_anew),
    shared("svid.of_a_workload", SHORT, of_a_workload),
    child("svid.clock_set_back", SHORT, clock_set_back),
    child("svid.crowd", LONG, crowd),
];

const SERVER: &str = "127.0.0.1:7001";
const OTHER: &str = "127.0.0.1:7002";
const OWN: &str = "spiffe://a.test/server";
const HOUR: Duration = Duration::from_hours(1);
/// For tests in which nobody is to run out of time.
const LONG_MS: u32 = 30_000;
/// Nothing comes within this.
const SILENCE: Duration = Duration::from_millis(500);
/// `TDL_REASON_TIMEOUT`, `TDL_REASON_NO_SVID`.
const TIMEOUT: &str = "0xffff0001";
const NO_SVID: &str = "0xffff000a";

/// What the core has allocated, in bytes.
fn memory() -> Checked<String> {
    procfs::read("/sys/class/misc/tidelock/engine/memory_bytes")
}

fn begin(deadline_ms: u32, scope: Scope) -> Checked<Registrar> {
    net::bring_up_loopback()?;
    module::load()?;
    intercept::configure(Mode::Enforce, deadline_ms)?;
    Registrar::start(OWN, scope)
}

fn server(address: &str) -> Checked<Actor> {
    let actor = Actor::start(&format!("serve {address}"))?;
    actor.says("listening")?;
    Ok(actor)
}

/// Has somebody connect, who speaks no TLS and is reset for it.
fn knock(address: &str) -> Checked<Actor> {
    Actor::start(&format!("knock {address} 1"))
}

/// The same, and no key wants to be certified for it.
fn visit(registrar: &Registrar, address: &str) -> Checked<()> {
    let client = knock(address)?;
    let wanted = registrar.wanted_within(SILENCE)?;
    ensure(wanted.is_none(), || format!("{wanted:?} is wanted again"))?;
    client.says("CONNRESET")
}

/// A server whose key wants to be certified.
fn wanted(registrar: &Registrar, address: &str) -> Checked<(Actor, Wanted)> {
    let server = server(address)?;
    // Who connects goes away: nobody waits for the SVID.
    let _client = knock(address)?;
    let wanted = registrar.wanted()?;
    ensure(wanted.tgid == server.pid(), || {
        format!("process {} has the key, not {wanted:?}", server.pid())
    })?;
    Ok((server, wanted))
}

/// One that has its SVID for so long.
fn certified(registrar: &Registrar, address: &str, lifetime: Duration) -> Checked<Actor> {
    let (server, wanted) = wanted(registrar, address)?;
    registrar.issue(&wanted, lifetime)?;
    held(&server, 1)?;
    Ok(server)
}

fn held(server: &Actor, times: u32) -> Checked<()> {
    let expected = Line {
        id: OWN.into(),
        scope: "process".into(),
        state: "held".into(),
        reason: "0x0".into(),
        issued: times,
        tgid: server.pid(),
    };
    await_svids("one that is held", |lines| lines == [expected.clone()]).map(drop)
}

fn state(what: &str, reason: &str) -> Checked<Vec<Line>> {
    await_svids(
        what,
        |lines| matches!(lines, [line] if line.state == what && line.reason == reason),
    )
}

/// Loads the module, and has it hold an SVID for somebody: for as long as that lives.
pub(super) fn somebody() -> Checked<Actor> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    certified(&registrar, SERVER, HOUR)
}

/// Nobody is left, and nothing.
fn gone(before: &str) -> Checked<()> {
    await_svids("none", <[Line]>::is_empty)?;
    let mut after = memory()?;
    // The last is buried by the engine a moment after it is out of the table.
    for _ in 0..100 {
        if after == before {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
        after = memory()?;
    }
    ensure(after == before, || {
        format!(
            "the core holds {} bytes, {} before",
            after.trim(),
            before.trim()
        )
    })
}

fn issued(report: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let server = certified(&registrar, SERVER, HOUR)?;
    report.note("core_bytes_per_svid", memory()?.trim())?;
    // It has one: nobody is asked again.
    visit(&registrar, SERVER)?;
    held(&server, 1)?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

fn renewed(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let (server, first) = wanted(&registrar, SERVER)?;
    registrar.issue(&first, Duration::from_secs(4))?;
    // Nobody connects: it is asked for by itself, for another key.
    let second = registrar.wanted()?;
    ensure(
        second.tgid == first.tgid && second.number != first.number && second.csr != first.csr,
        || "the second request is the first".into(),
    )?;
    registrar.issue(&second, HOUR)?;
    held(&server, 2)?;
    // The first key is not certified twice.
    registrar.issue(&first, HOUR)?;
    let late = registrar.late()?;
    ensure(late == 1, || format!("{late} SVIDs were for nobody, not 1"))?;
    held(&server, 2)?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

fn expired(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let server = certified(&registrar, SERVER, Duration::from_secs(3))?;
    // It is to be renewed, and nobody answers.
    registrar.wanted()?;
    await_svids(
        "one that has expired",
        |lines| matches!(lines, [line] if line.state == "wanted" && line.issued == 1),
    )?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

fn refused(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let (server, first) = wanted(&registrar, SERVER)?;
    registrar.refuse(&first, 0x29)?;
    state("refused", "0x29")?;
    // Not again at once; but when it is wanted later.
    let mut second = None;
    while second.is_none() {
        let _client = knock(SERVER)?;
        second = registrar.wanted_within(SILENCE)?;
    }
    let second = second.unwrap_or(first);
    registrar.issue(&second, HOUR)?;
    await_svids(
        "one that is held",
        |lines| matches!(lines, [line] if line.state == "held" && line.issued == 1),
    )?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

fn of_another(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let (server, first) = wanted(&registrar, SERVER)?;
    registrar.certify(&first, "spiffe://a.test/client", HOUR)?;
    state("refused", NO_SVID)?;
    drop(server);
    gone(&before)?;
    // For another process's key.
    let (one, first) = wanted(&registrar, SERVER)?;
    let (other, mut second) = wanted(&registrar, OTHER)?;
    second.csr.clone_from(&first.csr);
    registrar.issue(&second, HOUR)?;
    await_svids("one that is refused", |lines| {
        let of = |state| move |line: &&Line| line.state == state;
        lines.len() == 2
            && lines
                .iter()
                .filter(of("refused"))
                .all(|line| line.tgid == other.pid())
            && lines
                .iter()
                .filter(of("wanted"))
                .all(|line| line.tgid == one.pid())
    })?;
    drop((one, other));
    gone(&before)?;
    Ok(String::new())
}

fn unanswered(_: &mut Report) -> Checked<String> {
    let registrar = begin(300, Scope::Process)?;
    let before = memory()?;
    let (server, first) = wanted(&registrar, SERVER)?;
    state("refused", TIMEOUT)?;
    // Too late.
    registrar.issue(&first, HOUR)?;
    let late = registrar.late()?;
    ensure(late == 1, || format!("{late} SVIDs were for nobody, not 1"))?;
    state("refused", TIMEOUT)?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

/// A daemon that has just come is asked for another key than the one before.
fn asked_anew(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    let (server, first) = wanted(&registrar, SERVER)?;
    let registrar = registrar.again()?;
    let second = registrar.wanted()?;
    ensure(
        second.tgid == first.tgid && second.number != first.number && second.csr != first.csr,
        || "the second request is the first".into(),
    )?;
    registrar.issue(&first, HOUR)?;
    let late = registrar.late()?;
    ensure(late == 1, || format!("{late} SVIDs were for nobody, not 1"))?;
    registrar.issue(&second, HOUR)?;
    held(&server, 1)?;
    // What it has it keeps.
    let registrar = registrar.again()?;
    let third = registrar.wanted_within(SILENCE)?;
    ensure(third.is_none(), || format!("{third:?} is wanted again"))?;
    held(&server, 1)?;
    drop(server);
    gone(&before)?;
    Ok(String::new())
}

fn of_a_workload(_: &mut Report) -> Checked<String> {
    let mut registrar = begin(LONG_MS, Scope::Workload)?;
    let (one, first) = wanted(&registrar, SERVER)?;
    registrar.issue(&first, HOUR)?;
    await_svids(
        "one of a workload",
        |lines| matches!(lines, [line] if line.state == "held" && line.scope == "workload"),
    )?;
    // Another process of the same workload has it already.
    let other = server(OTHER)?;
    visit(&registrar, OTHER)?;
    // And still when the one before has ended.
    drop(one);
    visit(&registrar, OTHER)?;
    // But not under another name.
    registrar.rename("spiffe://a.test/other");
    let _client = knock(OTHER)?;
    let second = registrar.wanted()?;
    ensure(second.tgid == other.pid(), || format!("{second:?}"))?;
    Ok(String::new())
}

/// By a clock that was set back an SVID may not be valid yet: there is another soon.
fn clock_set_back(_: &mut Report) -> Checked<String> {
    let registrar = begin(LONG_MS, Scope::Process)?;
    let server = certified(&registrar, SERVER, HOUR)?;
    let now = clock_gettime(ClockId::Realtime);
    let before = Timespec {
        tv_sec: now.tv_sec - 7200,
        ..now
    };
    let set =
        |time| clock_settime(ClockId::Realtime, time).map_err(Failure::system("set the clock"));
    set(before)?;
    let second = registrar.wanted()?;
    registrar.issue(&second, HOUR)?;
    let held = held(&server, 2);
    set(clock_of(now, before)?)?;
    held?;
    Ok(String::new())
}

/// What the clock would show had it not been set from `now` to `before`.
fn clock_of(now: Timespec, before: Timespec) -> Checked<Timespec> {
    let shown = clock_gettime(ClockId::Realtime);
    let passed = shown.tv_sec.checked_sub(before.tv_sec);
    let passed = passed.ok_or_else(|| Failure::Assertion("the clock went back".into()))?;
    Ok(Timespec {
        tv_sec: now.tv_sec + passed,
        tv_nsec: shown.tv_nsec,
    })
}

/// One process under more names than there is room for in its share: it makes room for itself.
fn crowd(report: &mut Report) -> Checked<String> {
    const NAMES: usize = 600;
    const ROOM: usize = 512;
    let mut registrar = begin(LONG_MS, Scope::Process)?;
    let before = memory()?;
    registrar.number_names();
    let server = server(SERVER)?;
    let client = Actor::start(&format!("knock {SERVER} {NAMES}"))?;
    while let Some(wanted) = registrar.wanted_within(SILENCE)? {
        registrar.refuse(&wanted, 1)?;
    }
    client.says("CONNRESET")?;
    let lines = svids()?;
    ensure(lines.len() == ROOM, || {
        format!("{} SVIDs are in a share of {ROOM}", lines.len())
    })?;
    let has = |number: usize| {
        let id = format!("{OWN}{number}");
        lines.iter().any(|line| line.id == id)
    };
    ensure(has(NAMES - 1) && !has(0), || {
        "the newest did not take the place of the oldest".into()
    })?;
    report.note("core_bytes_of_a_full_share", memory()?.trim())?;
    drop(server);
    gone(&before)?;
    Ok(format!("{ROOM} of {NAMES}"))
}
