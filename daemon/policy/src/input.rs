// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy is asked: one connection of one process.
//!
//! What is not known is left out, never null: null is true in Rego, and a rule that names a
//! missing field does not match.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The longest path, in bytes (`PATH_MAX`).
const MAX_PATH: usize = 4096;
/// The longest of the other texts, in bytes: names of units, containers, runtimes, pods.
const MAX_NAME: usize = 256;

/// Which end of the connection the process is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It connects.
    Connect,
    /// It accepts.
    Accept,
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The address. One of IPv4 is never written as IPv6.
    pub ip: IpAddr,
    /// The port; 0 where it is not known or not of interest.
    pub port: u16,
}

/// The executable file, told from all others.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InodeId {
    /// The device it is on, as `MAJOR:MINOR`.
    pub device: String,
    /// The inode number.
    pub inode: u64,
    /// The inode's generation, where the file system keeps one; else 0.
    pub generation: u32,
}

/// A container, as the control group names it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The id that the runtime gave it.
    pub id: String,
    /// The runtime, such as `containerd`.
    pub runtime: String,
    /// The uid of the Kubernetes pod it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
}

/// The inode numbers of a process's namespaces, as `/proc/PID/ns` shows them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceIds {
    /// Of the socket's network.
    pub net: u32,
    /// Mounts.
    pub mnt: u32,
    /// Process ids.
    pub pid: u32,
    /// Users.
    pub user: u32,
    /// Control groups.
    pub cgroup: u32,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// The process id, in the initial pid namespace.
    pub pid: u32,
    /// When it started, in nanoseconds since boot.
    pub start_time_ns: u64,
    /// The real user id.
    pub uid: u32,
    /// The effective user id.
    pub euid: u32,
    /// The real group id.
    pub gid: u32,
    /// The effective group id.
    pub egid: u32,
    /// The thread's own name: for people only, it can say anything.
    pub comm: String,
    /// The path of the executable, as the process itself would name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// The SHA-256 of the executable, 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe_sha256: Option<String>,
    /// The executable file.
    pub exe_inode: InodeId,
    /// The path of the control group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The id of the control group in the unified hierarchy.
    pub cgroup_id: u64,
    /// The systemd unit it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// The container it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// Its namespaces.
    pub namespaces: NamespaceIds,
}

/// The question: the `input` of the rules.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which end the process is.
    pub direction: Direction,
    /// This end.
    pub local: Endpoint,
    /// The other end.
    pub remote: Endpoint,
    /// Who asks.
    pub process: Process,
}

/// A question holds something that no question can.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InputError {
    /// A text is longer than its place.
    #[error("{field} of the input has {len} bytes, {limit} are allowed")]
    TooLong {
        /// Which one.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A digest is none.
    #[error("process.exe_sha256 of the input is not 64 lower-case hexadecimal digits")]
    Digest,
}

impl Input {
    /// Whether every text has a sensible length and form.
    pub fn check(&self) -> Result<(), InputError> {
        let of = &self.process;
        let container = of.container.as_ref();
        let texts = [
            ("process.comm", Some(&of.comm), MAX_NAME),
            ("process.exe", of.exe.as_ref(), MAX_PATH),
            (
                "process.exe_inode.device",
                Some(&of.exe_inode.device),
                MAX_NAME,
            ),
            ("process.cgroup", of.cgroup.as_ref(), MAX_PATH),
            ("process.systemd_unit", of.systemd_unit.as_ref(), MAX_NAME),
            ("process.container.id", container.map(|c| &c.id), MAX_NAME),
            (
                "process.container.runtime",
                container.map(|c| &c.runtime),
                MAX_NAME,
            ),
            (
                "process.container.pod_uid",
                container.and_then(|c| c.pod_uid.as_ref()),
                MAX_NAME,
            ),
        ];
        for (field, text, limit) in texts {
            let len = text.map_or(0, String::len);
            if len > limit {
                return Err(InputError::TooLong { field, len, limit });
            }
        }
        let digest = |text: &String| {
            let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            text.len() == 64 && text.bytes().all(digit)
        };
        if of.exe_sha256.as_ref().is_some_and(|text| !digest(text)) {
            return Err(InputError::Digest);
        }
        Ok(())
    }
}
