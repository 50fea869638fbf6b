// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that does with one socket what a script says, and tells what the kernel says to each
//! step.
//!
//! So the same script can be played where the module is not, in front of a slow network, and where
//! it is, while nothing is decided: what is told must be the same.

mod data;
mod older;
mod options;
mod others;
mod ring;
mod waiting;

use std::net::SocketAddr;

use rustix::{
    fd::{AsFd as _, BorrowedFd, OwnedFd},
    io::{Errno, ioctl_fionbio},
    net::{
        Shutdown, SocketFlags, accept, bind, connect, connect_unspec, listen, shutdown, sockopt,
    },
};

use super::actor::{Played, address_of, outcome, say, tcp, wait_for_word};
use ring::Ring;

pub(super) use options::drop_all;
pub(super) use others::Given;

/// Who plays.
pub(super) struct Player {
    /// Where `connect` goes, and where `listen` is, when the step does not say.
    to: SocketAddr,
    socket: Option<OwnedFd>,
    /// Stay open: a listener, once `socket` is what it has accepted, and the like.
    kept: Vec<OwnedFd>,
    epoll: Option<OwnedFd>,
    ring: Option<Ring>,
    /// The socket is in flight between these two.
    hidden: Option<(OwnedFd, OwnedFd)>,
}

/// What is told of a step. An error is one of the player's own, and ends the play.
type Told = Played<String>;
/// A step, with what stands behind its `=`.
type Step = fn(&mut Player, &str) -> Told;

const STEPS: [&[(&str, Step)]; 6] = [
    SOCKET,
    waiting::STEPS,
    data::STEPS,
    options::STEPS,
    older::STEPS,
    ring::STEPS,
];

const SOCKET: &[(&str, Step)] = &[
    ("block", |me, _| me.told(|at| ioctl_fionbio(at, false))),
    ("nonblock", |me, _| me.told(|at| ioctl_fionbio(at, true))),
    ("bind", |me, at| {
        let at = me.address(at)?;
        sockopt::set_socket_reuseaddr(me.at()?, true)?;
        me.told(|socket| bind(socket, &at))
    }),
    ("listen", |me, at| {
        let at = me.address(at)?;
        sockopt::set_socket_reuseaddr(me.at()?, true)?;
        bind(me.at()?, &at)?;
        me.told(|socket| listen(socket, 16))
    }),
    ("accept", |me, _| {
        let accepted = accept(me.at()?);
        Ok(me.take_over(accepted))
    }),
    ("connect", |me, to| {
        let to = me.address(to)?;
        me.told(|socket| connect(socket, &to))
    }),
    ("disconnect", |me, _| me.told(|at| connect_unspec(at))),
    ("error", |me, _| {
        Ok(outcome(&sockopt::socket_error(me.at()?)?))
    }),
    ("shut", |me, how| {
        let how = match how {
            "read" => Shutdown::Read,
            "write" => Shutdown::Write,
            "both" => Shutdown::Both,
            _ => return Err(Errno::INVAL),
        };
        me.told(|at| shutdown(at, how))
    }),
    // Another one; the old one stays open.
    ("socket", |me, _| {
        let another = tcp(me.to, SocketFlags::empty(), None);
        Ok(me.take_over(another))
    }),
    ("dup", |me, _| {
        // The first one is closed by that.
        me.socket = Some(rustix::io::dup(me.at()?)?);
        Ok("ok".into())
    }),
    ("sockets", |me, count| {
        let count: usize = count.parse().map_err(|_| Errno::INVAL)?;
        let made = (0..count).map(|_| outcome(&tcp(me.to, SocketFlags::empty(), None)));
        let mut names: Vec<String> = made.collect();
        names.dedup();
        Ok(names.join(","))
    }),
];

impl Player {
    /// With a socket of the address's family.
    pub(super) fn new(to: SocketAddr) -> Played<Self> {
        Ok(Self::with(to, tcp(to, SocketFlags::empty(), None)?))
    }

    fn with(to: SocketAddr, socket: OwnedFd) -> Self {
        Self {
            to,
            socket: Some(socket),
            kept: Vec::new(),
            epoll: None,
            ring: None,
            hidden: None,
        }
    }

    /// Does one step after the other.
    ///
    /// At `word` it waits until it may go on, at `later` it only tells that it is there; with
    /// `fork` and `pass` another process does the rest.
    pub(super) fn play(mut self, steps: &[&str]) -> Played<()> {
        for (index, step) in steps.iter().enumerate() {
            match *step {
                "word" => {
                    say("word");
                    wait_for_word();
                }
                "later" => say("later"),
                "fork" => return self.hand_over(Given::Inherited, &steps[index + 1..]),
                "pass" => return self.hand_over(Given::Received, &steps[index + 1..]),
                step => {
                    let told = self.step(step)?;
                    say(&format!("{step} {told}"));
                }
            }
        }
        say("end");
        Ok(())
    }

    fn step(&mut self, step: &str) -> Told {
        let (name, argument) = step.split_once('=').unwrap_or((step, ""));
        let known = STEPS.iter().copied().flatten();
        let (_, act) = known
            .into_iter()
            .find(|(known, _)| *known == name)
            .ok_or(Errno::INVAL)?;
        act(self, argument)
    }

    fn address(&self, text: &str) -> Played<SocketAddr> {
        if text.is_empty() {
            Ok(self.to)
        } else {
            address_of(text)
        }
    }

    /// The socket.
    fn at(&self) -> Played<BorrowedFd<'_>> {
        self.socket.as_ref().map(|fd| fd.as_fd()).ok_or(Errno::BADF)
    }

    fn told<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> Played<T>) -> Told {
        Ok(outcome(&act(self.at()?)))
    }

    /// Goes on with another socket, if there is one.
    fn take_over(&mut self, another: Played<OwnedFd>) -> String {
        let told = outcome(&another);
        if let Ok(another) = another {
            self.kept.extend(self.socket.replace(another));
        }
        told
    }
}
