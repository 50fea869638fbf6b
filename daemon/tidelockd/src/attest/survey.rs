// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel would say of a process, from `/proc`, for a question that it did not ask.

use std::io;

use tidelock_wire::Namespaces;

use super::{AttestError, Facts, Pinned, executable, procfs};

/// Looks at whatever process has this id now.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn survey(pid: u32) -> Result<Facts, AttestError> {
    let process = Pinned::whoever(pid)?;
    let facts = read(&process);
    // As where the kernel asks: what was read is of one process, or nothing.
    process.verify()?;
    facts
}

fn read(process: &Pinned) -> Result<Facts, AttestError> {
    let status = process.text("status")?;
    let ids = |key: &str| {
        procfs::ids(&status, key)
            .ok_or_else(|| process.failed("status", io::Error::other("an id is missing")))
    };
    let ((uid, euid), (gid, egid)) = (ids("Uid:")?, ids("Gid:")?);
    let namespace = |name| namespace(process, name);
    let namespaces = Namespaces {
        network: namespace("ns/net")?,
        mount: namespace("ns/mnt")?,
        pid: namespace("ns/pid")?,
        user: namespace("ns/user")?,
        cgroup: namespace("ns/cgroup")?,
    };
    let cgroups = process.text("cgroup")?;
    let cgroup = procfs::cgroups(&cgroups)
        .first()
        .map(|path| (*path).to_owned());
    Ok(Facts {
        pid: process.pid(),
        started: process.started(),
        uid,
        euid,
        gid,
        egid,
        comm: process.text("comm")?.trim_end_matches('\n').to_owned(),
        executable: executable::identify(process)?,
        exe: process.link("exe")?,
        cgroup_id: cgroup.as_deref().and_then(cgroup_id).unwrap_or(0),
        cgroup,
        namespaces,
    })
}

/// The inode number of one of its namespaces, such as `ns/mnt`.
///
/// # Errors
/// When it cannot be read.
pub(super) fn namespace(process: &Pinned, name: &'static str) -> Result<u32, AttestError> {
    let link = process.link(name)?;
    link.as_deref()
        .and_then(procfs::namespace)
        .ok_or_else(|| process.failed(name, io::Error::other("it names no namespace")))
}

/// The id of a group of the unified hierarchy is its folder's inode number.
fn cgroup_id(path: &str) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let folder = format!("/sys/fs/cgroup{path}");
    std::fs::metadata(folder).map(|folder| folder.ino()).ok()
}
