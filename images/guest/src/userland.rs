// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The distribution's own programs, for tests that want them.
//!
//! [`Userland::enter`] makes the disk of programs the root of the calling test, in a mount
//! namespace of its own: what was `/tidelock.ko`, `/dev` or `/proc` is there under the same name,
//! so that everything else in this guest works as before, and PID 1 sees nothing of it. The disk
//! is read-only; what programs write goes to memory. When the [`Userland`] goes, every process
//! that the test started is killed, and the mounts go with the last of them.

mod disk;
pub(crate) mod net;
mod program;
mod reap;
mod server;

use std::path::Path;

use rustix::{
    fs::Mode,
    io::Errno,
    mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_move},
    thread::UnshareFlags,
};

pub(crate) use self::{
    program::{Output, Program, USUAL},
    server::Server,
};
use crate::{
    failure::{Checked, Failure, ensure},
    module,
};

/// The disks that `matrix.toml` calls so.
const APPS: &str = "apps";
/// bpftrace, and LLVM with it: apart, for it is as large as all else.
pub(crate) const TRACING: &str = "tracing";
/// Where the userland is put together.
const STAGE: &str = "/userland";
/// Programs built on the host that the factory puts into the initramfs.
pub(crate) const OWN_PROGRAMS: &str = "/opt/tidelock";
/// What programs write is kept in memory, of which this is the most.
const SCRATCH: &std::ffi::CStr = c"size=50%,mode=0755";
const WORLD: &std::ffi::CStr = c"mode=1777";

/// This process lives in the userland for as long as it has this.
pub(crate) struct Userland(());

impl Userland {
    /// Makes the userland the root of this process, and brings `lo` up.
    ///
    /// A process enters once; there is no way back but its end.
    pub(crate) fn enter() -> Checked<Self> {
        Self::enter_with(&[])
    }

    /// As [`enter`](Self::enter), with `more` disks laid under the usual one.
    pub(crate) fn enter_with(more: &[&str]) -> Checked<Self> {
        reap::adopt()?;
        unshare()?;
        mount_scratch(STAGE, SCRATCH)?;
        for folder in ["upper", "work", "root"] {
            make_dir(&format!("{STAGE}/{folder}"))?;
        }
        let disks = std::iter::once(&APPS).chain(more);
        let lower: Vec<String> = disks.map(|name| mount_disk(name)).collect::<Checked<_>>()?;
        let options = format!(
            "lowerdir={},upperdir={STAGE}/upper,workdir={STAGE}/work",
            lower.join(":")
        );
        let options = std::ffi::CString::new(options)
            .map_err(|_| Failure::Assertion("a disk's name has a zero in it".into()))?;
        let root = format!("{STAGE}/root");
        mount(
            "overlay",
            root.as_str(),
            "overlay",
            MountFlags::empty(),
            options.as_c_str(),
        )
        .map_err(Failure::system(format!("mount an overlay on {root}")))?;
        furnish(&root)?;
        become_root(&root)?;
        net::bring_up_loopback()?;
        Ok(Self(()))
    }

    /// A program of the userland, by its absolute path, to be run or started.
    #[expect(
        clippy::unused_self,
        reason = "outside of the userland there is no program"
    )]
    pub(crate) fn program(&self, path: &str) -> Program {
        Program::new(path)
    }

    /// Writes a file, with mode 0644, and makes the folders it is in.
    #[expect(
        clippy::unused_self,
        reason = "outside of the userland nothing is writable"
    )]
    pub(crate) fn write(&self, path: &str, contents: impl AsRef<[u8]>) -> Checked<()> {
        let folder = Path::new(path).parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)
            .map_err(Failure::system(format!("mkdir {}", folder.display())))?;
        #[expect(clippy::disallowed_methods, reason = "the guest ends with its machine")]
        std::fs::write(path, contents).map_err(Failure::system(format!("write {path}")))
    }

    /// Ends every process that this test started, orphans too, and makes sure of it.
    #[expect(clippy::unused_self, reason = "who has left starts nothing more")]
    pub(crate) fn leave(self) -> Checked<()> {
        reap::kill_all();
        let left = reap::left();
        ensure(left.is_empty(), || {
            format!("processes do not die: {}", left.join("; "))
        })
    }

    /// A network namespace with a loopback of its own, for [`Program::in_network`].
    pub(crate) fn network(&self, name: &str) -> Checked<()> {
        let ip = |words: &[&str]| self.program("/usr/sbin/ip").args(words).run()?.ok();
        ip(&["netns", "add", name])?;
        ip(&["-n", name, "link", "set", "lo", "up"]).map(drop)
    }
}

