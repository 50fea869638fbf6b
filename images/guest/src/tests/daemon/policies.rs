// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The policy is changed under load: what was kept by the old one counts for nothing, and a
//! policy that is none changes nothing.

use super::{
    ALLOWED, Checked, Daemon, Failure, POLICY, Report, SLOW, Userland, begin, comes_to, configure,
    end, fails, number, told, write_policy,
};
use crate::{failure::ensure, intercept::Actor};

/// Verdicts of this are kept.
fn rules(mode: &str, reason: &str) -> String {
    format!(
        "package tidelock\n\
         default decision := {{\"mode\": \"{mode}\", \"reason\": \"{reason}\", \"ttl_seconds\": 600}}\n"
    )
}

const CLOSED: &str = "/srv/closed";
const BROKEN: &str = "/srv/broken";
const FAILING: &str = "/srv/failing";
/// Connections of each round.
const ROUND: usize = 60;

pub(super) fn policies(_: &mut Report) -> Checked<String> {
    let (userland, server) = begin()?;
    write_policy(&userland, POLICY, &rules("plain", "all may"))?;
    write_policy(&userland, CLOSED, &rules("deny", "nobody may"))?;
    write_policy(&userland, BROKEN, "package tidelock\ndecision := {\n")?;
    let failing = rules("plain", "all may") + "test_it if decision.mode == \"deny\"\n";
    write_policy(&userland, FAILING, &failing)?;
    configure(&userland, 20_000)?;
    let daemon = Daemon::serving(&userland)?;
    let mut herd = Actor::start(&format!("herd {ALLOWED} 5"))?;
    come_to(&userland, &mut herd, "ok")?;
    let first = generation(&userland)?;

    for _ in 0..2 {
        under_load(&userland, &mut herd, &["policy", "activate", CLOSED])?;
        // Each was let in before, and the verdicts are kept for long.
        come_to(&userland, &mut herd, "CONNREFUSED")?;
        under_load(&userland, &mut herd, &["policy", "rollback"])?;
        come_to(&userland, &mut herd, "ok")?;
    }

    let last = generation(&userland)?;
    ensure(first != last, || "the generation stays as it was".into())?;
    for (folder, why) in [(BROKEN, "not valid Rego"), (FAILING, "tests fail")] {
        fails(&userland, &["policy", "activate", folder], 3, why)?;
        come_to(&userland, &mut herd, "ok")?;
    }
    ensure(generation(&userland)? == last, || {
        "a policy that is none was counted".into()
    })?;
    // Over a restart too, and with the configured folder broken.
    daemon.stop()?;
    write_policy(&userland, POLICY, "package tidelock\ndecision := {\n")?;
    let daemon = Daemon::serving(&userland)?;
    fails(&userland, &["status"], 1, "is not taken")?;
    come_to(&userland, &mut herd, "ok")?;
    daemon.stop()?;
    drop((server, herd));
    end(userland)?;
    Ok(String::new())
}

/// A round that all comes to this.
fn come_to(userland: &Userland, herd: &mut Actor, outcome: &str) -> Checked<()> {
    herd.tell(&format!("go {ROUND}"))?;
    let came = comes_to(herd, &format!("{outcome}={ROUND}"));
    came.or_else(|failure| {
        let status = super::ask(userland, &["status", "--json"])?.text();
        Err(Failure::Assertion(format!("{failure}; {status}")))
    })
}

/// Changes something while connections are made; each of these is let in or refused.
fn under_load(userland: &Userland, herd: &mut Actor, words: &[&str]) -> Checked<()> {
    herd.tell(&format!("go {}", ROUND * 4))?;
    told(userland, words, &[])?;
    let line = herd.line_within(SLOW)?;
    // Reset: its own end was let in before the change, and the server's was not after it.
    let outcomes = ["ok=", "CONNREFUSED=", "CONNRESET="];
    let only = line
        .split(' ')
        .all(|part| outcomes.iter().any(|outcome| part.starts_with(outcome)));
    ensure(only, || {
        format!("under a change of policy connections came to {line:?}")
    })
}

/// The generation that the kernel says is in force.
fn generation(userland: &Userland) -> Checked<usize> {
    let text = super::ask(userland, &["status", "--json"])?.ok()?.text();
    let (_, kernel) = text.split_once(r#""kernel":{"#).unwrap_or_default();
    number(kernel, "generation")
        .ok_or_else(|| Failure::Assertion(format!("no generation in {text}")))
}
