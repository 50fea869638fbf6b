// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From what is known of a process to the question that a policy is asked.

use std::net::SocketAddr;

use rustix::param::clock_ticks_per_second;
use tidelock_policy::{Container, Direction, Endpoint, InodeId, Input, NamespaceIds, Process};

use crate::attest::{Attestation, Started};

/// The connection that is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// Which end the process is.
    pub direction: tidelock_wire::Direction,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

/// The question for a policy.
pub fn input(connection: Connection, attestation: &Attestation) -> Input {
    let (facts, more) = (&attestation.facts, &attestation.attributes);
    let (major, minor) = facts.executable.device;
    let of = facts.namespaces;
    Input {
        direction: match connection.direction {
            tidelock_wire::Direction::Connect => Direction::Connect,
            tidelock_wire::Direction::Accept => Direction::Accept,
        },
        local: endpoint(connection.local),
        remote: endpoint(connection.remote),
        process: Process {
            pid: facts.pid,
            start_time_ns: nanoseconds(facts.started),
            uid: facts.uid,
            euid: facts.euid,
            gid: facts.gid,
            egid: facts.egid,
            comm: facts.comm.clone(),
            exe: facts.exe.clone(),
            exe_sha256: more.exe_sha256.clone(),
            exe_inode: InodeId {
                device: format!("{major}:{minor}"),
                inode: facts.executable.inode,
                generation: facts.executable.generation,
            },
            cgroup: facts.cgroup.clone(),
            cgroup_id: facts.cgroup_id,
            systemd_unit: more.systemd_unit.clone(),
            container: more.container.as_ref().map(|container| Container {
                id: container.id.clone(),
                runtime: container.runtime.to_owned(),
                pod_uid: container.pod.clone(),
            }),
            namespaces: NamespaceIds {
                net: of.network,
                mnt: of.mount,
                pid: of.pid,
                user: of.user,
                cgroup: of.cgroup,
            },
        },
    }
}

/// An address of IPv4 is never written as IPv6, whoever asks.
fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        ip: address.ip().to_canonical(),
        port: address.port(),
    }
}

/// Whole ticks, where nobody knows more.
fn nanoseconds(started: Started) -> u64 {
    match started {
        Started::Nanoseconds(nanoseconds) => nanoseconds,
        Started::Ticks(ticks) => {
            let tick = 1_000_000_000_u64.checked_div(clock_ticks_per_second());
            ticks.saturating_mul(tick.unwrap_or(0))
        }
    }
}
