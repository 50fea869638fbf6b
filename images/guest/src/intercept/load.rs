// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Many connections: who serves them, who keeps them open, who makes new ones.

use std::{
    collections::{BTreeMap, HashMap},
    io::BufRead as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFlags, epoll},
    fd::{AsFd as _, OwnedFd},
    io::{Errno, read},
    net::{SendFlags, SocketFlags, accept_with, bind, connect, listen, send, sockopt},
    process::{Resource, Rlimit, setrlimit},
};

use super::actor::{Played, address_of, outcome, ready, say, tcp};

/// Of one message.
const LENGTH: usize = 8;
/// How long one may be under way, in milliseconds, on a busy host.
const PATIENCE_MS: i64 = 30_000;
/// For thousands of sockets.
const DESCRIPTORS: u64 = 10_000;
/// How many connect at the same time.
const SIDE_BY_SIDE: usize = 20;

/// The parts of this file; none for the others.
pub(super) fn play(words: &[&str]) -> Option<Played<()>> {
    let part = || match *words {
        ["echo", ref addresses @ ..] => {
            let addresses = addresses.iter().map(|text| address_of(text));
            addresses
                .collect::<Played<Vec<_>>>()
                .and_then(|at| echo(&at))
        }
        ["keep", address, count, ways] => keep(address_of(address)?, number(count)?, number(ways)?),
        ["herd", address, ways] => herd(address_of(address)?, number(ways)?),
        _ => Err(Errno::NOSYS),
    };
    let known = ["echo", "keep", "herd"];
    words
        .first()
        .is_some_and(|word| known.contains(word))
        .then(part)
}

fn number(text: &str) -> Played<usize> {
    text.parse().map_err(|_| Errno::INVAL)
}

/// Each of these is another address of the loopback, and so another purpose.
fn spread(address: SocketAddr, by: usize) -> SocketAddr {
    let IpAddr::V4(ip) = address.ip() else {
        return address;
    };
    let by = u32::try_from(by).unwrap_or(0);
    let ip = Ipv4Addr::from(u32::from(ip).wrapping_add(by));
    SocketAddr::from((ip, address.port()))
}

fn more_descriptors() -> Played<()> {
    let limit = Rlimit {
        current: Some(DESCRIPTORS),
        maximum: Some(DESCRIPTORS),
    };
    setrlimit(Resource::Nofile, limit)
}

/// The words that the test says, a line each.
fn words() -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Gives back what it gets, at several addresses; asked by a word, says how many connections each
/// of them has accepted.
fn echo(addresses: &[SocketAddr]) -> Played<()> {
    more_descriptors()?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut listeners = Vec::new();
    for (at, address) in addresses.iter().enumerate() {
        let socket = tcp(*address, SocketFlags::NONBLOCK, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, address)?;
        listen(&socket, 4096)?;
        watch(&epoll, &socket, at as u64)?;
        listeners.push(socket);
    }
    let stdin = std::io::stdin();
    let asked = addresses.len() as u64;
    watch(&epoll, &stdin, asked)?;
    say("listening");
    let mut accepted = vec![0_usize; addresses.len()];
    let mut connections: HashMap<u64, OwnedFd> = HashMap::new();
    let mut last = asked;
    let mut events = Vec::with_capacity(256);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in events.drain(..) {
            let of = event.data.u64();
            if of == asked {
                let mut line = [0; 64];
                if read(stdin.as_fd(), &mut line)? == 0 {
                    return Ok(());
                }
                let counts: Vec<String> = accepted.iter().map(ToString::to_string).collect();
                say(&format!("accepted {}", counts.join(" ")));
            } else if let Some(listener) = usize::try_from(of).ok().and_then(|at| listeners.get(at))
            {
                while let Some(socket) = next_of(listener)? {
                    last += 1;
                    watch(&epoll, &socket, last)?;
                    connections.insert(last, socket);
                    if let Some(count) = accepted.get_mut(usize::try_from(of).unwrap_or(0)) {
                        *count += 1;
                    }
                }
            } else if let Some(socket) = connections.get(&of)
                && !answer(socket)
            {
                connections.remove(&of);
            }
        }
    }
}

fn watch(epoll: &OwnedFd, source: impl rustix::fd::AsFd, number: u64) -> Played<()> {
    let data = epoll::EventData::new_u64(number);
    epoll::add(epoll, source, data, epoll::EventFlags::IN)
}

fn next_of(listener: &OwnedFd) -> Played<Option<OwnedFd>> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match accept_with(listener, flags) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN) => Ok(None),
        Err(Errno::CONNABORTED | Errno::INTR) => next_of(listener),
        Err(error) => Err(error),
    }
}

