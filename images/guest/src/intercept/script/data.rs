// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps that move data.

use std::thread;

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{MemfdFlags, memfd_create, sendfile},
    io::{Errno, read, write},
    net::{SendFlags, Shutdown, send, sendto, shutdown},
    pipe::{SpliceFlags, pipe, splice},
};

use super::{Player, Step, Told};
use crate::intercept::actor::{FAST_OPEN, Played, outcome};

pub(super) const STEPS: &[(&str, Step)] = &[
    ("send", |me, _| {
        me.told(|at| send(at, b"ping", SendFlags::NOSIGNAL))
    }),
    // With the SYN, if it can be: it must not wait.
    ("fast", |me, _| {
        let to = me.to;
        let flags = FAST_OPEN | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        me.told(|at| sendto(at, b"fast", flags, &to))
    }),
    ("recv", |me, _| {
        let mut buffer = [0; 64];
        Ok(text(read(me.at()?, &mut buffer), &buffer))
    }),
    ("sendfile", |me, _| {
        let file = file(b"filed")?;
        me.told(|at| sendfile(at, &file, Some(&mut 0), 5))
    }),
    ("splice", |me, _| me.splice()),
    ("bulk", |me, _| me.bulk()),
];

/// Longer than any buffer on the way.
const BULK: usize = 3 << 20;

/// What was read, in quotation marks, or the errno.
pub(super) fn text(length: Played<usize>, buffer: &[u8]) -> String {
    match length {
        Ok(length) => format!("{:?}", String::from_utf8_lossy(&buffer[..length])),
        Err(error) => outcome::<()>(&Err(error)),
    }
}

fn file(content: &[u8]) -> Played<OwnedFd> {
    let file = memfd_create("content", MemfdFlags::CLOEXEC)?;
    let mut rest = content;
    while !rest.is_empty() {
        let written = write(&file, rest)?;
        rest = &rest[written..];
    }
    Ok(file)
}

/// All of a file to a socket, and its end.
fn send_all(socket: impl AsFd, file: &OwnedFd) -> Played<()> {
    let mut at = 0;
    while at < BULK as u64 {
        if sendfile(&socket, file, Some(&mut at), BULK)? == 0 {
            return Err(Errno::PIPE);
        }
    }
    shutdown(&socket, Shutdown::Write)
}

impl Player {
    /// From the socket to a pipe, as `recv`.
    fn splice(&self) -> Told {
        let (outlet, inlet) = pipe()?;
        let moved = splice(self.at()?, None, &inlet, None, 64, SpliceFlags::empty());
        let mut buffer = [0; 64];
        Ok(match moved {
            // Nothing is in the pipe.
            Ok(0) => text(Ok(0), &buffer),
            Ok(_) => text(read(&outlet, &mut buffer), &buffer),
            Err(error) => outcome::<()>(&Err(error)),
        })
    }

    /// From a file to the socket, and what is echoed through a pipe: all of it must be the same.
    fn bulk(&self) -> Told {
        let pattern = |n: usize| n.wrapping_mul(0x9e37_79b1).to_le_bytes()[2];
        let content: Vec<u8> = (0..BULK).map(pattern).collect();
        let file = file(&content)?;
        let (outlet, inlet) = pipe()?;
        let socket = self.at()?;
        let mut echoed = Vec::with_capacity(BULK);
        thread::scope(|scope| {
            let sender = scope.spawn(|| send_all(socket, &file));
            loop {
                let moved = splice(socket, None, &inlet, None, 1 << 16, SpliceFlags::empty())?;
                if moved == 0 {
                    break;
                }
                let mut rest = moved;
                let mut buffer = [0; 1 << 13];
                while rest > 0 {
                    let length = read(&outlet, &mut buffer)?;
                    echoed.extend_from_slice(&buffer[..length]);
                    rest -= length;
                }
            }
            sender.join().unwrap_or(Err(Errno::CANCELED))
        })?;
        let same = if echoed == content {
            "the same"
        } else {
            "other"
        };
        Ok(format!("{} {same}", echoed.len()))
    }
}
