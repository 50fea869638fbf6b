// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Real processes, and what the kernel would say of them. Read by other means than the daemon
//! reads by, where there are others.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tidelock_host::process;
use tidelock_wire::{Ask, Direction, FileId, Namespaces, Task, Text};

/// A process of ours, killed with the test.
pub(crate) struct Subject {
    pub(crate) child: Child,
    pub(crate) exe: PathBuf,
}

/// Runs a command until the test ends. Returns once it has become the program of this name:
/// others come before it, which set it up.
pub(crate) fn start(mut command: Command, name: &str) -> Subject {
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let link = format!("/proc/{}/exe", child.id());
    loop {
        let exe = fs::read_link(&link).unwrap_or_default();
        // Named so early, and mapped a little later.
        let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap_or_default();
        let named = exe.file_name().is_some_and(|found| found == name);
        if named
            && maps
                .lines()
                .any(|line| line.ends_with(exe.to_str().unwrap()))
        {
            return Subject { child, exe };
        }
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended before it was {name}: {ended:?}");
        std::thread::yield_now();
    }
}

/// A program of its own, that sleeps: a copy, so that nobody else runs it.
pub(crate) fn sleeper(dir: &Path) -> Subject {
    let path = program(dir, "sleeper");
    let mut command = process::command(&path);
    command.arg("1000");
    let subject = start(command, "sleeper");
    assert_eq!(subject.exe, path);
    subject
}

/// A copy of `sleep`.
pub(crate) fn program(dir: &Path, name: &str) -> PathBuf {
    copy("/bin/sleep", dir, name)
}

/// A copy of a program. Made by another process: a descriptor that writes to it here would be
/// inherited by whatever another thread starts just now, and what is written to cannot be run.
pub(crate) fn copy(from: &str, dir: &Path, name: &str) -> PathBuf {
    let path = fs::canonicalize(dir).unwrap().join(name);
    let mut install = process::command("install");
    install.args(["-m", "755", from]).arg(&path);
    process::run(install, None).unwrap();
    path
}

impl Subject {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has a shell go on: it waits for a line.
    pub(crate) fn go_on(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"\n").unwrap();
    }

    /// Whether this is its program.
    pub(crate) fn runs(&self, program: &Path) -> bool {
        fs::read_link(format!("/proc/{}/exe", self.pid())).unwrap() == program
    }

    /// Whether it has ended, and only waits to be waited for.
    pub(crate) fn has_ended(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.starts_with(" Z ")
    }

    /// Ends it, and waits until its number is free again.
    pub(crate) fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What the kernel would say of it.
    pub(crate) fn facts(&self) -> Facts {
        Facts::of(self.pid())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the kernel would say of a process.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) pid: u32,
    pub(crate) started: u64,
    pub(crate) executable: FileId,
    pub(crate) exe: String,
    pub(crate) cgroup: String,
}

impl Facts {
    pub(crate) fn of(pid: u32) -> Self {
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap();
        let stat = read("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
        let link = format!("/proc/{pid}/exe");
        let metadata = fs::metadata(&link).unwrap();
        let exe = fs::read_link(&link).unwrap();
        // What is mapped is shown with the device of its superblock, as the module names it.
        let maps = read("maps");
        let line = maps
            .lines()
            .find(|line| line.ends_with(exe.to_str().unwrap()));
        let device = line.unwrap().split_whitespace().nth(3).unwrap();
        let (major, minor) = device.split_once(':').unwrap();
        let cgroups = read("cgroup");
        let cgroup = cgroups.lines().find_map(|line| line.strip_prefix("0::"));
        Self {
            pid,
            // Somewhere within the tick: the kernel knows where.
            started: ticks * 10_000_000 + 1_234_567,
            executable: FileId {
                major: u32::from_str_radix(major, 16).unwrap(),
                minor: u32::from_str_radix(minor, 16).unwrap(),
                inode: metadata.ino(),
                generation: 7,
                changed: metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec(),
            },
            exe: exe.to_str().unwrap().into(),
            cgroup: cgroup.unwrap_or("/").into(),
        }
    }

    pub(crate) fn task(&self) -> Task<'_> {
        Task {
            tgid: self.pid,
            started: self.started,
            uid: 0,
            euid: 0,
            gid: 0,
            egid: 0,
            executable: self.executable,
            cgroup: 1,
            namespaces: Namespaces {
                network: 1,
                // As the module tells it: not.
                mount: 0,
                pid: 3,
                user: 4,
                cgroup: 5,
            },
            comm: *b"sleeper\0\0\0\0\0\0\0\0\0",
            executable_path: Text::Whole(self.exe.as_bytes()),
            cgroup_path: Text::Whole(self.cgroup.as_bytes()),
        }
    }

    /// It wants to connect there.
    pub(crate) fn ask(&self, remote: SocketAddr) -> Ask<'_> {
        Ask {
            direction: Direction::Connect,
            local: "0.0.0.0:0".parse().unwrap(),
            remote,
            task: self.task(),
        }
    }
}
