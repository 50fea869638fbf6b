// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The socket goes to another process.

use std::{
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::SocketAddr,
    process::Stdio,
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    process::{Signal, set_parent_process_death_signal},
};

use super::Player;
use crate::{
    child,
    intercept::actor::{ACT, Played},
};

/// How another process comes to a socket.
#[derive(Clone, Copy)]
pub(in crate::intercept) enum Given {
    /// Its parent has it open, and keeps it.
    Inherited,
    /// It was sent by a Unix socket (SCM_RIGHTS), and the sender has closed it.
    Received,
}

impl Given {
    const fn role(self) -> &'static str {
        match self {
            Self::Inherited => "inherited",
            Self::Received => "received",
        }
    }
}

/// Two ends of a Unix socket.
pub(super) fn pair() -> Played<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Sends a descriptor.
pub(super) fn give(by: impl AsFd, what: BorrowedFd<'_>) -> Played<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let what = [what];
    if !control.push(SendAncillaryMessage::ScmRights(&what)) {
        return Err(Errno::NOMEM);
    }
    sendmsg(by, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).map(drop)
}

/// Takes a descriptor that was sent.
pub(super) fn take(from: impl AsFd) -> Played<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut data = [IoSliceMut::new(&mut byte)];
    recvmsg(from, &mut data, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let given = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut all) => all.next(),
        _ => None,
    });
    given.ok_or(Errno::BADMSG)
}

impl Player {
    /// In the other process, which has something to carry the socket as its standard error.
    pub(in crate::intercept) fn given(how: Given, to: SocketAddr) -> Played<Self> {
        // Who ends the first process of a play ends all.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let socket = match how {
            Given::Inherited => rustix::io::dup(std::io::stderr())?,
            Given::Received => take(std::io::stderr())?,
        };
        Ok(Self::with(to, socket))
    }

    /// Another process does the rest of the steps.
    pub(super) fn hand_over(mut self, how: Given, rest: &[&str]) -> Played<()> {
        let carrier = match how {
            Given::Inherited => rustix::io::dup(self.at()?)?,
            Given::Received => {
                let (here, there) = pair()?;
                give(&here, self.at()?)?;
                self.socket = None;
                there
            }
        };
        let part = format!("{} {} {}", how.role(), self.to, rest.join(" "));
        let mut child = child::again(ACT, &part)
            .stderr(Stdio::from(carrier))
            .spawn()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::CHILD))?;
        match child.wait() {
            Ok(_) => Ok(()),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::CHILD)),
        }
    }
}
