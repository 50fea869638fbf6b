// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes the entries of a tar archive below a folder that none of them can leave.

use std::{
    fs,
    io::{self, Read},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps},
    io::Errno,
};
use tidelock_host::files::FileError;

use crate::deb::{DebError, malformed};

/// A folder that stands in for the root of the file system.
pub(crate) struct Root {
    root: OwnedFd,
    /// The folder of the entry before: entries come sorted, so it is mostly the next one's too.
    last: Option<(PathBuf, OwnedFd)>,
}

impl Root {
    pub(crate) fn open(path: &Path) -> Result<Self, DebError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| FileError::of("open the folder", path)(error.into()))?;
        Ok(Self { root, last: None })
    }

    /// Makes one entry, when `keep` holds for its path.
    pub(crate) fn add(
        &mut self,
        deb: &Path,
        entry: &mut tar::Entry<'_, impl Read>,
        keep: &dyn Fn(&Path) -> bool,
    ) -> Result<(), DebError> {
        let raw = entry
            .path()
            .map_err(|error| malformed(deb, error.to_string()))?
            .into_owned();
        let path = inside(deb, &raw)?;
        if path.as_os_str().is_empty() || !keep(&path) {
            return Ok(());
        }
        let target = match entry.header().entry_type() {
            tar::EntryType::Link => Some(inside(deb, &link_target(deb, entry)?)?),
            tar::EntryType::Symlink => Some(link_target(deb, entry)?),
            _ => None,
        };
        self.make(entry, &path, target.as_deref())
            .map_err(|source| DebError::Entry {
                deb: deb.into(),
                entry: path,
                source,
            })
    }

    fn make(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Path,
        target: Option<&Path>,
    ) -> io::Result<()> {
        let mode = Mode::from_raw_mode(entry.header().mode()? & 0o777);
        let (parent, name) = split(path)?;
        match (entry.header().entry_type(), target) {
            (tar::EntryType::Directory, _) => self.make_dir(path, mode),
            (tar::EntryType::Symlink, Some(target)) => {
                let parent = self.dir(parent)?;
                replace(parent, name)?;
                Ok(rustix::fs::symlinkat(target, parent, name)?)
            }
            (tar::EntryType::Link, Some(target)) => {
                let (target_parent, target_name) = split(target)?;
                let from = self.dir(target_parent)?.try_clone_to_owned()?;
                let parent = self.dir(parent)?;
                if target == path {
                    return Ok(());
                }
                replace(parent, name)?;
                let none = AtFlags::empty();
                Ok(rustix::fs::linkat(&from, target_name, parent, name, none)?)
            }
            (kind, _) if kind.is_file() => {
                let parent = self.dir(parent)?;
                replace(parent, name)?;
                write_file(parent, name, mode, entry)
            }
            (kind, _) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("entries of type {kind:?} are not made"),
            )),
        }
    }

    /// A folder of the package; one that is there already stays as it is, also when it is there
    /// by way of a symbolic link (dpkg does the same).
    fn make_dir(&mut self, path: &Path, mode: Mode) -> io::Result<()> {
        if self.resolve(path).is_ok() {
            return Ok(());
        }
        let (parent, name) = split(path)?;
        let parent = self.dir(parent)?;
        rustix::fs::mkdirat(parent, name, mode | Mode::RWXU)?;
        Ok(rustix::fs::chmodat(
            parent,
            name,
            mode | Mode::RWXU,
            AtFlags::empty(),
        )?)
    }

    /// Opens the folder `path`, making what is missing of it.
    fn dir(&mut self, path: &Path) -> io::Result<BorrowedFd<'_>> {
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let opened = self.open_or_make(path)?;
            self.last = Some((path.to_owned(), opened));
        }
        Ok(self
            .last
            .as_ref()
            .map_or(self.root.as_fd(), |(_, fd)| fd.as_fd()))
    }

    fn open_or_make(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.resolve(path) {
            Err(Errno::NOENT) => {
                let (parent, name) = split(path)?;
                let parent = self.open_or_make(parent)?;
                match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                    // A link that leads nowhere is named by the second try.
                    Ok(()) | Err(Errno::EXIST) => Ok(self.resolve(path)?),
                    Err(error) => Err(error.into()),
                }
            }
            other => Ok(other?),
        }
    }

    /// Opens a folder, following links as if this folder were the root (openat2(2)).
    fn resolve(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        rustix::fs::openat2(
            &self.root,
            path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )
    }
}

/// The path without `./`; refuses one that could lead out.
fn inside(deb: &Path, raw: &Path) -> Result<PathBuf, DebError> {
    let mut path = PathBuf::new();
    for component in raw.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(DebError::Escapes {
                    deb: deb.into(),
                    entry: raw.display().to_string(),
                });
            }
        }
    }
    Ok(path)
}

fn link_target(deb: &Path, entry: &tar::Entry<'_, impl Read>) -> Result<PathBuf, DebError> {
    let target = entry
        .link_name()
        .map_err(|error| malformed(deb, error.to_string()))?;
    target
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| malformed(deb, "a link without a target".into()))
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    path.parent()
        .zip(path.file_name())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))
}

/// Makes room for an entry where an earlier package left a file or a link.
fn replace(parent: BorrowedFd<'_>, name: &std::ffi::OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn write_file(
    parent: BorrowedFd<'_>,
    name: &std::ffi::OsStr,
    mode: Mode,
    entry: &mut tar::Entry<'_, impl Read>,
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, mode | Mode::RWXU)?;
    let mut file = fs::File::from(file);
    let seconds = entry.header().mtime()?;
    let size = entry.size();
    let copied = io::copy(entry, &mut file)?;
    if copied != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    rustix::fs::fchmod(&file, mode)?;
    let time = Timespec {
        tv_sec: i64::try_from(seconds).unwrap_or(0),
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    Ok(rustix::fs::futimens(&file, &times)?)
}