/// Whether there may be more.
fn answer(socket: &OwnedFd) -> bool {
    let mut buffer = [0; 64];
    match read(socket, &mut buffer) {
        Ok(0) => false,
        Ok(length) => send(socket, &buffer[..length], SendFlags::NOSIGNAL) == Ok(length),
        Err(error) => matches!(error, Errno::AGAIN | Errno::INTR),
    }
}

/// Opens connections, all at once, to some addresses; sends and receives by each of them, again
/// and again, and says how many rounds it has made when it is asked by a word.
fn keep(address: SocketAddr, count: usize, ways: usize) -> Played<()> {
    more_descriptors()?;
    let words = words();
    let mut sockets = Vec::new();
    for at in 0..count {
        let socket = tcp(address, SocketFlags::NONBLOCK, None)?;
        match connect(&socket, &spread(address, at % ways.max(1))) {
            Ok(()) | Err(Errno::INPROGRESS) => sockets.push(socket),
            Err(error) => return Err(error),
        }
    }
    let mut counts = BTreeMap::new();
    for socket in &sockets {
        ready(socket, PollFlags::OUT, PATIENCE_MS)?;
        let opened = sockopt::socket_error(socket)?.and_then(|()| exchange(socket, 0));
        *counts.entry(outcome(&opened)).or_insert(0) += 1;
    }
    say(&format!("open {}", told(&counts)));
    let mut rounds = 1;
    loop {
        for (at, socket) in sockets.iter().enumerate() {
            if let Err(error) = exchange(socket, rounds) {
                say(&format!("connection {at} broke: {error}"));
                return Ok(());
            }
        }
        rounds += 1;
        match words.recv_timeout(Duration::from_millis(100)) {
            Ok(_) => say(&format!("rounds {rounds}")),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Sends a message and gets it back.
fn exchange(socket: &OwnedFd, number: usize) -> Played<()> {
    let message = (number as u64).to_le_bytes();
    if send(socket, &message, SendFlags::NOSIGNAL)? != LENGTH {
        return Err(Errno::MSGSIZE);
    }
    let mut got = Vec::new();
    while got.len() < LENGTH {
        if ready(socket, PollFlags::IN, PATIENCE_MS)?.is_empty() {
            return Err(Errno::TIMEDOUT);
        }
        let mut buffer = [0; LENGTH];
        match read(socket, &mut buffer)? {
            0 => return Err(Errno::PIPE),
            length => got.extend_from_slice(&buffer[..length]),
        }
    }
    if got == message {
        Ok(())
    } else {
        Err(Errno::BADMSG)
    }
}

/// `ok=5 CONNREFUSED=2`.
fn told(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    words.join(" ")
}

/// Of the connections that are being made.
#[derive(Default)]
struct Batch {
    wanted: usize,
    begun: AtomicUsize,
    done: AtomicUsize,
    counts: Mutex<BTreeMap<String, usize>>,
}

/// Makes connections, some at a time: `go N` begins that, and what became of them is said in the
/// end; `look` is answered with how many have begun and are done.
fn herd(address: SocketAddr, ways: usize) -> Played<()> {
    let words = words();
    let mut batch: Option<Arc<Batch>> = None;
    loop {
        match words.recv_timeout(Duration::from_millis(10)) {
            Ok(word) => match (word.split_once(' '), &batch) {
                (Some(("go", count)), None) => {
                    batch = Some(set_off(address, ways, number(count)?));
                }
                (None, Some(batch)) => {
                    let done = batch.done.load(Ordering::SeqCst);
                    let begun = batch.begun.load(Ordering::SeqCst);
                    say(&format!("begun {begun} done {done}"));
                }
                (None, None) => say("at rest"),
                _ => return Err(Errno::INVAL),
            },
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if let Some(over) = batch.take_if(|batch| batch.done.load(Ordering::SeqCst) == batch.wanted)
        {
            let counts = over.counts.lock().unwrap_or_else(PoisonError::into_inner);
            say(&told(&counts));
        }
    }
}

fn set_off(address: SocketAddr, ways: usize, wanted: usize) -> Arc<Batch> {
    let batch = Arc::new(Batch {
        wanted,
        ..Batch::default()
    });
    for _ in 0..SIDE_BY_SIDE {
        let batch = Arc::clone(&batch);
        thread::spawn(move || {
            loop {
                let at = batch.begun.fetch_add(1, Ordering::SeqCst);
                if at >= batch.wanted {
                    // It has not begun.
                    batch.begun.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
                let result = visit(spread(address, at % ways.max(1)));
                let mut counts = batch.counts.lock().unwrap_or_else(PoisonError::into_inner);
                *counts.entry(outcome(&result)).or_insert(0) += 1;
                drop(counts);
                batch.done.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    batch
}

/// One connection, from its beginning to its end.
fn visit(address: SocketAddr) -> Played<()> {
    let socket = tcp(address, SocketFlags::empty(), None)?;
    connect(&socket, &address)?;
    exchange(&socket, 7)
}
