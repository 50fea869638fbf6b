// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Without a configuration and with one: what is allowed works, what is not is refused, and what
//! there is to know of it is told. Without a daemon nothing opens.

use std::thread::sleep;

use rustix::process::Signal;

use super::{
    ALLOWED, BY_PORT, Checked, DENIED, Daemon, Failure, NETCAT, POLICY, POLL, Report, TRIES,
    Userland, accepted, ask, audited, begin, configure, end, fails, is_let_in, is_refused, told,
    write_policy,
};
use crate::{failure::ensure, intercept::Actor};

pub(super) fn decides(_: &mut Report) -> Checked<String> {
    let (userland, mut server) = begin()?;
    // Nothing is in force before a daemon has spoken.
    is_let_in(&userland, NETCAT, ALLOWED)?;
    unconfigured(&userland)?;
    configure(&userland, 20_000)?;
    write_policy(&userland, POLICY, BY_PORT)?;
    let mut daemon = Daemon::serving(&userland)?;
    configured(&userland)?;
    shown(&userland, &server)?;
    modes(&userland)?;
    let before = accepted(&mut server)?;
    ensure(before == "3 1", || {
        format!("3 and, while nobody was refused, 1 were to come in: {before}")
    })?;
    shorten(&userland, &mut daemon)?;
    daemon.kill()?;
    is_refused(&userland, NETCAT, ALLOWED)?;
    fails(&userland, &["status"], 3, "is it running?")?;
    ensure(accepted(&mut server)? == before, || {
        "somebody came in without a daemon".into()
    })?;
    // Enough for a busy host: what is let in is not to be a matter of time.
    configure(&userland, 20_000)?;
    let daemon = Daemon::serving(&userland)?;
    is_let_in(&userland, NETCAT, ALLOWED)?;
    daemon.stop()?;
    drop(server);
    end(userland)?;
    Ok(String::new())
}

/// The policy that is built in denies, and `enforce` is in force.
fn unconfigured(userland: &Userland) -> Checked<()> {
    let daemon = Daemon::serving(userland)?;
    told(
        userland,
        &["status", "--json"],
        &[
            r#""mode":"enforce","source":"built-in","kernel":"enforce""#,
            r#""source":"built in""#,
            r#""state":"serving""#,
        ],
    )?;
    is_refused(userland, NETCAT, ALLOWED)?;
    audited(&[
        r#""event":"denied""#,
        r#""direction":"connect""#,
        r#""remote":"127.0.0.1:7001""#,
        r#""exe":"/usr/bin/nc.openbsd""#,
        r#""reason":"no rule allows this connection""#,
    ])?;
    daemon.stop()
}

fn configured(userland: &Userland) -> Checked<()> {
    is_let_in(userland, NETCAT, ALLOWED)?;
    audited(&[
        r#""event":"allowed""#,
        r#""direction":"connect""#,
        r#""decision":"plain""#,
        r#""reason":"port 7001""#,
        r#""spiffe_id":"spiffe://example.org/guest""#,
        r#""policy":"policy""#,
    ])?;
    audited(&[
        r#""event":"allowed""#,
        r#""direction":"accept""#,
        r#""exe":"/init""#,
    ])?;
    is_refused(userland, NETCAT, DENIED)?;
    audited(&[
        r#""event":"denied""#,
        r#""remote":"127.0.0.1:7002""#,
        r#""decision":"deny""#,
        r#""reason":"not listed""#,
    ])?;
    let parts = [
        r#""count":1,"who":"/usr/bin/nc.openbsd","uid":0,"direction":"connect","remote":"127.0.0.1:7002","reason":"not listed""#,
    ];
    told(userland, &["top", "--json"], &parts)?;
    told(
        userland,
        &["status", "--json"],
        &[r#""source":"configuration""#, r#""trouble":null"#],
    )?;
    told(userland, &["status"], &["answering the kernel"]).map(drop)
}

/// One connection, while it is open.
fn shown(userland: &Userland, server: &Actor) -> Checked<()> {
    let client = Actor::start(&format!("keep {ALLOWED} 1 1"))?;
    client.says("open ok=1")?;
    let parts = [
        r#""direction":"connect","state":"decided","decision":"plain""#,
        r#""reason_text":"port 7001""#,
        r#""direction":"accept","state":"decided","decision":"plain""#,
        r#""reason_text":"it serves""#,
        r#""state":"listening""#,
        r#""remote":"127.0.0.1:7001""#,
    ];
    told(userland, &["connections", "--json"], &parts)?;
    told(userland, &["connections"], &["port 7001", "listening"])?;
    let pid = client.pid().to_string();
    let parts = [
        r#""mode":"plain","reason":"port 7001","spiffe_id":"spiffe://example.org/guest""#,
        r#""exe":"/init""#,
    ];
    told(userland, &["explain", &pid, ALLOWED, "--json"], &parts)?;
    let denied = ["explain", &pid, DENIED, "--json"];
    fails(
        userland,
        &denied,
        1,
        r#""mode":"deny","reason":"not listed""#,
    )?;
    let server = server.pid().to_string();
    let accept = ["explain", &server, "127.0.0.1:1", "--accept"];
    told(userland, &accept, &["it serves"]).map(drop)
}

/// In `permissive` nobody is refused; afterwards it is as it was.
fn modes(userland: &Userland) -> Checked<()> {
    let shown = |mode, source| format!(r#""mode":"{mode}","source":"{source}","kernel":"{mode}""#);
    let permissive = shown("permissive", "administrator");
    told(userland, &["mode", "permissive", "--json"], &[&permissive])?;
    is_let_in(userland, NETCAT, DENIED)?;
    let enforce = shown("enforce", "configuration");
    told(userland, &["mode", "configured", "--json"], &[&enforce])?;
    told(userland, &["mode", "--json"], &[&enforce])?;
    is_refused(userland, NETCAT, DENIED)
}

/// A short deadline, by reading the configuration again.
fn shorten(userland: &Userland, daemon: &mut Daemon) -> Checked<()> {
    configure(userland, 300)?;
    daemon.signal(Signal::HUP)?;
    for _ in 0..TRIES {
        if ask(userland, &["status", "--json"])?
            .text()
            .contains(r#""deadline_ms":300"#)
        {
            return Ok(());
        }
        sleep(POLL);
    }
    Err(Failure::Assertion("the deadline stays as it was".into()))
}
