// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.tracing`: what docs/tracing.md tells people to type.

use tidelock_wire::{Decision, Mode};

use super::{MIDDLE, Report, Test, child};
use crate::{
    failure::{Checked, ensure},
    intercept::{self, Actor, Decider, configure},
    userland::{TRACING, Userland},
};

pub(super) const TESTS: &[Test] = &[child("policy.tracing", MIDDLE, tracing)];

const DOCUMENT: &str = include_str!("../../../../docs/tracing.md");
const SERVER: &str = "127.0.0.1:7001";
/// One that is let in, one that is denied and one that nobody answers.
const VISITS: &str =
    "for port in 7001 7002 7003; do /usr/bin/nc.openbsd -z 127.0.0.1 $port; done; exit 0";
/// What the lines of the document have to say of them.
const SAID: [&str; 6] = [
    "to port 7002, reason 0x7\n",
    "@verdicts[nc.openbsd, 1, 2]: 1\n",
    "@verdicts[nc.openbsd, 1, 1]: 2\n",
    "@accepted[7001]: 1\n",
    "@unanswered[nc.openbsd]: 1\n",
    "@waited_us:",
];

/// The programs that the document shows, as one.
fn programs(document: &str) -> String {
    document
        .split("```bpftrace\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

fn tracing(_: &mut Report) -> Checked<String> {
    let program = programs(DOCUMENT);
    let shown = program.lines().count();
    let userland = Userland::enter_with(&[TRACING])?;
    intercept::begin()?;
    configure(Mode::Enforce, 500)?;
    let decider = Decider::start(|seen| match seen.remote.port() {
        7002 => Some(Decision::Deny),
        7003 => None,
        _ => Some(Decision::Plain),
    })?;
    let server = Actor::start(&format!("serve {SERVER}"))?;
    server.says("listening")?;
    userland.write("/tmp/visits", VISITS.as_bytes())?;
    let said = userland
        .program("/usr/bin/bpftrace")
        .args(["-q", "-e", &program, "-c"])
        .args(["/bin/bash /tmp/visits"])
        .run()?
        .ok()?
        .text();
    for expected in SAID {
        ensure(format!("{said}\n").contains(expected), || {
            format!("bpftrace told {said:?}, and not {expected:?}")
        })?;
    }
    decider.stop()?;
    drop(server);
    userland.leave()?;
    Ok(format!("{shown} programs of docs/tracing.md"))
}
