// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The lines of the audit: one JSON object each. Fields are added over time, never changed.

use std::{net::SocketAddr, time::SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tidelock_api::Direction;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A connection was allowed by policy, and the kernel had kept no verdict for it.
    Allowed,
    /// A connection was refused by policy.
    Denied,
    /// A connection was refused because the process could not be attested or the policy failed.
    Error,
    /// A key of the process, in the kernel, was certified.
    Issued,
    /// It was not.
    Unissued,
}

/// A decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// What happened.
    pub event: Event,
    /// Which end the process is.
    pub direction: Direction,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// The process.
    pub pid: u32,
    /// Its real user.
    pub uid: u32,
    /// Its name for itself: it can say anything.
    pub comm: String,
    /// Its executable's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Its executable's SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe_sha256: Option<String>,
    /// Its systemd unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// Its container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// `deny`, `plain` or `mtls`.
    pub decision: &'static str,
    /// The reason that the verdict carries.
    pub reason: String,
    /// The reason's number.
    pub reason_number: u32,
    /// What went wrong in detail, where something did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The identity assigned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiffe_id: Option<String>,
    /// The number of the SVID that was issued, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svid_serial: Option<String>,
    /// Until when it is valid, as RFC 3339 has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svid_not_after: Option<String>,
    /// How long the kernel may keep the verdict, in seconds.
    pub ttl_seconds: u32,
    /// The number of the policy.
    pub generation: u64,
    /// The revision of the policy, as its maker says.
    pub policy: String,
    /// What is in force: `permissive` refuses nobody, whatever is decided.
    pub mode: tidelock_api::Mode,
    /// How long it took from the question to the answer, in microseconds.
    pub micros: u64,
}

/// Lines that were left out, for there were too many.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Suppressed {
    /// Of these events.
    pub allowed: u64,
    /// Of these events.
    pub denied: u64,
    /// Of these events.
    pub errors: u64,
    /// Of these events.
    pub issued: u64,
    /// Of these events.
    pub unissued: u64,
}

impl Suppressed {
    /// Counts one.
    pub const fn count(&mut self, event: Event) {
        match event {
            Event::Allowed => self.allowed += 1,
            Event::Denied => self.denied += 1,
            Event::Error => self.errors += 1,
            Event::Issued => self.issued += 1,
            Event::Unissued => self.unissued += 1,
        }
    }

    /// All together.
    pub const fn total(&self) -> u64 {
        self.allowed + self.denied + self.errors + self.issued + self.unissued
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            allowed: self.allowed + other.allowed,
            denied: self.denied + other.denied,
            errors: self.errors + other.errors,
            issued: self.issued + other.issued,
            unissued: self.unissued + other.unissued,
        }
    }
}

/// What stands in the place of the lines that were left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// Always `suppressed`.
    pub event: &'static str,
    /// How many.
    #[serde(flatten)]
    pub suppressed: Suppressed,
}

impl Summary {
    /// For these.
    pub fn new(now: SystemTime, suppressed: Suppressed) -> Self {
        Self {
            time: rfc3339(now),
            event: "suppressed",
            suppressed,
        }
    }
}

/// A time as the lines have it: UTC, microseconds.
pub fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl Line {
    /// The line for people, as in the journal.
    pub fn message(&self) -> String {
        let who = self.exe.as_deref().unwrap_or(&self.comm);
        let (pid, uid, reason) = (self.pid, self.uid, &self.reason);
        let id = self.spiffe_id.as_deref().unwrap_or("an SVID");
        let what = match self.event {
            Event::Allowed => "allowed",
            Event::Denied => "denied",
            Event::Error => "refused on error",
            Event::Issued => {
                let serial = self.svid_serial.as_deref().unwrap_or("unknown");
                let until = self.svid_not_after.as_deref().unwrap_or("unknown");
                return format!(
                    "issued: {id} to {who} (pid {pid}, uid {uid}), serial {serial}, until {until}"
                );
            }
            Event::Unissued => {
                return format!("not issued: {id} to {who} (pid {pid}, uid {uid}): {reason}");
            }
        };
        let arrow = match self.direction {
            Direction::Connect => "to",
            Direction::Accept => "from",
        };
        let (direction, remote) = (self.direction.name(), self.remote);
        format!("{what}: {direction} of {who} (pid {pid}, uid {uid}) {arrow} {remote}: {reason}")
    }
}
