// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control port: lines from the host, lines to it.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// The version of the protocol, told in `READY`.
pub(crate) const VERSION: u32 = 1;

/// How often the guest says that it lives.
const BEAT: Duration = Duration::from_millis(250);
/// How long to wait before reading again from a port whose host is away.
const AWAY: Duration = Duration::from_millis(10);

/// What the host asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// The names of the tests.
    List,
    /// What the clock says, for the host to see how fast it runs.
    Clock,
    /// One test, in a world whose clock and entropy are these.
    Run(Run),
    /// A shell on the control port; the rows and columns of the terminal when given.
    Shell(Option<(u16, u16)>),
}

/// The arguments of `RUN`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    /// Since the epoch.
    pub(crate) nanos: u64,
    /// For the kernel's generator.
    pub(crate) entropy: [u8; 32],
    /// Dotted.
    pub(crate) test: String,
}

/// A line that is no command.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a command: {line:?} ({why}); known are LIST, CLOCK, RUN <unix-nanos> <64 hex digits> <test>, \
     SHELL [<rows> <columns>]"
)]
pub(crate) struct BadCommand {
    line: String,
    why: &'static str,
}

/// Reads one line of the host as a command.
pub(crate) fn parse(line: &str) -> Result<Command, BadCommand> {
    let bad = |why| BadCommand {
        line: line.into(),
        why,
    };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match words[..] {
        ["LIST"] => Ok(Command::List),
        ["CLOCK"] => Ok(Command::Clock),
        ["SHELL"] => Ok(Command::Shell(None)),
        ["SHELL", rows, columns] => match (rows.parse(), columns.parse()) {
            (Ok(rows), Ok(columns)) => Ok(Command::Shell(Some((rows, columns)))),
            _ => Err(bad("the size of the terminal is not two numbers")),
        },
        ["RUN", nanos, entropy, test] => Ok(Command::Run(Run {
            nanos: nanos.parse().map_err(|_| bad("the time is no number"))?,
            entropy: parse_entropy(entropy).ok_or_else(|| bad("not 64 hex digits"))?,
            test: test.into(),
        })),
        _ => Err(bad("unknown word or wrong number of words")),
    }
}

fn parse_entropy(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect();
    // An odd number of digits would leave half a byte: the length of the text is what counts.
    if digits.len() == 64 {
        bytes.try_into().ok()
    } else {
        None
    }
}

/// The writing side, shared by PID 1 and its beat.
#[derive(Clone)]
pub(crate) struct Voice(Arc<Mutex<File>>);

impl Voice {
    /// Speaks on `port`.
    pub(crate) fn new(port: File) -> Self {
        Self(Arc::new(Mutex::new(port)))
    }

    /// Writes one line, never mixed with another.
    pub(crate) fn say(&self, line: &str) -> io::Result<()> {
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        port.write_all(format!("{line}\n").as_bytes())
    }

    /// Says `BEAT n` from a thread of its own until told to stop.
    pub(crate) fn beat(&self) -> Heart {
        let heart = Heart(Arc::new(AtomicBool::new(true)));
        let (voice, alive) = (self.clone(), Arc::clone(&heart.0));
        thread::spawn(move || {
            let mut count = 0u64;
            while alive.load(Ordering::Relaxed) && voice.say(&format!("BEAT {count}")).is_ok() {
                count += 1;
                thread::sleep(BEAT);
            }
        });
        heart
    }
}

/// The beating thread.
pub(crate) struct Heart(Arc<AtomicBool>);

impl Heart {
    /// No further beat is said, at most one that is under way.
    pub(crate) fn stop(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The reading side.
pub(crate) struct Ear(BufReader<File>);

impl Ear {
    /// Listens to `port`.
    pub(crate) fn new(port: File) -> Self {
        Self(BufReader::new(port))
    }

    /// The next whole line, waited for, also over an absence of the host.
    pub(crate) fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            self.0.read_until(b'\n', &mut line)?;
            if line.last() == Some(&b'\n') {
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            thread::sleep(AWAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let hex = "00ff".to_owned() + &"1a".repeat(30);
        let Ok(Command::Run(run)) = parse(&format!("RUN 17 {hex} load.module")) else {
            panic!("RUN was refused");
        };
        assert_eq!((run.nanos, run.test.as_str()), (17, "load.module"));
        assert_eq!(run.entropy[..3], [0, 0xff, 0x1a]);
        assert_eq!(parse("LIST\n").unwrap(), Command::List);
        assert_eq!(parse("CLOCK").unwrap(), Command::Clock);
        assert_eq!(parse("SHELL").unwrap(), Command::Shell(None));
        assert_eq!(
            parse("SHELL 24 80").unwrap(),
            Command::Shell(Some((24, 80)))
        );
    }

    #[test]
    fn other_lines_are_refused_by_name() {
        let short = format!("RUN 1 {} t", "a".repeat(63));
        let long = format!("RUN 1 {} t", "a".repeat(65));
        let other = format!("RUN 1 {} t", "g".repeat(64));
        let time = format!("RUN -1 {} t", "a".repeat(64));
        let bare = format!("RUN 1 {}", "a".repeat(64));
        for line in [
            "",
            "LIST all",
            "run",
            "SHELL 1",
            "SHELL a b",
            &short,
            &long,
            &other,
            &time,
            &bare,
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("not a command: {line:?}")),
                "{error}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in ".*") {
            let _ = parse(&line);
        }
    }
}
