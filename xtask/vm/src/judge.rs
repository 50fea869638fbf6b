// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From all that was heard of a test to its verdict: pure, and the default is not a pass.
//!
//! A cause goes before its consequences: what the kernel said, then how the machine ended, then
//! whether the log is whole, and only then what the guest said itself.

use std::os::unix::process::ExitStatusExt as _;

use tidelock_model::{Crash, Measured, Status};

use crate::{
    kmsg,
    ktap::{self, KtapResult, Outcome},
    scan::{Fault, Scan},
    watch::End,
};

/// All that is known of one test.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its name.
    pub test: &'a str,
    /// How the machine came to an end.
    pub end: &'a End,
    /// What came on the verdict's port.
    pub ktap: &'a [u8],
    /// What came on the log's port.
    pub kmsg: &'a [u8],
    /// The number of the log's last record before the test.
    pub after: Option<u64>,
    /// What the serial console said.
    pub serial: &'a str,
}

/// What a test came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// Its status.
    pub status: Status,
    /// Unless it is a pass, the named verdict, a colon, and the reason.
    pub detail: String,
    /// What it measured.
    pub measured: Measured,
    /// What the kernel said when it fell over.
    pub crash: Option<Crash>,
    /// Whether trying again can tell more: never so for a verdict on the module.
    pub again: Again,
}

/// Whether to try a test again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// The factory's own tools failed, not what was tested.
    Once,
    /// A few times: it is chance, as often as not on a very busy host.
    AFewTimes,
    /// There is a verdict.
    Never,
}

impl Again {
    /// How often it is worth trying, the first time included.
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Once => 2,
            Self::AFewTimes => 6,
            Self::Never => 1,
        }
    }
}

impl Judgement {
    /// A verdict that is not a pass.
    pub fn of(status: Status, verdict: &str, reason: &str) -> Self {
        Self {
            status,
            detail: format!("{verdict}: {reason}"),
            measured: Measured::new(),
            crash: None,
            again: Again::Never,
        }
    }

    /// The factory failed: QEMU did not start, a state was not restored.
    pub fn infrastructure(reason: &str) -> Self {
        Self {
            again: Again::Once,
            ..Self::of(Status::Error, "infrastructure", reason)
        }
    }

    /// The guest's kernel came up with a wrong clock.
    pub fn wrong_clock(reason: &str) -> Self {
        Self {
            again: Again::AFewTimes,
            ..Self::infrastructure(reason)
        }
    }
}

/// The log of the test, as far as it was heard.
fn log(evidence: &Evidence<'_>) -> kmsg::Log {
    let mut reader = evidence
        .after
        .map_or_else(kmsg::Reader::default, kmsg::Reader::after);
    reader.push(evidence.kmsg);
    reader.finish()
}

/// The verdict on a test.
pub fn test(evidence: &Evidence<'_>) -> Judgement {
    let log = log(evidence);
    let scan = Scan::of(&log, evidence.serial).expecting(evidence.test);
    if !scan.findings.is_empty() {
        return found(&scan);
    }
    if let Some(ended) = ended(evidence) {
        return ended;
    }
    if scan.verdict().is_some() {
        return found(&scan);
    }
    let result = match ktap::parse(evidence.ktap) {
        Ok(ktap) => ktap.results,
        Err(error) => return Judgement::of(Status::Fail, error.verdict(), &error.to_string()),
    };
    if !log.has_end_of(evidence.test) {
        let reason = "the kernel log does not reach the end of the test";
        return Judgement::of(Status::Fail, "broken-scan", reason);
    }
    match <[KtapResult; 1]>::try_from(result) {
        Ok([result]) => said(evidence.test, result),
        Err(results) => {
            let reason = format!("the guest told of {} tests, not of one", results.len());
            Judgement::of(Status::Fail, "malformed-ktap", &reason)
        }
    }
}

/// What the kernel said.
fn found(scan: &Scan) -> Judgement {
    let (verdict, reason) = scan.verdict().unwrap_or(("broken-scan", String::new()));
    let emulator = !scan.findings.is_empty() && scan.fault() == Some(Fault::Factory);
    let mut judgement = if emulator {
        Judgement::infrastructure(&format!("{verdict}: {reason}"))
    } else {
        Judgement::of(Status::Fail, verdict, &reason)
    };
    judgement.crash = scan.crash();
    judgement
}

