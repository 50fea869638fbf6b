// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What must hold of every policy.

mod bundles;
mod decisions;
mod embedded;
mod loading;
mod peers;
mod property;
mod store;

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    Bundle, Direction, Endpoint, InodeId, Input, NamespaceIds, Policy, PolicyError, Process,
};

/// The beginning of every policy that decides by itself only where it must.
pub(crate) const DENY: &str =
    "package tidelock\ndefault decision := {\"mode\": \"deny\", \"reason\": \"default\"}\n";

/// A bundle of one file of rules.
pub(crate) fn bundle(rego: &str) -> Bundle {
    Bundle::from_files([("tidelock/p.rego", rego)]).unwrap()
}

/// A bundle that denies by default, and these rules.
pub(crate) fn rules(rego: &str) -> Bundle {
    bundle(&format!("{DENY}{rego}"))
}

pub(crate) fn refused(rego: &str) -> PolicyError {
    Policy::load(&bundle(rego)).unwrap_err()
}

/// nginx connects to a database. The probe at loading has no executable.
pub(crate) fn input() -> Input {
    let at = |last, port| Endpoint {
        ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
        port,
    };
    Input {
        direction: Direction::Connect,
        local: at(1, 0),
        remote: at(7, 5432),
        process: Process {
            pid: 4242,
            start_time_ns: 1_234_567_890_123,
            uid: 33,
            euid: 33,
            gid: 33,
            egid: 33,
            comm: "nginx".into(),
            exe: Some("/usr/sbin/nginx".into()),
            exe_sha256: None,
            exe_inode: InodeId {
                device: "254:1".into(),
                inode: 77,
                generation: 1,
            },
            cgroup: Some("/system.slice/nginx.service".into()),
            cgroup_id: 5,
            systemd_unit: Some("nginx.service".into()),
            container: None,
            namespaces: NamespaceIds {
                net: 1,
                mnt: 2,
                pid: 3,
                user: 4,
                cgroup: 5,
            },
        },
    }
}
