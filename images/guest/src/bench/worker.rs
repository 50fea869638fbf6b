// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process of its own that connects to itself, or tries to, and takes the time.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
    process::{Child, ChildStdout, ExitCode, Stdio},
};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, accept, bind, connect, listen, socket_with, sockopt,
    },
    process::{Resource, getrlimit, setrlimit},
};

use super::sample::{self, Sample};
use crate::{
    child,
    failure::{Checked, Failure, ensure},
};

/// Argument of a child that is a worker.
pub(crate) const ROLE: &str = "bench";

/// What a worker does again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A socket, a connect to its own listener, the accept, both closed.
    Connect,
    /// A socket, a connect that is refused, closed.
    Refused,
    /// As `Refused`, to one port after another.
    Ports,
    /// As `Connect`, and nothing closed until the end.
    Hold,
}

impl Part {
    const ALL: [Self; 4] = [Self::Connect, Self::Refused, Self::Ports, Self::Hold];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Refused => "refused",
            Self::Ports => "ports",
            Self::Hold => "hold",
        }
    }

    /// How often the module looks at what is done once: at each end.
    pub(super) const fn looks(self) -> u32 {
        match self {
            Self::Connect | Self::Hold => 2,
            Self::Refused | Self::Ports => 1,
        }
    }
}

/// A running worker. It waits for a word before it warms up, and for another before it counts.
pub(super) struct Worker {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts one that is ready. A worker that says nothing is ended by the limit of the test.
    pub(super) fn start(part: Part, port: u16, warm: u32, count: u32) -> Checked<Self> {
        let words = format!("{} {port} {warm} {count}", part.as_str());
        let mut child = child::again(ROLE, &words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::system("start a worker"))?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| Failure::Assertion("a worker without output".into()))?;
        let mut worker = Self {
            child,
            lines: BufReader::new(stdout),
        };
        worker.says("ready")?;
        Ok(worker)
    }

    fn line(&mut self) -> Checked<String> {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .map_err(Failure::system("listen to a worker"))?;
        Ok(line.trim_end().to_owned())
    }

    /// It must say this next.
    pub(super) fn says(&mut self, expected: &str) -> Checked<()> {
        let line = self.line()?;
        ensure(line == expected, || {
            format!("a worker said {line:?}, not {expected:?}")
        })
    }

    /// What it has measured.
    pub(super) fn sample(&mut self) -> Checked<Sample> {
        let line = self.line()?;
        line.parse()
            .map_err(|_| Failure::Assertion(format!("a worker said {line:?}, not what it took")))
    }

    /// Lets it go on.
    pub(super) fn go_on(&mut self) -> Checked<()> {
        let stdin = self.child.stdin.as_mut();
        stdin
            .ok_or_else(|| Failure::Assertion("a worker without input".into()))?
            .write_all(b"\n")
            .map_err(Failure::system("let a worker go on"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side.
pub(crate) fn play(words: &str) -> ExitCode {
    match parse(words).and_then(|(part, port, counts)| work(part, port, counts)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Whoever listens wants another line, and shows this one.
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: &str) -> Checked<(Part, u16, [u32; 2])> {
    let read = || {
        let mut words = words.split(' ');
        let name = words.next()?;
        let part = Part::ALL.into_iter().find(|part| part.as_str() == name)?;
        let port = words.next()?.parse().ok()?;
        let counts = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        Some((part, port, counts))
    };
    read().ok_or_else(|| Failure::Assertion(format!("not a worker's part: {words:?}")))
}

fn work(part: Part, port: u16, [warm, count]: [u32; 2]) -> Checked<()> {
    // Two descriptors for each connection that is held.
    let most = getrlimit(Resource::Nofile);
    let wanted = u64::from(count) * 2 + 64;
    if most.current.is_some_and(|current| current < wanted) {
        let more = rustix::process::Rlimit {
            current: Some(wanted),
            maximum: most.maximum.map(|maximum| maximum.max(wanted)),
        };
        setrlimit(Resource::Nofile, more).map_err(Failure::system("raise the limit of files"))?;
    }
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    let listener = match part {
        Part::Connect | Part::Hold => Some(listening(address)?),
        Part::Refused | Part::Ports => None,
    };
    let mut held = Vec::with_capacity(count.try_into().unwrap_or_default());
    let mut once = |number: u32| match (part, &listener) {
        (Part::Ports, _) => refused(SocketAddrV4::new(
            Ipv4Addr::LOCALHOST,
            port.saturating_add(u16::try_from(number).unwrap_or(u16::MAX)),
        )),
        (Part::Hold, Some(listener)) => {
            let pair = pair(listener, address)?;
            // Closed with a reset: nothing of it stays in the kernel.
            sockopt::set_socket_linger(&pair.0, Some(std::time::Duration::ZERO))
                .map_err(Failure::system("SO_LINGER"))?;
            held.push(pair);
            Ok(())
        }
        (_, Some(listener)) => pair(listener, address).map(drop),
        (_, None) => refused(address),
    };
    say("ready")?;
    await_word()?;
    (0..warm).try_for_each(&mut once)?;
    say("warm")?;
    await_word()?;
    let sample = sample::of(count, once)?;
    say(&sample.to_string())?;
    // What is held stays until then.
    await_word()
}

fn say(line: &str) -> Checked<()> {
    writeln!(std::io::stdout(), "{line}").map_err(Failure::system("write to the standard output"))
}

/// A line, or the end of the input.
fn await_word() -> Checked<()> {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map(drop)
        .map_err(Failure::system("read the standard input"))
}

fn tcp() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
}

fn listening(address: SocketAddrV4) -> Checked<OwnedFd> {
    let listen_to = || {
        let socket = tcp()?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address)?;
        listen(&socket, 64)?;
        Ok(socket)
    };
    listen_to().map_err(|errno: Errno| Failure::system(format!("listen to {address}"))(errno))
}

/// Both ends of a connection.
fn pair(listener: &OwnedFd, address: SocketAddrV4) -> Checked<(OwnedFd, OwnedFd)> {
    let client = tcp().map_err(Failure::system("a socket"))?;
    connect(&client, &address).map_err(Failure::system("connect"))?;
    let server = accept(listener).map_err(Failure::system("accept"))?;
    Ok((client, server))
}

fn refused(address: SocketAddrV4) -> Checked<()> {
    let client = tcp().map_err(Failure::system("a socket"))?;
    let result = connect(&client, &address);
    ensure(result == Err(Errno::CONNREFUSED), || {
        format!("a connect to {address} came to {result:?}, not to a refusal")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_told() {
        let (part, port, counts) = parse("hold 7001 0 1000").unwrap();
        assert!(part == Part::Hold && port == 7001 && counts == [0, 1000]);
        for words in ["", "hold", "held 1 2 3", "hold 1 2", "hold 70000 1 1"] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_pair_is_a_connection() {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let listener = listening(address).unwrap();
        let port = rustix::net::getsockname(&listener).unwrap();
        let port = SocketAddrV4::try_from(port).unwrap();
        let (client, server) = pair(&listener, port).unwrap();
        rustix::io::write(&client, b"x").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(&server, &mut buffer), Ok(1));
        drop(listener);
        assert!(refused(port).is_ok());
    }
}
