// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A control group whose program (BPF) refuses every socket.

use std::{ffi::c_int, fs::File, os::fd::FromRawFd as _};

use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    fs::Mode,
    io::Errno,
    mount::{MountFlags, mount},
};

use crate::{
    failure::{Checked, Failure},
    procfs,
};

const HIERARCHY: &str = "/cgroups";
const GROUP: &str = "/cgroups/refused";
/// enum bpf_cmd, <linux/bpf.h>.
const PROG_LOAD: c_int = 5;
const PROG_ATTACH: c_int = 8;
/// BPF_PROG_TYPE_CGROUP_SOCK.
const CGROUP_SOCK: u32 = 9;
/// BPF_CGROUP_INET_SOCK_CREATE.
const SOCK_CREATE: u32 = 2;
/// `r0 = 0; exit`: no.
const NO: [u64; 2] = [0xb7, 0x95];

/// The part of `union bpf_attr` for PROG_LOAD that is used; the kernel takes the rest for zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log: [u32; 4],
    version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach: u32,
}

/// For PROG_ATTACH.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[expect(unsafe_code, reason = "rustix has no bpf(2)")]
fn bpf<T>(command: c_int, attributes: &T) -> Result<c_int, Errno> {
    // SAFETY: the kernel reads as many bytes as it is told `attributes` has. Both structures are
    // laid out as in <linux/bpf.h>, without padding; what Load points to is static. With these
    // commands and without a log the kernel writes nothing and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL));
    }
    c_int::try_from(result).map_err(|_| Errno::OVERFLOW)
}

#[expect(unsafe_code, reason = "a descriptor comes as a number")]
fn program() -> Result<OwnedFd, Errno> {
    static REFUSE: [u64; 2] = NO;
    let fd = bpf(
        PROG_LOAD,
        &Load {
            kind: CGROUP_SOCK,
            count: 2,
            instructions: REFUSE.as_ptr() as u64,
            licence: c"GPL".as_ptr() as u64,
            log: [0; 4],
            version: 0,
            flags: 0,
            name: [0; 16],
            device: 0,
            attach: SOCK_CREATE,
        },
    )?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes the group. None: this kernel has no such programs.
pub(crate) fn refusing() -> Checked<Option<Group>> {
    let folder = Mode::from_raw_mode(0o755);
    rustix::fs::mkdir(HIERARCHY, folder).map_err(Failure::system("a folder"))?;
    mount("cgroup2", HIERARCHY, "cgroup2", MountFlags::empty(), None)
        .map_err(Failure::system("mount the control groups"))?;
    rustix::fs::mkdir(GROUP, folder).map_err(Failure::system("a control group"))?;
    let program = match program() {
        Ok(program) => program,
        Err(Errno::NOSYS | Errno::INVAL) => return Ok(None),
        Err(error) => return Err(Failure::system("load a program of BPF")(error)),
    };
    let group = File::open(GROUP).map_err(Failure::system("open the control group"))?;
    let number = |fd: c_int| u32::try_from(fd).unwrap_or(u32::MAX);
    bpf(
        PROG_ATTACH,
        &Attach {
            target: number(group.as_raw_fd()),
            program: number(program.as_raw_fd()),
            kind: SOCK_CREATE,
            flags: 0,
        },
    )
    .map_err(Failure::system("attach a program to the control group"))?;
    Ok(Some(Group(())))
}

/// The group, with its program.
pub(crate) struct Group(());

impl Group {
    /// Puts a process in.
    #[expect(
        clippy::unused_self,
        reason = "before it is made there is nothing to join"
    )]
    pub(crate) fn join(&self, pid: u32) -> Checked<()> {
        procfs::set(&format!("{GROUP}/cgroup.procs"), &pid.to_string())
    }
}
