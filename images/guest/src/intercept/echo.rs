// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Servers that say everything back, and clients that count how they fared.

use std::{net::SocketAddr, thread};

use rustix::{
    fd::{AsFd as _, OwnedFd},
    io::{read, write},
    net::{SendFlags, SocketFlags, accept, bind, connect, listen, send, sockopt},
};

use super::actor::{Played, outcome, say, tcp, wait_for_word};

fn listener(address: SocketAddr, backlog: i32) -> Played<OwnedFd> {
    let socket = tcp(address, SocketFlags::empty(), None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// Says each connection that is accepted, and to it what it says, until it says no more.
pub(super) fn echo(address: SocketAddr) -> Played<()> {
    let listener = listener(address, 64)?;
    say("listening");
    accept_all(&listener)
}

fn accept_all(listener: &OwnedFd) -> Played<()> {
    loop {
        let connection = accept(listener)?;
        say("accepted");
        thread::spawn(move || say_back(&connection));
    }
}

/// Until the end, or until the other side has gone.
fn say_back(connection: &OwnedFd) -> Played<()> {
    let mut buffer = [0; 1 << 13];
    loop {
        let length = read(connection, &mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            rest = &rest[write(connection, rest)?..];
        }
    }
}

/// What becomes of who was kept waiting.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// It is served as by [`echo`].
    Accept,
    /// Nobody listens any more.
    Refuse,
}

/// A listener that takes nobody in until it gets a word: its queue is full, so that a SYN is lost
/// and comes again a second later, as in a slow network.
pub(super) fn echo_slow(address: SocketAddr, end: End) -> Played<()> {
    let full = listener(address, 1)?;
    let fill = || {
        let socket = tcp(address, SocketFlags::empty(), None)?;
        connect(&socket, &address).map(|()| socket)
    };
    // One more than the backlog: the kernel counts from zero.
    let fillers = [fill()?, fill()?];
    say("listening");
    wait_for_word();
    match end {
        End::Refuse => {
            drop(full);
            say("closed");
            wait_for_word();
            Ok(())
        }
        End::Accept => {
            for _ in &fillers {
                accept(&full)?;
            }
            drop(fillers);
            listen(&full, 64)?;
            say("opened");
            accept_all(&full)
        }
    }
}

/// One connection after the other, over which comes what no TLS server understands; says how they
/// ended.
pub(super) fn knock(address: SocketAddr, count: usize) -> Played<()> {
    let mut ends = Vec::new();
    for _ in 0..count {
        let socket = tcp(address, SocketFlags::empty(), None)?;
        let talk = || {
            connect(&socket, &address)?;
            send(socket.as_fd(), b"who is there?", SendFlags::NOSIGNAL)?;
            read(&socket, &mut [0; 64])
        };
        ends.push(outcome(&talk()));
    }
    ends.sort_unstable();
    ends.dedup();
    say(&ends.join(","));
    Ok(())
}

/// One connection after the other; says how many were answered, and what became of the others.
pub(super) fn visit(address: SocketAddr, count: usize) -> Played<()> {
    let mut answered = 0;
    let mut failed = Vec::new();
    for _ in 0..count {
        let socket = tcp(address, SocketFlags::empty(), None)?;
        let talk = || {
            connect(&socket, &address)?;
            send(socket.as_fd(), b"ping", SendFlags::NOSIGNAL)?;
            read(&socket, &mut [0; 4])
        };
        match talk() {
            Ok(4) => answered += 1,
            other => failed.push(outcome(&other)),
        }
    }
    failed.sort_unstable();
    failed.dedup();
    say(&format!("{answered} answered"));
    say(&failed.join(","));
    Ok(())
}
