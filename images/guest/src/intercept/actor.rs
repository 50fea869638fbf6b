// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process of its own that connects or accepts, and says step by step what the kernel says.
//!
//! The process that has the device open is never asked about, so a test needs others.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ExitCode, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fd::{AsFd, OwnedFd},
    io::{Errno, read, write},
    net::{
        AddressFamily, Protocol, SendFlags, Shutdown, SocketFlags, SocketType, accept, bind,
        connect, connect_unspec, ipproto, listen, send, shutdown, socket_with, sockopt,
    },
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use super::{
    echo::{self, End},
    heir, load, race, raw,
    script::{Given, Player},
    smc, traffic,
};
use crate::{
    child,
    failure::{Checked, Failure, ensure},
};

/// Argument of a child that plays a part.
pub(crate) const ACT: &str = "act";
const PATIENCE: Duration = Duration::from_secs(30);

/// A running part.
pub(crate) struct Actor {
    child: Child,
    lines: Receiver<String>,
    part: String,
}

impl Actor {
    /// Starts a part, such as `connect 127.0.0.1:80`.
    pub(crate) fn start(part: &str) -> Checked<Self> {
        let mut child = child::again(ACT, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::system(format!("start {part}")))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self {
            child,
            lines,
            part: part.into(),
        })
    }

    /// Starts a part in a network namespace of the userland's.
    pub(crate) fn start_in(network: &str, part: &str) -> Checked<Self> {
        within(network, || Self::start(part))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it says next.
    pub(crate) fn line(&self) -> Checked<String> {
        self.line_within(PATIENCE)
    }

    /// What it says next, where that may take its time.
    pub(crate) fn line_within(&self, limit: Duration) -> Checked<String> {
        self.lines.recv_timeout(limit).map_err(|error| {
            let what = match error {
                RecvTimeoutError::Timeout => "said nothing for long",
                RecvTimeoutError::Disconnected => "ended without a word",
            };
            Failure::Assertion(format!("{} {what}", self.part))
        })
    }

    /// What it says up to the last of these words.
    pub(crate) fn lines_to(&self, words: &[&str]) -> Checked<Vec<String>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().map_err(|failure| match failure {
                Failure::Assertion(why) => Failure::Assertion(format!("{why} after {lines:?}")),
                other => other,
            })?;
            let last = words.contains(&line.as_str());
            lines.push(line);
            if last {
                return Ok(lines);
            }
        }
    }

    /// It must say this next.
    pub(crate) fn says(&self, expected: &str) -> Checked<()> {
        let line = self.line()?;
        ensure(line == expected, || {
            format!("{} said {line:?}, not {expected:?}", self.part)
        })
    }

    /// Its connection must be ended by a reset, which may come before it knows that it has one.
    pub(crate) fn is_reset(&self) -> Checked<()> {
        match self.line()?.as_str() {
            "CONNRESET" => Ok(()),
            "ok" => self.says("CONNRESET"),
            other => Err(Failure::Assertion(format!(
                "{} said {other:?} and was to be reset",
                self.part
            ))),
        }
    }

    /// It must say nothing for a while.
    pub(crate) fn is_silent(&self, time: Duration) -> Checked<()> {
        match self.lines.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            other => Err(Failure::Assertion(format!(
                "{} was to wait and came to {other:?}",
                self.part
            ))),
        }
    }

    /// Lets it go on where it waits for that.
    pub(crate) fn go_on(&mut self) -> Checked<()> {
        self.tell("")
    }

    /// Says a word to it.
    pub(crate) fn tell(&mut self, word: &str) -> Checked<()> {
        let part = self.part.clone();
        let stdin = self.child.stdin.as_mut();
        stdin
            .ok_or_else(|| Failure::Assertion(format!("{part} has no input")))?
            .write_all(format!("{word}\n").as_bytes())
            .map_err(Failure::system(format!("tell {part} {word:?}")))
    }

    /// Waits for its end; its number is free then. What inherited its output may still speak.
    pub(crate) fn ended(&mut self) -> Checked<()> {
        let ended = self.child.wait();
        let status = ended.map_err(Failure::system(format!("wait for {}", self.part)))?;
        ensure(status.success(), || format!("{}: {status}", self.part))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does something in a network namespace of the userland's; what it starts stays there.
pub(crate) fn within<T: Send>(
    network: &str,
    act: impl FnOnce() -> Checked<T> + Send,
) -> Checked<T> {
    let path = format!("/run/netns/{network}");
    let file = File::open(&path).map_err(Failure::system(format!("open {path}")))?;
    let entered = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(Failure::system(format!("enter {path}")))?;
        act()
    };
    // A thread of its own, for this one stays where it is.
    let result = thread::scope(|scope| scope.spawn(entered).join());
    result.unwrap_or_else(|_| Err(Failure::Assertion(format!("a thread in {path} panicked"))))
}

