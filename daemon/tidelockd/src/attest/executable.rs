// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The executable of a process: that it is the one the kernel saw, and its digest.
//!
//! `/proc/PID/exe` opens the very file that is run, whatever its path leads to by now. Inode
//! number and time of change must be the kernel's. The device needs care: the module names the
//! superblock's, and stat(2) shows another one on overlayfs (that of a layer) and on btrfs (that
//! of a subvolume). There the file's mount is looked up in mountinfo, which shows the
//! superblock's. Where that mount is not to be found either (it was detached, or lies outside
//! the process's root), the file is taken on its inode and time of change on those file systems
//! alone, and refused on all others.

use std::{
    fs, io,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Stat, StatxFlags, fstat, fstatfs, major, minor, statx},
};

use super::{
    error::AttestError,
    facts::ExecutableId,
    hasher::{Digest, HashError, Hasher, Key},
    pin::Pinned,
    procfs,
};

/// Executables are read up to here: 4 GiB.
const MAX_SIZE: u64 = 4 << 30;

/// File systems whose stat(2) shows another device than their superblock's, by the magic number
/// of statfs(2): overlayfs, btrfs, bcachefs.
const OTHER_DEVICE: [u64; 3] = [0x794c_7630, 0x9123_683e, 0xca45_1a4e];

/// An open executable that is the one the kernel saw.
#[derive(Debug)]
pub struct Executable {
    file: OwnedFd,
    key: Key,
}

impl Executable {
    /// Opens the executable of the process, when it is `expected`.
    ///
    /// # Errors
    /// When it is another, or cannot be opened.
    pub fn open(process: &Pinned, expected: &ExecutableId) -> Result<Self, AttestError> {
        let file = process.file("exe")?;
        let stat = stat(&file).map_err(|source| process.failed("exe", source))?;
        let key = key(&stat);
        let changed = |difference| AttestError::ExecutableChanged {
            pid: process.pid(),
            difference,
        };
        if key.inode != expected.inode {
            let (found, was) = (key.inode, expected.inode);
            return Err(changed(format!("inode {found}, not {was}")));
        }
        if key.changed != expected.changed {
            let (found, was) = (key.changed, expected.changed);
            return Err(changed(format!("changed at {found} ns, not {was}")));
        }
        check_device(process, &file, &stat, expected.device)?;
        if key.size > MAX_SIZE {
            return Err(AttestError::TooLarge {
                pid: process.pid(),
                size: key.size,
                limit: MAX_SIZE,
            });
        }
        Ok(Self { file, key })
    }

    /// Its digest.
    ///
    /// # Errors
    /// When it cannot be had by `deadline`, or the file is changed meanwhile.
    pub fn digest(
        self,
        process: &Pinned,
        hasher: &Hasher,
        deadline: Instant,
    ) -> Result<Digest, AttestError> {
        let pid = process.pid();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let file = fs::File::from(self.file);
        hasher
            .digest(
                self.key,
                &file,
                || stat(&file).map(|stat| key(&stat)),
                // A clock before 1970 keeps nothing.
                now.unwrap_or(Duration::ZERO),
                deadline,
            )
            .map_err(|error| match error {
                HashError::Timeout => AttestError::Timeout { pid },
                HashError::Changing => AttestError::Changing { pid },
                HashError::Io(source) => process.failed("exe", source),
            })
    }
}

/// What the module would say of the executable of a process, as far as user space can tell.
///
/// # Errors
/// When it cannot be looked at.
pub fn identify(process: &Pinned) -> Result<ExecutableId, AttestError> {
    let file = process.file("exe")?;
    let stat = stat(&file).map_err(|source| process.failed("exe", source))?;
    let device = mount_device(process, &file)?.unwrap_or_else(|| device(&stat));
    let key = key(&stat);
    Ok(ExecutableId {
        device,
        inode: key.inode,
        generation: 0,
        changed: key.changed,
    })
}

fn check_device(
    process: &Pinned,
    file: &OwnedFd,
    stat: &Stat,
    expected: (u32, u32),
) -> Result<(), AttestError> {
    if device(stat) == expected {
        return Ok(());
    }
    let found = match mount_device(process, file)? {
        Some(found) if found == expected => return Ok(()),
        Some(found) => found,
        None => {
            let system = fstatfs(file).map_err(|errno| process.failed("exe", errno.into()))?;
            // The type differs between architectures; the number does not.
            if u64::try_from(system.f_type).is_ok_and(|magic| OTHER_DEVICE.contains(&magic)) {
                return Ok(());
            }
            device(stat)
        }
    };
    Err(AttestError::OtherDevice {
        pid: process.pid(),
        expected,
        found,
    })
}

/// The device of the superblock of the mount that the file was opened through, by the process's
/// own list of mounts or by ours; none when neither shows it.
fn mount_device(process: &Pinned, file: &OwnedFd) -> Result<Option<(u32, u32)>, AttestError> {
    let failed = |what, errno: rustix::io::Errno| process.failed(what, errno.into());
    let statx = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .map_err(|errno| failed("exe", errno))?;
    if statx.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Ok(None);
    }
    let theirs = process.text("mountinfo")?;
    if let Some(mount) = procfs::mount(&theirs, statx.stx_mnt_id) {
        return Ok(Some(mount.device));
    }
    let ours = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|source| process.failed("mountinfo", source))?;
    Ok(procfs::mount(&ours, statx.stx_mnt_id).map(|mount| mount.device))
}

fn stat(file: impl AsFd) -> io::Result<Stat> {
    Ok(fstat(file)?)
}

fn device(stat: &Stat) -> (u32, u32) {
    (major(stat.st_dev), minor(stat.st_dev))
}

#[expect(
    clippy::unnecessary_cast,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the types of struct stat differ between architectures"
)]
fn key(stat: &Stat) -> Key {
    let seconds = (stat.st_ctime as i64).saturating_mul(1_000_000_000);
    Key {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        changed: seconds.saturating_add(stat.st_ctime_nsec as i64),
        size: stat.st_size as u64,
    }
}
