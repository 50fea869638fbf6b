// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is known of a process before it is looked at: from the kernel, in the process's own
//! context.

use tidelock_wire::{Namespaces, Task};

/// When a process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Started {
    /// By the kernel: nanoseconds since boot.
    Nanoseconds(u64),
    /// By `/proc/PID/stat`, which knows clock ticks only. Where nobody asked the kernel.
    Ticks(u64),
}

/// An executable, told from all others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExecutableId {
    /// The device of its superblock, major and minor.
    pub device: (u32, u32),
    /// The inode number.
    pub inode: u64,
    /// The inode's generation, where the file system keeps one. User space cannot ask every file
    /// system for it: it is carried, not compared.
    pub generation: u32,
    /// The last change of the inode, in nanoseconds since 1970.
    pub changed: i64,
}

/// What is known of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Its id.
    pub pid: u32,
    /// When it started.
    pub started: Started,
    /// The real user id.
    pub uid: u32,
    /// The effective user id.
    pub euid: u32,
    /// The real group id.
    pub gid: u32,
    /// The effective group id.
    pub egid: u32,
    /// Its name for itself, with what is not text replaced.
    pub comm: String,
    /// The executable.
    pub executable: ExecutableId,
    /// The executable's path, as the process itself would name it. None as well where it is not
    /// UTF-8: a replacement could be taken for another path.
    pub exe: Option<String>,
    /// The path of the control group; none where it is not known, as above.
    pub cgroup: Option<String>,
    /// The id of the control group.
    pub cgroup_id: u64,
    /// Its namespaces.
    pub namespaces: Namespaces,
}

impl Facts {
    /// What the kernel said.
    pub fn of_task(task: &Task<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let end = task.comm.iter().position(|byte| *byte == 0);
        let comm = task.comm.get(..end.unwrap_or(task.comm.len()));
        let of = task.executable;
        Self {
            pid: task.tgid,
            started: Started::Nanoseconds(task.started),
            uid: task.uid,
            euid: task.euid,
            gid: task.gid,
            egid: task.egid,
            comm: String::from_utf8_lossy(comm.unwrap_or_default()).into_owned(),
            executable: ExecutableId {
                device: (of.major, of.minor),
                inode: of.inode,
                generation: of.generation,
                changed: of.changed,
            },
            exe: task.executable_path.known().and_then(text),
            cgroup: task.cgroup_path.known().and_then(text),
            cgroup_id: task.cgroup,
            namespaces: task.namespaces,
        }
    }
}