/// The child's side: plays its part to the end.
pub(crate) fn play(part: &str) -> ExitCode {
    let words: Vec<&str> = part.split(' ').collect();
    let result = match words[..] {
        ["as", user, ..] => {
            let rest = words[2..].join(" ");
            return match user.parse().map(traffic::become_user) {
                Ok(Ok(())) => play(&rest),
                _ => ExitCode::FAILURE,
            };
        }
        ["connect", address] => address_of(address).and_then(connect_and_wait),
        ["connect-late", address] => address_of(address).and_then(connect_without_waiting),
        ["fastopen", address] => address_of(address).and_then(send_with_syn),
        ["mptcp", address] => address_of(address).and_then(connect_multipath),
        ["again", first, second] => address_of(first)
            .and_then(|first| address_of(second).and_then(|second| connect_twice(first, second))),
        ["hammer", address] => address_of(address).and_then(hammer),
        ["serve", address] => address_of(address).and_then(|at| serve(at, SocketFlags::empty())),
        ["serve-late", address] => {
            address_of(address).and_then(|at| serve(at, SocketFlags::NONBLOCK))
        }
        ["serve-many", address, count] => address_of(address)
            .and_then(|at| serve_many(at, count.parse().map_err(|_| Errno::INVAL)?)),
        ["serve-echo", address] => address_of(address).and_then(echo::echo),
        ["echo-slow", address, "accept"] => {
            address_of(address).and_then(|at| echo::echo_slow(at, End::Accept))
        }
        ["echo-slow", address, "refuse"] => {
            address_of(address).and_then(|at| echo::echo_slow(at, End::Refuse))
        }
        ["knock", address, count] => counted(address, count, echo::knock),
        ["visit", address, count] => counted(address, count, echo::visit),
        ["race", first, second] => address_of(first)
            .and_then(|first| address_of(second).and_then(|second| race::race(first, second))),
        ["smc", address] => address_of(address).and_then(smc::connect_by_smc),
        ["script", address, ref steps @ ..] => {
            address_of(address).and_then(|to| Player::new(to)?.play(steps))
        }
        ["inherited", address, ref steps @ ..] => {
            address_of(address).and_then(|to| Player::given(Given::Inherited, to)?.play(steps))
        }
        ["received", address, ref steps @ ..] => {
            address_of(address).and_then(|to| Player::given(Given::Received, to)?.play(steps))
        }
        ["serve-polling", address] => address_of(address).and_then(traffic::serve_polling),
        ["flood", address, count] => address_of(address)
            .and_then(|at| traffic::flood(at, count.parse().map_err(|_| Errno::INVAL)?)),
        ["echo", address] => address_of(address).and_then(traffic::echo),
        ["talk", address] => address_of(address).and_then(traffic::talk),
        ["by-hand", ref words @ ..] => raw::play(words),
        ["bequeath", address] => address_of(address).and_then(heir::bequeath),
        ["inherit"] => heir::inherit(),
        _ => load::play(&words).unwrap_or(Err(Errno::INVAL)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot play {part:?}: {error}"));
            ExitCode::FAILURE
        }
    }
}

pub(super) type Played<T> = Result<T, Errno>;