impl Drop for Userland {
    fn drop(&mut self) {
        reap::kill_all();
    }
}

fn unshare() -> Checked<()> {
    #[expect(
        unsafe_code,
        reason = "rustix has it as unsafe for the sake of other flags"
    )]
    // SAFETY: a mount namespace of its own takes no descriptor and no memory from anybody.
    let unshared = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) };
    unshared.map_err(Failure::system("unshare the mount namespace"))
}

/// Mounts the disk called `name`; returns where.
fn mount_disk(name: &str) -> Checked<String> {
    let (disk, target) = (disk::find(name)?, format!("{STAGE}/{name}"));
    make_dir(&target)?;
    mount(
        disk.as_str(),
        target.as_str(),
        "squashfs",
        MountFlags::RDONLY,
        None,
    )
    .map_err(Failure::system(format!("mount {disk} on {target}")))?;
    Ok(target)
}

/// The kernel's file systems, memory to write to, and the factory's own files.
fn furnish(root: &str) -> Checked<()> {
    for folder in ["/proc", "/sys", "/dev"] {
        mount_bind_recursive(folder, format!("{root}{folder}"))
            .map_err(Failure::system(format!("bind {folder} into {root}")))?;
    }
    mount_scratch(&format!("{root}/run"), SCRATCH)?;
    mount_scratch(&format!("{root}/tmp"), WORLD)?;
    mount_scratch(&format!("{root}/dev/shm"), WORLD)?;
    // Not every kernel has each of them, nor does every test want them.
    for (kind, target) in [
        ("cgroup2", "/sys/fs/cgroup"),
        ("bpf", "/sys/fs/bpf"),
        ("tracefs", "/sys/kernel/tracing"),
    ] {
        let _ = mount(
            kind,
            format!("{root}{target}"),
            kind,
            MountFlags::empty(),
            None,
        );
    }
    if Path::new(module::FILE).exists() {
        let target = format!("{root}{}", module::FILE);
        std::fs::File::create(&target).map_err(Failure::system(format!("create {target}")))?;
        mount_bind(module::FILE, &target).map_err(Failure::system(format!("bind {target}")))?;
    }
    if Path::new(OWN_PROGRAMS).is_dir() {
        let target = format!("{root}{OWN_PROGRAMS}");
        make_dir(&target)?;
        mount_bind(OWN_PROGRAMS, &target).map_err(Failure::system(format!("bind {target}")))?;
    }
    Ok(())
}

/// As switch_root(8) does: a root that is a mere chroot may make no user namespace.
fn become_root(root: &str) -> Checked<()> {
    let chdir =
        |path: &str| rustix::process::chdir(path).map_err(Failure::system(format!("chdir {path}")));
    chdir(root)?;
    mount_move(".", "/").map_err(Failure::system(format!("move {root} to /")))?;
    rustix::process::chroot(".").map_err(Failure::system(format!("chroot {root}")))?;
    chdir("/")
}

fn mount_scratch(target: &str, options: &std::ffi::CStr) -> Checked<()> {
    make_dir(target)?;
    mount("tmpfs", target, "tmpfs", MountFlags::empty(), options)
        .map_err(Failure::system(format!("mount a tmpfs on {target}")))
}

fn make_dir(path: &str) -> Checked<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(Failure::system(format!("mkdir {path}"))(error)),
    }
}
