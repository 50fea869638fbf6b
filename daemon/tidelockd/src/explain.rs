// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What would be decided for a process, and why, without the kernel asking.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use tidelock_api::{Attested, Decided, Direction, ExplainReport, ExplainRequest, Mode};
use tidelock_policy::PolicyError;
use tidelock_wire::{Prefix, Settings};

use crate::{
    attest::{AttestError, Attestation, Attestors, survey},
    decide::{JudgeError, Ruling, name},
    input::{Connection, input},
    serve::mode,
};

/// Nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// There is no such process.
    #[error("{0}")]
    Gone(AttestError),
    /// It cannot be attested: the kernel would be told to refuse it.
    #[error("it would be refused: {0}")]
    Attest(AttestError),
    /// There is no policy to ask.
    #[error("it would be refused: no policy is in force")]
    NoPolicy,
}

/// Looks at the process and asks the policy. Blocks.
///
/// # Errors
/// When there is nothing to ask, or nobody to ask about.
pub fn explain(
    attestors: &Attestors,
    ruling: &Ruling,
    settings: &Settings,
    request: &ExplainRequest,
    deadline: Instant,
) -> Result<ExplainReport, ExplainError> {
    let failed = |error| match error {
        AttestError::Gone { .. } => ExplainError::Gone(error),
        _ => ExplainError::Attest(error),
    };
    let facts = survey(request.pid).map_err(failed)?;
    let attestation = attestors.attest(facts, deadline).map_err(failed)?;
    let policy = ruling.policy.as_ref().ok_or(ExplainError::NoPolicy)?;
    let connection = connection(request);
    let input = input(connection, &attestation);
    let (decision, account) = match policy.explain(&input) {
        Ok(explanation) => (
            decided(&explanation.decision),
            Some(serde_json::json!(explanation)),
        ),
        Err(error) => (refused(error), None),
    };
    Ok(ExplainReport {
        decision,
        attested: attested(&attestation),
        input: serde_json::json!(input),
        account,
        notes: notes(settings, connection),
        revision: ruling.revision.clone(),
        digest: ruling.digest.clone(),
    })
}

/// What the kernel would ask: it does not tell the peer's port of one who accepts.
fn connection(request: &ExplainRequest) -> Connection {
    let mut remote = request.remote;
    let direction = match request.direction {
        Direction::Connect => tidelock_wire::Direction::Connect,
        Direction::Accept => {
            remote.set_port(0);
            tidelock_wire::Direction::Accept
        }
    };
    let nowhere = match remote.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    Connection {
        direction,
        local: request.local.unwrap_or(SocketAddr::new(nowhere, 0)),
        remote,
    }
}

fn decided(decision: &tidelock_policy::Decision) -> Decided {
    Decided {
        mode: name(decision.mode).into(),
        reason: decision.reason.clone(),
        spiffe_id: decision.spiffe_id.as_ref().map(|id| id.as_str().to_owned()),
        peers: decision.peers.iter().map(ToString::to_string).collect(),
        ttl_seconds: decision.ttl_seconds,
    }
}

fn refused(error: PolicyError) -> Decided {
    let error = JudgeError::from(error);
    Decided {
        mode: "deny".into(),
        reason: format!("{}: {error}", error.reason()),
        spiffe_id: None,
        peers: Vec::new(),
        ttl_seconds: 0,
    }
}

fn attested(attestation: &Attestation) -> Attested {
    let (facts, more) = (&attestation.facts, &attestation.attributes);
    Attested {
        pid: facts.pid,
        uid: facts.uid,
        comm: facts.comm.clone(),
        exe: facts.exe.clone(),
        exe_sha256: more.exe_sha256.clone(),
        cgroup: facts.cgroup.clone(),
        systemd_unit: more.systemd_unit.clone(),
        container: more.container.as_ref().map(|of| of.id.clone()),
        pod: more.container.as_ref().and_then(|of| of.pod.clone()),
    }
}

fn notes(settings: &Settings, connection: Connection) -> Vec<String> {
    let mut notes = vec![
        "the process was looked at through /proc, now; the kernel tells what it is when it calls"
            .to_owned(),
    ];
    match mode(settings.mode) {
        Mode::Off => notes.push("the mode is off: nobody is asked".into()),
        Mode::Permissive => notes.push("the mode is permissive: nobody is refused".into()),
        Mode::Enforce => {}
    }
    let ip = connection.remote.ip().to_canonical();
    if let Some(prefix) = settings.exempt.iter().find(|prefix| holds(*prefix, ip)) {
        let (address, length) = (prefix.address(), prefix.length());
        notes.push(format!(
            "{ip} is exempt by {address}/{length}: nobody is asked"
        ));
    }
    notes
}

/// Whether an address begins as the prefix says.
fn holds(prefix: Prefix, ip: IpAddr) -> bool {
    let length = u32::from(prefix.length());
    match (prefix.address(), ip) {
        (IpAddr::V4(of), IpAddr::V4(ip)) => {
            (of.to_bits() ^ ip.to_bits())
                .checked_shr(32 - length)
                .unwrap_or(0)
                == 0
        }
        (IpAddr::V6(of), IpAddr::V6(ip)) => {
            (of.to_bits() ^ ip.to_bits())
                .checked_shr(128 - length)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_prefix;

    #[test]
    fn a_prefix_holds_what_begins_alike() {
        for (prefix, ip, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.1/32", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.0", false),
            ("::/0", "fd00::1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1", "::1", true),
        ] {
            let found = holds(parse_prefix(prefix).unwrap(), ip.parse().unwrap());
            assert_eq!(found, expected, "{ip} in {prefix}");
        }
    }

    #[test]
    fn one_who_accepts_is_asked_about_as_the_kernel_asks() {
        let request = |direction| ExplainRequest {
            pid: 1,
            direction,
            remote: "[::1]:5".parse().unwrap(),
            local: None,
        };
        let found = connection(&request(Direction::Accept));
        assert_eq!(found.remote, "[::1]:0".parse().unwrap());
        assert_eq!(found.local, "[::]:0".parse().unwrap());
        let found = connection(&request(Direction::Connect));
        assert_eq!(found.remote.port(), 5);
    }
}
