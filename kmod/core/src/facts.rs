// SPDX-License-Identifier: GPL-2.0-only
//! What the shim tells the core, as C lays it out (`kmod/include/tidelock_core.h`).

use core::{
    marker::PhantomData,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    slice,
};

use tidelock_wire::{
    Ask, Counters, Direction, FileId, MAX_PATH, Mode, Namespaces, Status, Task, Text,
};

/// `struct tdl_hello`: what the shim knows about itself and its kernel.
#[repr(C)]
pub(crate) struct HelloFacts {
    pub(crate) capabilities: u32,
    pub(crate) engine_state: u32,
    pub(crate) panics: u64,
    pub(crate) frames_refused: u64,
}

/// `struct tdl_status`.
#[repr(C)]
pub(crate) struct StatusFacts {
    pub(crate) generation: u64,
    pub(crate) counters: Counters,
    pub(crate) mode: u32,
    pub(crate) deadline_ms: u32,
    pub(crate) waiting: u32,
    pub(crate) kept: u32,
}

impl StatusFacts {
    /// As a message; none when the mode is no mode.
    pub(crate) fn read(&self) -> Option<Status> {
        Some(Status {
            mode: Mode::from_number(self.mode.try_into().ok()?)?,
            generation: self.generation,
            deadline_ms: self.deadline_ms,
            waiting: self.waiting,
            kept: self.kept,
            counters: self.counters,
        })
    }
}

/// `struct tdl_text`: bytes, or null when they are not known.
#[repr(C)]
pub(crate) struct TextFacts<'a> {
    bytes: *const u8,
    len: usize,
    lives: PhantomData<&'a [u8]>,
}

impl<'a> TextFacts<'a> {
    /// As a message's part: what is too long is not known.
    fn read(&self) -> Text<'a> {
        if self.bytes.is_null() || self.len > MAX_PATH {
            return Text::Unknown;
        }
        // SAFETY: bytes that are not null point to len bytes that outlive the facts, by the
        // promise of who calls `tdl_core_ask`; nobody writes to them meanwhile.
        Text::Whole(unsafe { slice::from_raw_parts(self.bytes, self.len) })
    }
}

#[cfg(test)]
impl TextFacts<'_> {
    /// Where C finds `bytes` and `len`.
    pub(crate) const OFFSETS: [usize; 2] = [
        core::mem::offset_of!(Self, bytes),
        core::mem::offset_of!(Self, len),
    ];
}

#[cfg(test)]
impl<'a> From<Option<&'a [u8]>> for TextFacts<'a> {
    fn from(text: Option<&'a [u8]>) -> Self {
        Self {
            bytes: text.map_or(core::ptr::null(), <[u8]>::as_ptr),
            len: text.map_or(0, <[u8]>::len),
            lives: PhantomData,
        }
    }
}

/// `struct tdl_address`: an IPv4 address is in the first four bytes. One that an IPv6 socket
/// spells `::ffff:a.b.c.d` is told as it is, and becomes an IPv4 address here.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct AddressFacts {
    pub(crate) bytes: [u8; 16],
    /// 4 or 6.
    pub(crate) family: u16,
    pub(crate) port: u16,
}

impl AddressFacts {
    fn read(&self) -> Option<SocketAddr> {
        let [a, b, c, d, ..] = self.bytes;
        let ip: IpAddr = match self.family {
            4 => Ipv4Addr::new(a, b, c, d).into(),
            6 => Ipv6Addr::from(self.bytes).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, self.port))
    }
}

/// `struct tdl_ask_facts`.
#[repr(C)]
pub(crate) struct AskFacts<'a> {
    pub(crate) started: u64,
    pub(crate) inode: u64,
    pub(crate) changed: i64,
    pub(crate) cgroup: u64,
    pub(crate) executable_path: TextFacts<'a>,
    pub(crate) cgroup_path: TextFacts<'a>,
    pub(crate) local: AddressFacts,
    pub(crate) remote: AddressFacts,
    pub(crate) direction: u32,
    pub(crate) tgid: u32,
    pub(crate) uid: u32,
    pub(crate) euid: u32,
    pub(crate) gid: u32,
    pub(crate) egid: u32,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) generation: u32,
    pub(crate) network: u32,
    pub(crate) mount: u32,
    pub(crate) pid: u32,
    pub(crate) user: u32,
    pub(crate) cgroup_namespace: u32,
    pub(crate) comm: [u8; 16],
}

impl<'a> AskFacts<'a> {
    /// As a message; none when a number in it has no meaning.
    pub(crate) fn read(&self) -> Option<Ask<'a>> {
        Some(Ask {
            direction: Direction::from_number(self.direction.try_into().ok()?)?,
            local: self.local.read()?,
            remote: self.remote.read()?,
            task: Task {
                tgid: self.tgid,
                started: self.started,
                uid: self.uid,
                euid: self.euid,
                gid: self.gid,
                egid: self.egid,
                executable: FileId {
                    major: self.major,
                    minor: self.minor,
                    inode: self.inode,
                    generation: self.generation,
                    changed: self.changed,
                },
                cgroup: self.cgroup,
                namespaces: Namespaces {
                    network: self.network,
                    mount: self.mount,
                    pid: self.pid,
                    user: self.user,
                    cgroup: self.cgroup_namespace,
                },
                comm: self.comm,
                executable_path: self.executable_path.read(),
                cgroup_path: self.cgroup_path.read(),
            },
        })
    }
}
