// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Who asks: a process, as the kernel sees it.

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Writer},
};

/// The longest path in a frame, of an executable or a cgroup, in bytes.
pub const MAX_PATH: usize = 1536;

/// What is carried when a text was longer than its place, or could not be had at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text<'a> {
    /// All of it, [`MAX_PATH`] bytes at most. Bytes, for the kernel promises no encoding.
    Whole(&'a [u8]),
    /// Not known: too long, or there is none. Never a part, which could be taken for the whole.
    Unknown,
}

impl<'a> Text<'a> {
    /// The bytes, when they are known.
    pub const fn known(self) -> Option<&'a [u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    pub(crate) fn len(self) -> u32 {
        // One that is far too long is refused when it is written.
        let len = self
            .known()
            .and_then(|bytes| u16::try_from(bytes.len()).ok());
        2 + len.map_or(0, u32::from)
    }

    pub(crate) fn write(self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        let Self::Whole(bytes) = self else {
            return out.u16(UNKNOWN);
        };
        let len = u16::try_from(bytes.len())
            .ok()
            .filter(|len| usize::from(*len) <= MAX_PATH)
            .ok_or(EncodeError::Value {
                field: LENGTH,
                value: bytes.len() as u64,
            })?;
        out.u16(len)?;
        out.bytes(bytes)
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let len = from.u16()?;
        if len == UNKNOWN {
            return Ok(Self::Unknown);
        }
        if usize::from(len) > MAX_PATH {
            return Err(DecodeError::Value {
                field: LENGTH,
                value: len.into(),
            });
        }
        from.bytes(len.into()).map(Self::Whole)
    }
}

const UNKNOWN: u16 = u16::MAX;
const LENGTH: &str = "the length of a path";

/// A file, told from all others, also from a later one under the same inode number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileId {
    /// The major number of its device.
    pub major: u32,
    /// The minor number of its device.
    pub minor: u32,
    /// The inode number.
    pub inode: u64,
    /// The inode's generation, where the file system keeps one.
    pub generation: u32,
    /// The last change of the inode, in nanoseconds since 1970.
    pub changed: i64,
}

impl FileId {
    pub(crate) const LEN: u32 = 28;

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u32(self.major)?;
        out.u32(self.minor)?;
        out.u64(self.inode)?;
        out.u32(self.generation)?;
        out.u64(self.changed.cast_unsigned())
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            major: from.u32()?,
            minor: from.u32()?,
            inode: from.u64()?,
            generation: from.u32()?,
            changed: from.u64()?.cast_signed(),
        })
    }
}

/// The inode numbers of a process's namespaces, as `/proc/PID/ns` shows them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Namespaces {
    /// Of the socket, which is not always the process's own.
    pub network: u32,
    /// Mounts.
    pub mount: u32,
    /// Process ids, of the process itself.
    pub pid: u32,
    /// Users.
    pub user: u32,
    /// Control groups.
    pub cgroup: u32,
}

/// A process, as the kernel sees it in its own context when it calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Task<'a> {
    /// The thread group's id in the initial pid namespace: what user space calls the pid.
    pub tgid: u32,
    /// When the group's leader started, in nanoseconds since boot (`start_boottime`). With the
    /// tgid it names one process for as long as the machine runs.
    pub started: u64,
    /// The real user id.
    pub uid: u32,
    /// The effective user id.
    pub euid: u32,
    /// The real group id.
    pub gid: u32,
    /// The effective group id.
    pub egid: u32,
    /// The executable.
    pub executable: FileId,
    /// The id of the control group in the unified hierarchy.
    pub cgroup: u64,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// The thread's own name, padded with zeros: for people only, it can say anything.
    pub comm: [u8; 16],
    /// The executable's path, as the process itself would name it.
    pub executable_path: Text<'a>,
    /// The path of the control group.
    pub cgroup_path: Text<'a>,
}

impl<'a> Task<'a> {
    pub(crate) fn len(&self) -> u32 {
        const FIXED: u32 = 4 + 8 + 4 * 4 + FileId::LEN + 8 + 5 * 4 + 16;
        FIXED + self.executable_path.len() + self.cgroup_path.len()
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u32(self.tgid)?;
        out.u64(self.started)?;
        for id in [self.uid, self.euid, self.gid, self.egid] {
            out.u32(id)?;
        }
        self.executable.write(out)?;
        out.u64(self.cgroup)?;
        let of = self.namespaces;
        for inode in [of.network, of.mount, of.pid, of.user, of.cgroup] {
            out.u32(inode)?;
        }
        out.bytes(&self.comm)?;
        self.executable_path.write(out)?;
        self.cgroup_path.write(out)
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            tgid: from.u32()?,
            started: from.u64()?,
            uid: from.u32()?,
            euid: from.u32()?,
            gid: from.u32()?,
            egid: from.u32()?,
            executable: FileId::read(from)?,
            cgroup: from.u64()?,
            namespaces: Namespaces {
                network: from.u32()?,
                mount: from.u32()?,
                pid: from.u32()?,
                user: from.u32()?,
                cgroup: from.u32()?,
            },
            comm: from.array()?,
            executable_path: Text::read(from)?,
            cgroup_path: Text::read(from)?,
        })
    }
}