/// MSG_FASTOPEN, <linux/socket.h>.
pub(super) const FAST_OPEN: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// A part that does something so often.
fn counted(
    address: &str,
    count: &str,
    act: impl FnOnce(SocketAddr, usize) -> Played<()>,
) -> Played<()> {
    act(
        address_of(address)?,
        count.parse().map_err(|_| Errno::INVAL)?,
    )
}

pub(super) fn address_of(text: &str) -> Played<SocketAddr> {
    text.parse().map_err(|_| Errno::INVAL)
}

pub(super) fn say(line: &str) {
    let mut out = std::io::stdout();
    // Who does not listen any more has ended the test.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// `ok`, or the name of the errno.
pub(super) fn outcome<T>(result: &Played<T>) -> String {
    const NAMES: [(Errno, &str); 20] = [
        (Errno::ACCESS, "ACCESS"),
        (Errno::AFNOSUPPORT, "AFNOSUPPORT"),
        (Errno::AGAIN, "AGAIN"),
        (Errno::ALREADY, "ALREADY"),
        (Errno::CONNABORTED, "CONNABORTED"),
        (Errno::CONNREFUSED, "CONNREFUSED"),
        (Errno::CONNRESET, "CONNRESET"),
        (Errno::INPROGRESS, "INPROGRESS"),
        (Errno::INTR, "INTR"),
        (Errno::INVAL, "INVAL"),
        (Errno::ISCONN, "ISCONN"),
        (Errno::NOENT, "NOENT"),
        (Errno::NOSYS, "NOSYS"),
        (Errno::NOTCONN, "NOTCONN"),
        (Errno::OPNOTSUPP, "OPNOTSUPP"),
        (Errno::PERM, "PERM"),
        (Errno::PIPE, "PIPE"),
        (Errno::PROTONOSUPPORT, "PROTONOSUPPORT"),
        (Errno::SOCKTNOSUPPORT, "SOCKTNOSUPPORT"),
        (Errno::TIMEDOUT, "TIMEDOUT"),
    ];
    match result {
        Ok(_) => "ok".into(),
        Err(error) => NAMES
            .iter()
            .find(|(known, _)| known == error)
            .map_or_else(|| error.to_string(), |(_, name)| (*name).into()),
    }
}

pub(super) fn wait_for_word() {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
}

pub(super) fn tcp(
    address: SocketAddr,
    flags: SocketFlags,
    protocol: Option<Protocol>,
) -> Played<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    socket_with(
        family,
        SocketType::STREAM,
        flags | SocketFlags::CLOEXEC,
        protocol,
    )
}

pub(super) fn ready(socket: impl AsFd, wanted: PollFlags, milliseconds: i64) -> Played<PollFlags> {
    let mut entry = [PollFd::new(&socket, wanted)];
    let timeout = Timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    };
    poll(&mut entry, Some(&timeout))?;
    Ok(entry[0].revents())
}

/// Connects, says how that went, and on success what the peer says.
fn connect_and_wait(address: SocketAddr) -> Played<()> {
    let socket = tcp(address, SocketFlags::empty(), None)?;
    let connected = connect(&socket, &address);
    say(&outcome(&connected));
    if connected.is_ok() {
        say(&heard(&socket));
    }
    Ok(())
}

/// What the peer says until it closes, or the errno.
fn heard(socket: &OwnedFd) -> String {
    let mut all = Vec::new();
    loop {
        let mut buffer = [0; 64];
        match read(socket, &mut buffer) {
            Ok(0) => return String::from_utf8_lossy(&all).into_owned(),
            Ok(length) => all.extend_from_slice(&buffer[..length]),
            Err(error) => return outcome::<()>(&Err(error)),
        }
    }
}

