// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that policy wants mTLS of has an SVID of the daemon's authority, and its key is gone
//! with it. Who connects speaks no TLS and is reset.

use super::{
    ALLOWED, CONFIG, Checked, Daemon, POLICY, Report, Userland, audited, begin, end, told,
    write_policy,
};
use crate::{
    failure::ensure,
    intercept::{Actor, Line, await_svids},
};

const ID: &str = "spiffe://example.org/server";
/// Who accepts does so by mTLS.
const RULES: &str = r#"package tidelock
default decision := {"mode": "deny", "reason": "not listed", "ttl_seconds": 0}
decision := {"mode": "plain", "reason": "it visits", "ttl_seconds": 0} if input.direction == "connect"
decision := {
	"mode": "mtls", "reason": "it serves", "ttl_seconds": 600,
	"spiffe_id": "spiffe://example.org/server", "peers": ["spiffe://example.org/*"],
} if input.direction == "accept"
"#;

fn configure(userland: &Userland) -> Checked<()> {
    userland.write(
        CONFIG,
        format!(
            "mode = 'enforce'\ndeadline-ms = 20000\n[policy]\nbundle = '{POLICY}'\n\
             [svid]\ntrust-domain = 'example.org'\n"
        ),
    )
}

pub(super) fn signs(_: &mut Report) -> Checked<String> {
    let (userland, server) = begin()?;
    configure(&userland)?;
    write_policy(&userland, POLICY, RULES)?;
    let daemon = Daemon::serving(&userland)?;
    Actor::start(&format!("knock {ALLOWED} 1"))?.says("CONNRESET")?;
    let lines = await_svids(
        "one that is held",
        |lines| matches!(lines, [line] if line.state == "held"),
    )?;
    ensure(
        matches!(lines.as_slice(), [Line { id, issued: 1, tgid, .. }]
            if id == ID && *tgid == server.pid()),
        || format!("{ID} is held for another than {}: {lines:?}", server.pid()),
    )?;
    audited(&[
        r#""event":"issued""#,
        r#""direction":"accept""#,
        r#""spiffe_id":"spiffe://example.org/server""#,
        r#""svid_serial":""#,
    ])?;
    told(&userland, &["status", "--json"], &[r#""authority""#])?;
    drop(server);
    await_svids("none", <[Line]>::is_empty)?;
    daemon.stop()?;
    end(userland)?;
    Ok(String::new())
}
