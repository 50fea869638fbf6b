// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `daemon.`: the daemon itself and its command line, with the module itself.

mod attests;
mod crowd;
mod decides;
mod policies;
mod running;
mod signs;
mod upheaval;

use std::{fs, thread::sleep, time::Duration};

use self::running::Daemon;
use super::{LONG, MIDDLE, Report, Test, child};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::Actor,
    module,
    userland::{OWN_PROGRAMS, Output, Userland},
};

pub(super) const TESTS: &[Test] = &[
    child("daemon.decides", MIDDLE, decides::decides).with_programs(),
    child("daemon.attests", MIDDLE, attests::attests).with_programs(),
    child("daemon.signs", MIDDLE, signs::signs).with_programs(),
    child("daemon.policies", MIDDLE, policies::policies).with_programs(),
    child("daemon.upheaval", LONG, upheaval::upheaval).with_programs(),
    child("daemon.crowd", LONG, crowd::crowd).with_programs(),
];

/// What the tests allow, and what they do not.
const ALLOWED: &str = "127.0.0.1:7001";
const DENIED: &str = "127.0.0.1:7002";
const CONFIG: &str = "/etc/tidelock/tidelockd.toml";
const AUDIT: &str = "/var/log/tidelock/audit.jsonl";
const POLICY: &str = "/srv/policy";
/// Whoever connects to the first address may, and is asked about each time.
const BY_PORT: &str = r#"package tidelock
default decision := {"mode": "deny", "reason": "not listed", "ttl_seconds": 0}
decision := {"mode": "plain", "reason": "it serves", "ttl_seconds": 600} if input.direction == "accept"
decision := {"mode": "plain", "reason": "port 7001", "ttl_seconds": 0, "spiffe_id": "spiffe://example.org/guest"} if {
	input.direction == "connect"
	input.remote.port == 7001
}
"#;
/// How long something may take that comes by itself, on a busy host.
const TRIES: u32 = 600;
const POLL: Duration = Duration::from_millis(50);
/// How long hundreds of connections may take.
const SLOW: Duration = Duration::from_mins(2);

/// The userland, with the module and a server at both addresses.
fn begin() -> Checked<(Userland, Actor)> {
    let userland = Userland::enter()?;
    module::load()?;
    // Of all addresses of the loopback, so that one server has many purposes.
    let server = Actor::start("echo 0.0.0.0:7001 0.0.0.0:7002")?;
    server.says("listening")?;
    Ok((userland, server))
}

fn end(userland: Userland) -> Checked<()> {
    userland.leave()?;
    module::unload()
}

/// Writes a policy into a folder.
fn write_policy(userland: &Userland, folder: &str, rules: &str) -> Checked<()> {
    let name = folder.rsplit('/').next().unwrap_or_default();
    let manifest = format!("{{\"revision\": \"{name}\", \"roots\": [\"tidelock\"]}}");
    userland.write(&format!("{folder}/.manifest"), manifest)?;
    userland.write(&format!("{folder}/tidelock/decision.rego"), rules)
}

/// Writes the configuration: a policy in `POLICY`, `enforce`, and this deadline.
fn configure(userland: &Userland, deadline_ms: u32) -> Checked<()> {
    userland.write(
        CONFIG,
        format!(
            "mode = 'enforce'\ndeadline-ms = {deadline_ms}\n[policy]\nbundle = '{POLICY}'\n\
             [audit]\nburst = 100000\n"
        ),
    )
}

/// Runs `tidelockctl` to its end, whatever that is.
fn ask(userland: &Userland, words: &[&str]) -> Checked<Output> {
    userland
        .program(&format!("{OWN_PROGRAMS}/tidelockctl"))
        .args(words)
        .run()
}

/// What `tidelockctl` says, which must be good, and hold all of these.
fn told(userland: &Userland, words: &[&str], parts: &[&str]) -> Checked<String> {
    let text = ask(userland, words)?.ok()?.text();
    holds(&format!("tidelockctl {}", words.join(" ")), &text, parts)?;
    Ok(text)
}

fn holds(what: &str, text: &str, parts: &[&str]) -> Checked<()> {
    let missing = parts.iter().find(|part| !text.contains(**part));
    ensure(missing.is_none(), || {
        format!("{what} does not tell {missing:?}: {text}")
    })
}

/// The first number of this name in a text of JSON.
fn number(text: &str, name: &str) -> Option<usize> {
    let (_, rest) = text.split_once(&format!("\"{name}\":"))?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
    rest[..end].parse().ok()
}

/// The code that `tidelockctl` must end with, and what it must say of why.
fn fails(userland: &Userland, words: &[&str], code: i32, part: &str) -> Checked<()> {
    let output = ask(userland, words)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &output.text();
    ensure(
        output.status.code() == Some(code) && said.contains(part),
        || {
            format!(
                "{} was to end with {code} and {part:?}: {}, {said}",
                output.what, output.status
            )
        },
    )
}

/// Waits until a line of the audit holds all of these.
fn audited(parts: &[&str]) -> Checked<String> {
    let mut text = String::new();
    for _ in 0..TRIES {
        text = fs::read_to_string(AUDIT).unwrap_or_default();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        if let Some(line) = text.lines().find(has_all) {
            return Ok(line.to_owned());
        }
        sleep(POLL);
    }
    Err(Failure::Assertion(format!(
        "no line of the audit has {parts:?}: {text}"
    )))
}

/// A failure, with the first error that the audit tells of.
fn because(failure: &str) -> Failure {
    // It is written a moment after the answer is given.
    sleep(POLL * 20);
    let audit = fs::read_to_string(AUDIT).unwrap_or_default();
    let bad = |line: &&str| line.contains(r#""event":"error""#);
    let line = audit.lines().find(bad).unwrap_or("no error");
    Failure::Assertion(format!("{failure}; in the audit: {line}"))
}

const MESSAGE: &str = "12345678";

/// What a netcat comes to that sends a message to the server.
fn netcat(userland: &Userland, program: &str, address: &str) -> Checked<Output> {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    userland
        .program(program)
        .args(["-v", "-N", host, port])
        .input(MESSAGE)
        .run()
}

/// The real path of the program.
const NETCAT: &str = "/usr/bin/nc.openbsd";

fn is_let_in(userland: &Userland, program: &str, address: &str) -> Checked<()> {
    let got = netcat(userland, program, address)?.ok()?;
    ensure(got.text() == MESSAGE, || {
        format!("{} got {:?}", got.what, got.text())
    })
}

/// As by nobody who listens.
fn is_refused(userland: &Userland, program: &str, address: &str) -> Checked<()> {
    let got = netcat(userland, program, address)?;
    let said = String::from_utf8_lossy(&got.stderr).into_owned();
    ensure(
        !got.status.success() && said.contains("Connection refused"),
        || format!("{} was to be refused: {}, {said:?}", got.what, got.status),
    )
}

/// Of an actor that has hundreds of connections to make.
fn comes_to(actor: &Actor, expected: &str) -> Checked<()> {
    let line = actor.line_within(SLOW)?;
    ensure(line == expected, || {
        format!("connections came to {line:?}, not {expected:?}")
    })
}

/// How many connections the server has accepted at its addresses.
fn accepted(server: &mut Actor) -> Checked<String> {
    server.tell("")?;
    let line = server.line()?;
    let counts = line.strip_prefix("accepted ");
    counts
        .map(str::to_owned)
        .ok_or_else(|| Failure::Assertion(format!("the server said {line:?}")))
}
