// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries for systemd's journal, by its native protocol: one datagram an entry, a field a line
//! (systemd.io/JOURNAL_NATIVE_PROTOCOL). Our entries are far below the length that a datagram
//! may have, so that the way by a file descriptor is not needed.

use std::{
    io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

/// Where the journal listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// The way to the journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    socket: Option<UnixDatagram>,
}

impl Journal {
    /// The journal that listens there.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            socket: None,
        }
    }

    /// Sends an entry. Does not wait for a journal that is slow.
    ///
    /// # Errors
    /// When it does not take it; the next one connects anew.
    pub fn send(&mut self, fields: &[(&str, &str)]) -> io::Result<()> {
        let socket = if let Some(socket) = self.socket.take() {
            socket
        } else {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            socket.connect(&self.path)?;
            socket
        };
        socket.send(&entry(fields))?;
        self.socket = Some(socket);
        Ok(())
    }
}

/// The datagram of an entry. A value with a line's end in it is given with its length, so that no
/// value can make fields of its own.
fn entry(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.extend(name.as_bytes());
        if value.contains('\n') {
            bytes.push(b'\n');
            bytes.extend((value.len() as u64).to_le_bytes());
        } else {
            bytes.push(b'=');
        }
        bytes.extend(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_make_fields_of_its_own() {
        assert_eq!(entry(&[("A", "x=y"), ("B", "")]), b"A=x=y\nB=\n");
        let bytes = entry(&[("MESSAGE", "a\nPRIORITY=0")]);
        assert_eq!(bytes, b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\n");
    }

    #[test]
    fn a_journal_that_comes_later_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let mut journal = Journal::new(&path);
        assert!(journal.send(&[("A", "lost")]).is_err());
        let fake = UnixDatagram::bind(&path).unwrap();
        journal.send(&[("A", "found")]).unwrap();
        let mut buffer = [0; 64];
        let len = fake.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..len], b"A=found\n");
    }
}
