// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's log, sent on to the host as it comes.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{Mode, OFlags, open},
};

use crate::failure::{Checked, Failure};

const LOG: &str = "/dev/kmsg";
/// Longer than any record (8 KiB up to 5.19, 2 KiB since).
const RECORD: usize = 16 * 1024;
/// What the host reads as a broken scan.
const LOST: &[u8] = b"# kmsg lost records\n";
/// What the port takes in one write.
const BATCH: usize = 32 * 1024 - RECORD;
/// How long the stream may take to come to a marker, on a busy host.
const PATIENCE: Duration = Duration::from_mins(1);

/// A thread sends each record, as the kernel gives it, to the port.
pub(crate) struct Stream {
    passed: Receiver<String>,
    gate: Arc<Mutex<()>>,
}

impl Stream {
    /// Starts with the oldest record that the kernel still has.
    pub(crate) fn start(port: File) -> Checked<Self> {
        let log = open(
            LOG,
            OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map(File::from)
        .map_err(Failure::system(format!("open {LOG}")))?;
        let (sender, passed) = channel();
        let gate = Arc::new(Mutex::new(()));
        let pass = Arc::clone(&gate);
        thread::spawn(move || {
            let said = pump(&log, port, &sender, &pass);
            // The host misses what comes now: the log itself is the last place to say so.
            let _ = write(Level::Error, &format!("kmsg stream ended: {said}"));
        });
        Ok(Self { passed, gate })
    }

    /// Sends nothing until the guard goes: to see what an overrun log leads to.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs `text` and waits until the stream has sent that record to the host.
    pub(crate) fn mark(&self, text: &str) -> Checked<()> {
        write(Level::Info, text)?;
        loop {
            match self.passed.recv_timeout(PATIENCE) {
                Ok(seen) if seen == text => return Ok(()),
                Ok(_) => {}
                Err(_) => {
                    return Err(Failure::Assertion(format!(
                        "the kernel log did not show the marker {text:?}"
                    )));
                }
            }
        }
    }
}

/// Severity of our own records.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    /// Reaches the serial console, whatever the log level.
    Emergency,
    /// Reaches the serial console of a quiet kernel.
    Error,
    /// The log alone.
    Info,
}

/// Logs a line in our name.
pub(crate) fn write(level: Level, text: &str) -> Checked<()> {
    let number = match level {
        Level::Emergency => 0,
        Level::Error => 3,
        Level::Info => 6,
    };
    // Without its line break a record stays open for a continuation, and is shown to no reader
    // before the next one comes.
    let line = format!("<{number}>{TAG}{text}\n");
    OpenOptions::new()
        .write(true)
        .open(LOG)
        .and_then(|mut log| log.write_all(line.as_bytes()))
        .map_err(Failure::system(format!("write {LOG}")))
}

const TAG: &str = "tidelock-guest: ";

fn pump(log: &File, mut port: File, sender: &Sender<String>, gate: &Mutex<()>) -> Stop {
    let mut batch = Batch::default();
    loop {
        drop(gate.lock().unwrap_or_else(PoisonError::into_inner));
        if let Err(stop) = batch.fill(log) {
            return stop;
        }
        if let Err(error) = port.write_all(&batch.bytes) {
            return error;
        }
        for text in batch.own.drain(..) {
            // No one waits any more when PID 1 is going down.
            let _ = sender.send(text);
        }
    }
}

/// What ends the stream.
type Stop = std::io::Error;

/// Records that go to the port in one write: each write is a trip to the host and back.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// The texts of our own records in it.
    own: Vec<String>,
}

impl Batch {
    /// Waits for a record, and takes what follows it without a wait.
    fn fill(&mut self, log: &File) -> Result<(), Stop> {
        self.bytes.clear();
        let mut buffer = vec![0; RECORD];
        while self.bytes.len() < BATCH {
            match { log }.read(&mut buffer) {
                Ok(length) => {
                    self.bytes.extend_from_slice(&buffer[..length]);
                    self.own.extend(own(&buffer[..length]).map(str::to_owned));
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock if self.bytes.is_empty() => {
                        poll(&mut [PollFd::new(log, PollFlags::IN)], None)?;
                    }
                    ErrorKind::WouldBlock => return Ok(()),
                    // The ring was overrun: the next read goes on with the oldest record left.
                    ErrorKind::BrokenPipe => self.bytes.extend_from_slice(LOST),
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }
}

/// The text of a record that user space wrote in our name.
///
/// The kernel gives records of user space a facility that is not its own (not 0), so nothing
/// that a module logs can be taken for ours.
fn own(record: &[u8]) -> Option<&str> {
    let record = std::str::from_utf8(record).ok()?;
    let (prefix, text) = record.lines().next()?.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    text.strip_prefix(TAG).filter(|_| priority >> 3 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_records_of_user_space_in_our_name_are_ours() {
        assert_eq!(
            own(b"14,300,5,-;tidelock-guest: end of x\n"),
            Some("end of x")
        );
        assert_eq!(own(b"6,300,5,-;tidelock-guest: end of x\n"), None);
        assert_eq!(own(b"14,300,5,-;other: end of x\n"), None);
        assert_eq!(own(b"tidelock-guest: end of x\n"), None);
        assert_eq!(own(b"\xff"), None);
        assert_eq!(own(b""), None);
    }
}