/// How the machine ended, unless as it should.
fn ended(evidence: &Evidence<'_>) -> Option<Judgement> {
    let fail = |verdict, reason: &str| Some(Judgement::of(Status::Fail, verdict, reason));
    match evidence.end {
        End::Said(name) if name == evidence.test => None,
        End::Said(name) => fail(
            "malformed-ktap",
            &format!("the guest ended another test, {name:?}"),
        ),
        End::Refused(why) => Some(Judgement::of(
            Status::Error,
            "infrastructure",
            &format!("the guest refused: {why}"),
        )),
        End::Fatal(why) => fail("guest-died", why),
        End::Died(status) => Some(died(*status)),
        End::Silent(time) => fail(
            "silent-hang",
            &format!("no heartbeat for {} s", time.as_secs()),
        ),
        End::Overtime(time) => fail(
            "test-timeout",
            &format!("no verdict in {} s", time.as_secs()),
        ),
        End::Flooded(port) => fail(
            "log-flood",
            &format!("the port {port} carried more than 64 MiB"),
        ),
    }
}

fn died(status: std::process::ExitStatus) -> Judgement {
    if status.success() {
        // It is started with -no-reboot: the guest went down by itself.
        let reason = "the guest restarted or powered off before the end of the test";
        return Judgement::of(Status::Fail, "guest-died", reason);
    }
    let how = status
        .signal()
        .map_or_else(|| status.to_string(), |signal| format!("signal {signal}"));
    Judgement::of(Status::Error, "qemu-died", &how)
}

/// What the guest said.
fn said(test: &str, result: KtapResult) -> Judgement {
    if result.name != test {
        let reason = format!("the guest told of another test, {:?}", result.name);
        return Judgement::of(Status::Fail, "malformed-ktap", &reason);
    }
    let (status, named) = match result.outcome {
        Outcome::Ok => (Status::Pass, None),
        // The guest begins its reasons with the named verdict.
        Outcome::NotOk => (Status::Fail, None),
        Outcome::Skip => (Status::Skip, None),
        Outcome::Todo => (Status::Fail, Some("expected-failure")),
        Outcome::Timeout => (Status::Fail, Some("test-timeout")),
        Outcome::Error => (Status::Error, Some("infrastructure")),
    };
    let detail = match named {
        Some(named) => format!("{named}: {}", result.detail),
        None if result.detail.is_empty() && status == Status::Fail => {
            "assertion-failed: the guest gave no reason".into()
        }
        None => result.detail,
    };
    Judgement {
        status,
        detail,
        measured: result.measured,
        crash: None,
        again: Again::Never,
    }
}

/// Why a machine did not come up. The module is not loaded by then: it is never its fault.
pub fn boot(end: &End, kmsg: &[u8], serial: &str) -> Judgement {
    let evidence = booting(end, kmsg, serial);
    let scan = Scan::of(&log(&evidence), serial);
    let mut judgement = match end {
        _ if !scan.findings.is_empty() => found(&scan),
        End::Silent(time) | End::Overtime(time) => {
            let reason = format!("the guest was not ready after {} s", time.as_secs());
            Judgement::of(Status::Error, "boot-timeout", &reason)
        }
        _ => ended(&evidence)
            .unwrap_or_else(|| Judgement::of(Status::Error, "infrastructure", "READY was garbled")),
    };
    judgement.status = Status::Error;
    judgement
}

/// What is wrong with a machine that did come up: a kernel in trouble before the module is
/// loaded proves nothing of the module, neither way, and a log with a hole proves nothing at all.
pub fn came_up(kmsg: &[u8], serial: &str) -> Option<Judgement> {
    let ready = End::Said(String::new());
    let scan = Scan::of(&log(&booting(&ready, kmsg, serial)), serial);
    scan.verdict()?;
    let judgement = found(&scan);
    Some(Judgement {
        status: Status::Error,
        detail: format!("{} (before the module was loaded)", judgement.detail),
        ..judgement
    })
}

fn booting<'a>(end: &'a End, kmsg: &'a [u8], serial: &'a str) -> Evidence<'a> {
    Evidence {
        test: "",
        end,
        ktap: b"",
        kmsg,
        after: None,
        serial,
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
