// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holding on to one process while it is looked at.
//!
//! The pidfd is opened first, by number. Then the start time under that number is compared with
//! the kernel's. Everything else is read through one descriptor of `/proc/PID`, and in the end
//! the pidfd must say that its process has not ended. A number is not given to another process
//! before it has, so all that was read is of the one process whose start time fitted.
//!
//! `/proc/PID/stat` knows clock ticks, of 10 ms as a rule: a number that goes round and is given
//! out again within one tick is not noticed by it. The one that asks waits in its system call
//! meanwhile, so that its number is taken; and another executable would be noticed.

use std::{fs, io};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::OwnedFd,
    fs::{Mode, OFlags, open, openat},
    io::Errno,
    param::clock_ticks_per_second,
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::{
    error::AttestError,
    facts::Started,
    procfs::{self, ticks_of},
};

/// A process that is held on to.
#[derive(Debug)]
pub struct Pinned {
    pid: u32,
    started: Started,
    pidfd: OwnedFd,
    proc: OwnedFd,
}

/// Files of `/proc` are read up to here: 1 MiB holds the mounts of a large host.
const MAX_TEXT: u64 = 1 << 20;

impl Pinned {
    /// Holds on to the process `pid`, when it is the one that started then.
    ///
    /// # Errors
    /// When it has ended, or is another.
    pub fn open(pid: u32, started: Started) -> Result<Self, AttestError> {
        let (pidfd, proc) = hold(pid)?;
        let pinned = Self {
            pid,
            started,
            pidfd,
            proc,
        };
        pinned.verify()?;
        Ok(pinned)
    }

    /// Holds on to whatever process is `pid` now.
    ///
    /// # Errors
    /// When there is none.
    pub fn whoever(pid: u32) -> Result<Self, AttestError> {
        let (pidfd, proc) = hold(pid)?;
        let mut pinned = Self {
            pid,
            started: Started::Ticks(0),
            pidfd,
            proc,
        };
        pinned.started = Started::Ticks(pinned.ticks()?);
        pinned.verify()?;
        Ok(pinned)
    }

    /// The process's id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// When it started.
    pub const fn started(&self) -> Started {
        self.started
    }

    /// Whether it is still the one, and has not ended: what was read before this is of it.
    ///
    /// # Errors
    /// When not.
    pub fn verify(&self) -> Result<(), AttestError> {
        let found = self.ticks()?;
        let expected = match self.started {
            Started::Ticks(ticks) => ticks,
            Started::Nanoseconds(nanoseconds) => {
                let offset = self.boottime_offset()?;
                // A time that cannot be shown is nobody's.
                ticks_of(nanoseconds, offset, clock_ticks_per_second()).unwrap_or(u64::MAX)
            }
        };
        if found != expected {
            return Err(AttestError::Reused {
                pid: self.pid,
                expected,
                found,
            });
        }
        // Last: what was read until now was read of a process that lives.
        self.lives()
    }

    /// Reads a text below `/proc/PID`; what is not UTF-8 in it is replaced.
    ///
    /// # Errors
    /// When it cannot be read, also for being longer than anything sensible.
    pub fn text(&self, name: &'static str) -> Result<String, AttestError> {
        use io::Read as _;
        let mut file = fs::File::from(self.file(name)?).take(MAX_TEXT + 1);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|source| self.failed(name, source))?;
        if bytes.len() as u64 > MAX_TEXT {
            return Err(self.failed(name, io::Error::other("longer than 1 MiB")));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Opens a file below `/proc/PID`, for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn file(&self, name: &'static str) -> Result<OwnedFd, AttestError> {
        // Not blocking: an executable is a plain file, and what is not must not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat(&self.proc, name, flags, Mode::empty())
            .map_err(|errno| self.failed(name, errno.into()))
    }

    /// The target of a link below `/proc/PID`; none where it is not UTF-8.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn link(&self, name: &'static str) -> Result<Option<String>, AttestError> {
        rustix::fs::readlinkat(&self.proc, name, Vec::new())
            .map(|target| target.into_string().ok())
            .map_err(|errno| self.failed(name, errno.into()))
    }

    /// The error for something that cannot be read.
    pub fn failed(&self, what: &'static str, source: io::Error) -> AttestError {
        // ESRCH from an entry of `/proc` is the process's end, not a fault of the entry.
        if source.raw_os_error() == Some(Errno::SRCH.raw_os_error()) {
            return AttestError::Gone { pid: self.pid };
        }
        AttestError::Unreadable {
            pid: self.pid,
            what,
            source,
        }
    }

    fn ticks(&self) -> Result<u64, AttestError> {
        let text = self.text("stat")?;
        let strange = || self.failed("stat", io::Error::other("it has no field 22"));
        procfs::stat(&text)
            .map(|stat| stat.start_ticks)
            .ok_or_else(strange)
    }

    /// Of this daemon's time namespace, for it is the reader's offset that is added.
    fn boottime_offset(&self) -> Result<i128, AttestError> {
        match fs::read_to_string("/proc/self/timens_offsets") {
            Ok(text) => procfs::boottime_offset(&text)
                .ok_or_else(|| self.failed("timens_offsets", io::Error::other("no boottime"))),
            // A kernel without time namespaces.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(self.failed("timens_offsets", error)),
        }
    }

    fn lives(&self) -> Result<(), AttestError> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            return match poll(&mut fds, Some(&now)) {
                Ok(0) => Ok(()),
                Ok(_) => Err(AttestError::Gone { pid: self.pid }),
                Err(Errno::INTR) => continue,
                Err(errno) => Err(self.failed("the pidfd", errno.into())),
            };
        }
    }
}

fn hold(pid: u32) -> Result<(OwnedFd, OwnedFd), AttestError> {
    let gone = AttestError::Gone { pid };
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(gone);
    };
    let failed = |what, errno: Errno| match errno {
        Errno::SRCH | Errno::NOENT => AttestError::Gone { pid },
        errno => AttestError::Unreadable {
            pid,
            what,
            source: errno.into(),
        },
    };
    let pidfd =
        pidfd_open(number, PidfdFlags::empty()).map_err(|errno| failed("the pidfd", errno))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = open(format!("/proc/{pid}"), flags, Mode::empty())
        .map_err(|errno| failed("the folder", errno))?;
    Ok((pidfd, proc))
}
