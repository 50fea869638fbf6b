// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parts that know nothing of the module: servers, clients that mind every byte and every error,
//! and one that wants too much.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use rustix::{
    event::PollFlags,
    io::Errno,
    net::{SocketFlags, connect},
    process::{Resource, Rlimit, setrlimit},
    thread::{Uid, set_thread_uid},
};

use super::actor::{Played, outcome, ready, say, tcp, wait_for_word};

/// Connections that stay open.
const OPEN: usize = 8;
/// Each message: longer than one would be that fits by chance.
const MESSAGE: usize = 512;
/// Between two rounds, so that others on the one processor get on.
const PAUSE: Duration = Duration::from_millis(40);

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Says `listening`, and all that is said to it, to each by a thread of its own that blocks.
pub(super) fn echo(address: SocketAddr) -> Played<()> {
    let listener = TcpListener::bind(address).map_err(|error| errno(&error))?;
    say("listening");
    loop {
        let (mut stream, _) = listener.accept().map_err(|error| errno(&error))?;
        thread::spawn(move || {
            let mut buffer = [0; MESSAGE];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
        });
    }
}

fn exchange(stream: &mut TcpStream, round: u64) -> io::Result<()> {
    let sent = [round.to_le_bytes(); MESSAGE / 8].concat();
    stream.write_all(&sent)?;
    let mut heard = [0; MESSAGE];
    stream.read_exact(&mut heard)?;
    if heard[..] == sent[..] {
        Ok(())
    } else {
        Err(io::Error::other("other bytes came back"))
    }
}

fn visit(address: SocketAddr, round: u64) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    exchange(&mut stream, round)?;
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err(io::Error::other("more came back than was sent"))
    }
}

/// Talks over connections that stay and over new ones, until a word comes; says how often, or
/// what went wrong.
pub(super) fn talk(address: SocketAddr) -> Played<()> {
    let mut open = Vec::new();
    for _ in 0..OPEN {
        open.push(TcpStream::connect(address).map_err(|error| errno(&error))?);
    }
    say("talking");
    let mut round = 0;
    while ready(io::stdin(), PollFlags::IN, 0)?.is_empty() {
        round += 1;
        let result = open
            .iter_mut()
            .try_for_each(|stream| exchange(stream, round))
            .map_err(|error| format!("an open connection: {error}"))
            .and_then(|()| visit(address, round).map_err(|error| format!("a new one: {error}")));
        if let Err(error) = result {
            say(&format!("round {round}: {error}"));
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    say(&format!("talked {round}"));
    Ok(())
}

/// A server that polls a listener that blocks, as many do; greets each and closes it.
pub(super) fn serve_polling(address: SocketAddr) -> Played<()> {
    let listener = TcpListener::bind(address).map_err(|error| errno(&error))?;
    say("listening");
    loop {
        if ready(&listener, PollFlags::IN, 600_000)?.is_empty() {
            continue;
        }
        say("readable");
        let (mut stream, _) = listener.accept().map_err(|error| errno(&error))?;
        say("accepted");
        stream.write_all(b"hello").map_err(|error| errno(&error))?;
    }
}

/// Connects without waiting to so many ports from this one on, and says what came of how many;
/// holds them until a word comes.
pub(super) fn flood(first: SocketAddr, count: u16) -> Played<()> {
    let files = u64::from(count) + 64;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(files),
            maximum: Some(files),
        },
    )?;
    let mut open = Vec::new();
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..count {
        let port = first.port().checked_add(number).ok_or(Errno::INVAL)?;
        let socket = tcp(first, SocketFlags::NONBLOCK, None)?;
        let result = connect(&socket, &SocketAddr::new(first.ip(), port));
        *seen.entry(outcome(&result)).or_default() += 1;
        open.push(socket);
    }
    let seen: Vec<String> = seen.iter().map(|(what, n)| format!("{n} {what}")).collect();
    say(&seen.join(", "));
    wait_for_word();
    Ok(())
}

/// This process has one thread.
pub(super) fn become_user(id: u32) -> Played<()> {
    set_thread_uid(Uid::from_raw(id))
}
