// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the device is, and how it is opened.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rustix::{
    fd::OwnedFd,
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with},
};

/// Where the device is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// The module's.
    Device(PathBuf),
    /// A fake: a Unix socket that keeps the bounds of frames, behind which a test speaks as the
    /// module would.
    Fake(PathBuf),
}

/// The device cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none.
    #[error("{} is not there: is the module loaded? (modprobe tidelock)", .0.display())]
    Missing(PathBuf),
    /// Somebody else has it.
    #[error("{} is open elsewhere: is another tidelockd running?", .0.display())]
    Busy(PathBuf),
    /// It may not be opened.
    #[error("{} may not be opened: it is for root alone", .0.display())]
    Forbidden(PathBuf),
    /// It is no device.
    #[error("{} is no character device", .0.display())]
    NoDevice(PathBuf),
    /// Its module's core is dead.
    #[error(
        "{}: the module's core is dead: load the module again (rmmod tidelock && modprobe \
         tidelock); the kernel's log says why",
        .0.display()
    )]
    Dead(PathBuf),
    /// Something else.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Place {
    /// Where it is, as a path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Device(path) | Self::Fake(path) => path,
        }
    }

    /// Opens it, so that it does not block.
    ///
    /// # Errors
    /// When it is not there, or not to be had.
    pub fn open(&self) -> Result<OwnedFd, OpenError> {
        let failed = |errno: Errno| {
            let path = self.path().to_owned();
            match errno {
                Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::CONNREFUSED => {
                    OpenError::Missing(path)
                }
                Errno::BUSY => OpenError::Busy(path),
                Errno::ACCESS | Errno::PERM => OpenError::Forbidden(path),
                Errno::NOTRECOVERABLE => OpenError::Dead(path),
                errno => OpenError::Io {
                    path,
                    source: errno.into(),
                },
            }
        };
        match self {
            Self::Device(path) => {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
                let fd = open(path, flags, Mode::empty()).map_err(failed)?;
                let kind = FileType::from_raw_mode(fstat(&fd).map_err(failed)?.st_mode);
                if kind != FileType::CharacterDevice {
                    return Err(OpenError::NoDevice(path.clone()));
                }
                Ok(fd)
            }
            Self::Fake(path) => {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                let kind = SocketType::SEQPACKET;
                let fd = socket_with(AddressFamily::UNIX, kind, flags, None).map_err(failed)?;
                let address = SocketAddrUnix::new(path.as_path()).map_err(failed)?;
                connect(&fd, &address).map_err(failed)?;
                Ok(fd)
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "{}", path.display()),
            Self::Fake(path) => write!(f, "{} (a fake)", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_device_is_not_spoken_to() {
        let open = |path: &str| Place::Device(path.into()).open();
        assert!(matches!(open("/no/such"), Err(OpenError::Missing(_))));
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert!(matches!(open(path), Err(OpenError::NoDevice(_))));
        assert!(open("/dev/null").is_ok());
        let missing = Place::Fake("/no/such".into()).open();
        assert!(matches!(missing, Err(OpenError::Missing(_))));
    }
}
