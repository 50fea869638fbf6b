// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who a process is: its executable by what is in it, and not who has its number by now.

use std::fs;

use rustix::process::Signal;

use super::{
    ALLOWED, Checked, Daemon, Failure, NETCAT, POLICY, Report, audited, begin, configure, end,
    is_let_in, is_refused, write_policy,
};
use crate::{failure::ensure, intercept::Actor};

/// Where netcat lies once more.
const COPY: &str = "/srv/nc";
/// proc_sys_kernel(5): the next process gets the next number.
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";
/// Something else may start between.
const TRIES: u32 = 50;

pub(super) fn attests(_: &mut Report) -> Checked<String> {
    let (userland, server) = begin()?;
    let sum = userland.program("/usr/bin/sha256sum").args([NETCAT]);
    let digest = sum.run()?.ok()?.text();
    let digest = digest.split(' ').next().unwrap_or_default();
    let rules = format!(
        r#"package tidelock
default decision := {{"mode": "deny", "reason": "not listed", "ttl_seconds": 0}}
decision := {{"mode": "plain", "reason": "it serves", "ttl_seconds": 600}} if input.direction == "accept"
decision := {{"mode": "plain", "reason": "by digest", "ttl_seconds": 0}} if input.process.exe_sha256 == "{digest}"
decision := {{"mode": "plain", "reason": "by path", "ttl_seconds": 0}} if {{
	input.process.exe == "/init"
	input.direction == "connect"
}}
"#
    );
    write_policy(&userland, POLICY, &rules)?;
    configure(&userland, 20_000)?;
    let daemon = Daemon::serving(&userland)?;

    is_let_in(&userland, NETCAT, ALLOWED)?;
    let digest = format!(r#""exe_sha256":"{digest}""#);
    audited(&[&digest, r#""reason":"by digest""#])?;
    // The same file elsewhere, and then another one there.
    fs::copy(NETCAT, COPY).map_err(Failure::system(format!("copy {NETCAT}")))?;
    is_let_in(&userland, COPY, ALLOWED)?;
    let mut bytes = fs::read(COPY).map_err(Failure::system(format!("read {COPY}")))?;
    bytes.push(0);
    userland.write(COPY, &bytes)?;
    is_refused(&userland, COPY, ALLOWED)?;
    audited(&[r#""exe":"/srv/nc""#, r#""reason":"not listed""#])?;

    // By its path the one that asks would be let in.
    let visitor = Actor::start(&format!("herd {ALLOWED} 1"));
    let mut visitor = visitor?;
    visitor.tell("go 1")?;
    visitor.says("ok=1")?;
    reused(&userland, &daemon)?;
    daemon.stop()?;
    drop((server, visitor));
    end(userland)?;
    Ok(String::new())
}

/// A process asks and ends; when the daemon looks, another has its number.
fn reused(userland: &super::Userland, daemon: &Daemon) -> Checked<()> {
    daemon.signal(Signal::STOP)?;
    let mut gone = Actor::start(&format!("bequeath {ALLOWED}"))?;
    gone.says("INPROGRESS")?;
    let pid = gone.pid();
    gone.ended()?;
    let mut other = None;
    for _ in 0..TRIES {
        userland.write(LAST_PID, (pid - 1).to_string())?;
        // The same executable: the number and the start tell them apart, nothing else.
        let next = Actor::start(&format!("echo 127.0.0.1:{}", 8000 + pid % 1000))?;
        if next.pid() == pid {
            other = Some(next);
            break;
        }
    }
    let other = other.ok_or_else(|| {
        Failure::Assertion(format!("nobody got the number {pid} in {TRIES} tries"))
    })?;
    other.says("listening")?;
    daemon.signal(Signal::CONT)?;
    gone.says("CONNREFUSED")?;
    let line = audited(&[r#""event":"error""#, &format!(r#""pid":{pid}"#)])?;
    ensure(line.contains("reused"), || {
        format!("another reason was due: {line}")
    })
}
