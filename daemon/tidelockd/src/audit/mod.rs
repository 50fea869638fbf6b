// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record of decisions, to a file and to the journal, written by a thread of its own.
//!
//! No decision waits for it. What is too much is not written, but counted, and the counts are:
//! one line says how many of each kind are missing.

mod file;
mod journal;
mod limit;
mod line;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

pub use self::{
    file::LineFile,
    journal::{Journal, SOCKET},
    limit::Bucket,
    line::{Event, Line, Summary, Suppressed, rfc3339},
};

/// How many lines may wait for the writer.
const QUEUE: usize = 4096;
/// How long counts of lines that were left out wait to be written.
const SUMMARY: Duration = Duration::from_secs(1);

/// Takes lines from everywhere.
#[derive(Clone, Debug)]
pub struct Audit {
    queue: SyncSender<Message>,
    overflown: Arc<Mutex<Suppressed>>,
    suppressed: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Box<Line>),
    End,
}

/// Where lines go.
#[derive(Debug)]
pub struct Sinks {
    /// The file.
    pub file: Option<LineFile>,
    /// The journal.
    pub journal: Option<Journal>,
    /// How many are written.
    pub bucket: Bucket,
}

/// The writer, to be waited for in the end.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
    queue: SyncSender<Message>,
}

impl Writer {
    /// Waits until everything is written that was handed over before.
    pub fn finish(self) {
        // Where nobody listens any more there is nobody to end.
        let _ = self.queue.send(Message::End);
        if self.thread.join().is_err() {
            tracing::error!("the audit's writer has ended before its time: lines are missing");
        }
    }
}

impl Audit {
    /// Starts the writer.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(sinks: Sinks) -> io::Result<(Self, Writer)> {
        let (queue, messages) = sync_channel(QUEUE);
        let audit = Self {
            queue: queue.clone(),
            overflown: Arc::default(),
            suppressed: Arc::default(),
        };
        let state = State {
            sinks,
            began: Instant::now(),
            pending: Suppressed::default(),
            overflown: Arc::clone(&audit.overflown),
            suppressed: Arc::clone(&audit.suppressed),
            file_works: true,
            journal_works: true,
        };
        let thread = thread::Builder::new()
            .name("audit".into())
            .spawn(move || state.run(&messages))?;
        Ok((audit, Writer { thread, queue }))
    }

    /// Writes a line, or counts it.
    pub fn write(&self, line: Line) {
        let event = line.event;
        let message = Message::Line(Box::new(line));
        if self.queue.try_send(message).is_err() {
            let mut overflown = self
                .overflown
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            overflown.count(event);
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were left out.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }
}

struct State {
    sinks: Sinks,
    began: Instant,
    pending: Suppressed,
    overflown: Arc<Mutex<Suppressed>>,
    suppressed: Arc<AtomicU64>,
    file_works: bool,
    journal_works: bool,
}

impl State {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut last = Instant::now();
        loop {
            match messages.recv_timeout(SUMMARY) {
                Ok(Message::Line(line)) => self.take(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return self.summarise(),
            }
            if last.elapsed() >= SUMMARY {
                last = Instant::now();
                self.summarise();
            }
        }
    }

    fn take(&mut self, line: &Line) {
        // Who is refused often must not hide what was certified: that is bounded by signing.
        let bounded = line.event != Event::Issued;
        if bounded && !self.sinks.bucket.take(self.began.elapsed()) {
            self.pending.count(line.event);
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let json = serde_json::json!(line).to_string();
        let (event, priority) = match line.event {
            Event::Allowed => ("allowed", "6"),
            Event::Denied => ("denied", "4"),
            Event::Error => ("error", "3"),
            Event::Issued => ("issued", "6"),
            Event::Unissued => ("unissued", "3"),
        };
        self.put(&json, event, priority, &line.message());
    }

    /// Not bound by the rate: it is one line a second at the most.
    fn summarise(&mut self) {
        let overflown = {
            let mut overflown = self
                .overflown
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *overflown)
        };
        let pending = std::mem::take(&mut self.pending);
        let all = pending.and(overflown);
        if all.total() == 0 {
            return;
        }
        let json = serde_json::json!(Summary::new(SystemTime::now(), all)).to_string();
        let message = format!(
            "suppressed: {} allowed, {} denied, {} errors, {} SVIDs issued and {} not issued were \
             not written, there were too many",
            all.allowed, all.denied, all.errors, all.issued, all.unissued
        );
        self.put(&json, "suppressed", "4", &message);
    }

    fn put(&mut self, json: &str, event: &str, priority: &str, message: &str) {
        if let Some(file) = &mut self.sinks.file {
            told("the audit's file", &mut self.file_works, file.write(json));
        }
        if let Some(journal) = &mut self.sinks.journal {
            let sent = journal.send(&[
                ("MESSAGE", message),
                ("PRIORITY", priority),
                ("SYSLOG_IDENTIFIER", "tidelock-audit"),
                ("TIDELOCK_EVENT", event),
                ("TIDELOCK_AUDIT", json),
            ]);
            told("the journal", &mut self.journal_works, sent);
        }
    }
}

/// Tells when a sink stops taking lines, and when it takes them again; not each time.
fn told(sink: &str, works: &mut bool, result: io::Result<()>) {
    match result {
        Ok(()) if !*works => {
            *works = true;
            tracing::info!("{sink} takes lines again");
        }
        Err(error) if *works => {
            *works = false;
            tracing::error!("{sink} does not take lines, which are lost to it: {error}");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