/// Connects without waiting, and tells what can be seen meanwhile; after a word, what came of it.
fn connect_without_waiting(address: SocketAddr) -> Played<()> {
    let socket = tcp(address, SocketFlags::NONBLOCK, None)?;
    say(&outcome(&connect(&socket, &address)));
    say(&outcome(&connect(&socket, &address)));
    say(&outcome(&send(&socket, b"early", SendFlags::NOSIGNAL)));
    let mut buffer = [0; 8];
    say(&outcome(&read(&socket, &mut buffer)));
    let seen = ready(&socket, PollFlags::IN | PollFlags::OUT, 100)?;
    say(&format!("{:#x}", seen.bits()));
    wait_for_word();
    let seen = ready(&socket, PollFlags::OUT, 20_000)?;
    say(&format!("{:#x}", seen.bits()));
    let error = sockopt::socket_error(&socket)?;
    say(&outcome(&error));
    say(&outcome(&connect(&socket, &address)));
    Ok(())
}

/// Data in a SYN.
fn send_with_syn(address: SocketAddr) -> Played<()> {
    let socket = tcp(address, SocketFlags::empty(), None)?;
    let sent = rustix::net::sendto(&socket, b"fast", FAST_OPEN | SendFlags::NOSIGNAL, &address);
    say(&outcome(&sent));
    Ok(())
}

fn connect_multipath(address: SocketAddr) -> Played<()> {
    match tcp(address, SocketFlags::empty(), Some(ipproto::MPTCP)) {
        Ok(socket) => say(&outcome(&connect(&socket, &address))),
        // A kernel without it.
        Err(error @ (Errno::PROTONOSUPPORT | Errno::INVAL)) => say(&outcome::<()>(&Err(error))),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Connects, disconnects, and connects elsewhere with the same socket.
fn connect_twice(first: SocketAddr, second: SocketAddr) -> Played<()> {
    let socket = tcp(first, SocketFlags::empty(), None)?;
    say(&outcome(&connect(&socket, &first)));
    say(&outcome(&connect_unspec(&socket)));
    say(&outcome(&connect(&socket, &second)));
    Ok(())
}

/// Whatever the kernel says to it.
pub(super) fn ignore<T>(_: Played<T>) {}

/// Threads that connect, disconnect, shut down and set options of one socket, for a while.
fn hammer(address: SocketAddr) -> Played<()> {
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        let socket = tcp(address, SocketFlags::NONBLOCK, None)?;
        let round = Instant::now() + Duration::from_millis(150);
        let again = |act: &dyn Fn()| {
            while Instant::now() < round {
                act();
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| again(&|| ignore(connect(&socket, &address))));
            }
            scope.spawn(|| again(&|| ignore(connect_unspec(&socket))));
            scope.spawn(|| again(&|| ignore(shutdown(&socket, Shutdown::Both))));
            scope.spawn(|| again(&|| ignore(sockopt::set_tcp_congestion(&socket, "reno"))));
            scope.spawn(|| again(&|| ignore(send(&socket, b"x", SendFlags::NOSIGNAL))));
            scope.spawn(|| again(&|| ignore(ready(&socket, PollFlags::OUT, 0))));
        });
    }
    say("done");
    Ok(())
}

/// As `serve`, by so many threads that sleep in accept side by side; each has one connection, and
/// is busy with it for good.
fn serve_many(address: SocketAddr, count: usize) -> Played<()> {
    let socket = tcp(address, SocketFlags::empty(), None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 64)?;
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                match accept(&socket) {
                    Ok(connection) => {
                        say("accepted");
                        ignore(write(&connection, b"hello"));
                    }
                    other => say(&outcome(&other.map(drop))),
                }
                loop {
                    thread::park();
                }
            });
        }
        say("listening");
    });
    Ok(())
}

/// Listens; says each connection that is accepted, greets it and closes it.
fn serve(address: SocketAddr, flags: SocketFlags) -> Played<()> {
    let socket = tcp(address, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, 64)?;
    say("listening");
    loop {
        if flags.contains(SocketFlags::NONBLOCK) {
            ready(&socket, PollFlags::IN, 600_000)?;
        }
        match accept(&socket) {
            Ok(connection) => {
                say("accepted");
                write(&connection, b"hello")?;
            }
            Err(Errno::AGAIN) => say("again"),
            Err(error) => {
                say(&outcome::<()>(&Err(error)));
                return Ok(());
            }
        }
    }
}
