// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets in files: read whole, wiped, and only from files that others cannot read or change.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

/// A file that could be opened.
pub(crate) struct Opened {
    file: File,
    pub(crate) metadata: Metadata,
}

/// Opens a file; none where there is nothing. A pipe or a device does not hold us up. `links` is
/// [`OFlags::NOFOLLOW`] where a link is refused, or empty.
pub(crate) fn open(path: &Path, links: OFlags) -> io::Result<Option<Opened>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | links;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let metadata = file.metadata()?;
    Ok(Some(Opened { file, metadata }))
}

impl Opened {
    /// All of it, `limit` bytes at most; none when it is no file or is longer. There is one copy,
    /// which is wiped.
    pub(crate) fn read(self, limit: usize) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        if !self.metadata.is_file() {
            return Ok(None);
        }
        // It never grows, which would leave a copy behind.
        let mut bytes = Zeroizing::new(vec![0; limit + 1]);
        let mut len = 0;
        let mut file = self.file;
        while len < bytes.len() {
            match file.read(&mut bytes[len..])? {
                0 => break,
                more => len += more,
            }
        }
        bytes.truncate(len);
        Ok((len <= limit).then_some(bytes))
    }

    /// Its permissions.
    pub(crate) fn mode(&self) -> u32 {
        self.metadata.mode() & 0o7777
    }
}
