// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds trouble in what a kernel said: its log, and its serial console.
//!
//! Both are read: the log holds warnings that a quiet console does not show, the console holds
//! the last words of a kernel that could no longer hand out its log.

mod class;
mod emulator;
pub(crate) mod trace;

use tidelock_model::Crash;

pub use class::{Class, Fault};

use crate::kmsg::{Hole, Log};

/// Where a line was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// `/dev/kmsg`.
    Log,
    /// ttyS0.
    Serial,
}

/// One piece of trouble.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind.
    pub class: Class,
    /// The line that told it.
    pub headline: String,
    /// Its call trace, innermost first: `RIP: func+0x1a/0x40 [module]`, then its callers. As the
    /// kernel wrote them, for [`crate::symbolise`].
    pub frames: Vec<String>,
    /// Where.
    pub source: Source,
}

/// What a scan came to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// In the order in which they happened: the first is the cause as a rule.
    pub findings: Vec<Finding>,
    /// Lines that look like trouble and are known to be none, each with the reason.
    pub allowed: Vec<(String, &'static str)>,
    /// Where the log is not whole.
    pub holes: Vec<Hole>,
}

impl Scan {
    /// Scans the log and the text of the serial console.
    pub fn of(log: &Log, serial: &str) -> Self {
        let mut scan = Self {
            holes: log.holes.clone(),
            ..Self::default()
        };
        let lines: Vec<String> = log
            .lines()
            .into_iter()
            // What user space wrote is not the kernel's word.
            .filter(|line| line.facility == 0)
            .map(|line| line.text)
            .collect();
        scan.add(&lines, Source::Log);
        let lines: Vec<String> = serial.lines().map(|line| plain(line).to_owned()).collect();
        scan.add(&lines, Source::Serial);
        scan
    }

    /// Without what `test` brings about on purpose.
    #[must_use]
    pub fn expecting(mut self, test: &str) -> Self {
        let expected = class::expected(test);
        self.findings
            .retain(|finding| !expected.contains(&finding.class));
        self
    }

    /// The named verdict and its reason, when there is anything wrong.
    pub fn verdict(&self) -> Option<(&'static str, String)> {
        // A kernel that fell over explains a log that has no end: the cause goes first.
        let finding = self.findings.first();
        let found = finding.map(|finding| (finding.class.verdict(), finding.headline.clone()));
        found.or_else(|| {
            let hole = self.holes.first()?;
            Some(("broken-scan", hole.to_string()))
        })
    }

    /// Whose fault the verdict is.
    pub fn fault(&self) -> Option<Fault> {
        let found = self.findings.first().map(|finding| finding.class.fault());
        found.or_else(|| self.holes.first().map(|_| Fault::Factory))
    }

    /// What the report tells of the first finding.
    pub fn crash(&self) -> Option<Crash> {
        let finding = self.findings.first()?;
        Some(Crash {
            verdict: finding.class.verdict().into(),
            headline: finding.headline.clone(),
            frames: finding.frames.clone(),
        })
    }

    fn add(&mut self, lines: &[String], source: Source) {
        let mut index = 0;
        while let Some(line) = lines.get(index) {
            index += 1;
            if let Some(reason) = class::benign(line) {
                self.allowed.push((line.clone(), reason));
                continue;
            }
            let Some(class) = class::of(line) else {
                continue;
            };
            let rest = &lines[index..];
            let trace = trace_of(class, rest);
            index += trace.lines;
            let class = match class {
                Class::Oops if emulator::is_known_bug(rest) => Class::EmulatorBug,
                class => class,
            };
            self.found(Finding {
                class,
                headline: line.clone(),
                frames: trace.frames,
                source,
            });
        }
    }

    /// The console repeats the log; the fuller of two accounts stays, in the first one's place.
    fn found(&mut self, new: Finding) {
        let same = |old: &&mut Finding| {
            old.source != new.source && old.class == new.class && old.headline == new.headline
        };
        match self.findings.iter_mut().find(same) {
            Some(old) if old.frames.len() < new.frames.len() => old.frames = new.frames,
            Some(_) => {}
            None => self.findings.push(new),
        }
    }
}

fn trace_of(class: Class, rest: &[String]) -> trace::Trace {
    if !class.has_trace() {
        return trace::Trace::default();
    }
    trace::after(rest, |line| {
        class::of(line).is_some_and(|next| !class.goes_on_with(next))
    })
}

/// A line of the console without its time stamp and caller: `[    1.234567][   T12] text`.
fn plain(line: &str) -> &str {
    let mut rest = line.trim_end();
    for _ in 0..2 {
        let Some((inside, after)) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        else {
            break;
        };
        let inside = inside.trim_start();
        let is_time =
            inside.contains('.') && inside.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let is_caller = inside
            .strip_prefix(['T', 'C'])
            .is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
        if !is_time && !is_caller {
            break;
        }
        rest = after;
    }
    if rest.len() == line.trim_end().len() {
        rest
    } else {
        rest.strip_prefix(' ').unwrap_or(rest)
    }
}

#[cfg(test)]
mod tests;
