// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Finds trouble in what a kernel said: its log, and its serial console.
//!
//! Both are read: the log holds warnings that a quiet console does not show, the console holds
//! the last words of a kernel that could no longer hand out its log.
//!
//! Trouble is known by its headline. Words that no rule knows are caught by a net: a trace, or a
//! record of the highest levels, that no headline accounts for.

mod class;
mod emulator;
mod rules;
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
        let lines: Vec<Said> = log
            .lines()
            .into_iter()
            // What user space wrote is not the kernel's word.
            .filter(|line| line.facility == 0)
            .map(|line| Said {
                is_loud: line.level <= CRITICAL,
                text: line.text,
            })
            .collect();
        scan.add(&lines, Source::Log);
        let lines: Vec<Said> = serial
            .lines()
            .map(|line| Said {
                text: plain(line).to_owned(),
                // The console does not tell.
                is_loud: false,
            })
            .collect();
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

    fn add(&mut self, lines: &[Said], source: Source) {
        let mut index = 0;
        // Up to where signs of trouble belong to a headline.
        let mut claimed = 0;
        while let Some(line) = lines.get(index) {
            let (at, text) = (index, line.text.as_str());
            index += 1;
            let reason =
                rules::benign(text).or_else(|| rules::harmless(text).filter(|_| line.is_loud));
            if let Some(reason) = reason {
                self.allowed.push((text.to_owned(), reason));
                continue;
            }
            let class = match rules::of(text) {
                Some(class) => class,
                None if !is_sign(line) => continue,
                None if is_cut(text) && has_headline(&lines[index..]) => continue,
                None if !is_cut(text) && at < claimed => {
                    claimed = at + CLAIM;
                    continue;
                }
                None => Class::KernelTrace,
            };
            let from = if trace::is_start(text.trim()) {
                at
            } else {
                index
            };
            let trace = trace_of(class, &lines[from..]);
            let class = match class {
                Class::Oops if emulator::is_known_bug(&lines[index..]) => Class::EmulatorBug,
                class => class,
            };
            index = index.max(from + trace.lines);
            if class.has_trace() {
                claimed = index + CLAIM;
            }
            self.found(Finding {
                class,
                headline: text.to_owned(),
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

/// The lowest of the levels at which the kernel says nothing that is of no account: KERN_CRIT.
const CRITICAL: u8 = 2;
/// How many lines behind a report, registers and further traces can still be of it.
const CLAIM: usize = 200;
/// How many lines a failed WARN_ON() says between its cut mark and its headline, at most.
const MESSAGE: usize = 8;

/// A line of the kernel.
struct Said {
    text: String,
    is_loud: bool,
}

impl AsRef<str> for Said {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

/// Whether a line is a sign of trouble, whatever kind it is.
fn is_sign(line: &Said) -> bool {
    let text = line.text.trim();
    line.is_loud || is_cut(text) || trace::is_start(text) || text.starts_with("Modules linked in:")
}

/// Whether a report begins: its headline is still to come.
fn is_cut(text: &str) -> bool {
    text.contains("[ cut here ]---")
}

fn has_headline(rest: &[Said]) -> bool {
    let mut near = rest.iter().take(MESSAGE);
    near.any(|line| rules::of(&line.text).is_some_and(Class::has_trace))
}

fn trace_of(class: Class, rest: &[Said]) -> trace::Trace {
    if !class.has_trace() {
        return trace::Trace::default();
    }
    trace::after(rest, |line| {
        rules::of(line).is_some_and(|next| !class.goes_on_with(next))
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
