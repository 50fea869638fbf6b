// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the kernel's log as `/dev/kmsg` gives it (Documentation/ABI/testing/dev-kmsg).
//!
//! A log with a hole is not a clean log: each hole is told, and makes the scan a failure.

/// The line with which the guest says that the kernel overwrote records before they were read.
pub const LOST: &str = "# kmsg lost records";

/// A record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// 0 is the kernel; user space cannot write as such.
    pub facility: u32,
    /// Rises by one a record.
    pub sequence: u64,
    /// Since boot.
    pub micros: u64,
    /// How it hangs together with the record before.
    pub part: Part,
    /// Without escapes; can have several lines.
    pub text: String,
}

/// Whether a record is a whole line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// As far as the kernel knows.
    Whole,
    /// It goes on the line of the record before.
    Fragment,
}

/// The log is not whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Hole {
    /// The guest read more slowly than the kernel wrote.
    #[error("the guest lost records after number {after}")]
    Lost {
        /// The last that was seen.
        after: u64,
    },
    /// Numbers are missing.
    #[error("records {after} and {next} follow each other")]
    Gap {
        /// The last before the hole.
        after: u64,
        /// The first behind it.
        next: u64,
    },
    /// A line is no record.
    #[error("line {line} is no record of /dev/kmsg: {text:?}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// The last record has no end.
    #[error("the last record is cut off: {text:?}")]
    CutOff {
        /// What there is of it.
        text: String,
    },
}

/// What was read of a log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Log {
    /// In the order in which they came.
    pub records: Vec<Record>,
    /// Where something is missing.
    pub holes: Vec<Hole>,
}

impl Log {
    /// Reads all of it at once.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut reader = Reader::default();
        reader.push(bytes);
        reader.finish()
    }

    /// The log's lines: fragments joined to what they continue, records with several lines
    /// split. Each with the level and facility of the record that it began in.
    ///
    /// User space can write between two parts of a line of the kernel: a fragment goes on the
    /// last line of its own facility.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for record in &self.records {
            let mut parts = record.text.split('\n');
            if record.part == Part::Fragment
                && let Some(last) = lines
                    .iter_mut()
                    .rfind(|line| line.facility == record.facility)
                && let Some(part) = parts.next()
            {
                last.text.push_str(part);
            }
            lines.extend(parts.map(|text| Line {
                level: record.level,
                facility: record.facility,
                text: text.into(),
            }));
        }
        lines
    }

    /// Whether the guest's marker for the end of `test` is the last thing it said in its name.
    pub fn has_end_of(&self, test: &str) -> bool {
        let marker = format!("tidelock-guest: end of {test}");
        self.records
            .iter()
            .rev()
            .any(|record| record.facility != 0 && record.text == marker)
    }
}

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// 0 (emergency) to 7 (debug).
    pub level: u8,
    /// 0 is the kernel.
    pub facility: u32,
    /// Without line break.
    pub text: String,
}

/// Reads a log as it comes, cut anywhere.
#[derive(Default)]
pub struct Reader {
    log: Log,
    buffer: Vec<u8>,
    lines: usize,
    last: Option<u64>,
    lost: bool,
}

impl Reader {
    /// A reader that goes on after record `sequence`: of a log whose start another has read.
    pub fn after(sequence: u64) -> Self {
        Self {
            last: Some(sequence),
            ..Self::default()
        }
    }

    /// Takes the next bytes; returns how many records they completed.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let before = self.log.records.len();
        self.buffer.extend_from_slice(bytes);
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end]);
            rest = &rest[end + 1..];
        }
        self.buffer = rest.to_vec();
        self.log.records.len() - before
    }

    /// What was read so far, without an unfinished line.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// All that was read.
    pub fn finish(mut self) -> Log {
        if !self.buffer.is_empty() {
            let text = String::from_utf8_lossy(&self.buffer).into_owned();
            self.log.holes.push(Hole::CutOff { text });
        }
        self.log
    }

    fn line(&mut self, bytes: &[u8]) {
        self.lines += 1;
        let text = String::from_utf8_lossy(bytes);
        if text.is_empty() || text.starts_with(' ') {
            // The dictionary of the record before (SUBSYSTEM=, DEVICE=).
            return;
        }
        if text == LOST {
            let after = self.last.unwrap_or(0);
            self.log.holes.push(Hole::Lost { after });
            self.lost = true;
            return;
        }
        match record(&text) {
            Some(record) => self.record(record),
            None => self.log.holes.push(Hole::Malformed {
                line: self.lines,
                text: text.into_owned(),
            }),
        }
    }

    fn record(&mut self, record: Record) {
        let next = record.sequence;
        // A loss that was told is one hole, not two.
        if let Some(after) = self.last.replace(next)
            && Some(next) != after.checked_add(1)
            && !std::mem::take(&mut self.lost)
        {
            self.log.holes.push(Hole::Gap { after, next });
        }
        self.log.records.push(record);
    }
}

fn record(line: &str) -> Option<Record> {
    let (prefix, text) = line.split_once(';')?;
    let mut fields = prefix.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let sequence = fields.next()?.parse().ok()?;
    let micros = fields.next()?.parse().ok()?;
    let part = match fields.next()? {
        // Up to 4.x a `+` marked the fragments after the first.
        "c" | "+" => Part::Fragment,
        "-" => Part::Whole,
        _ => return None,
    };
    // Further fields (caller=T1) may be added by later kernels.
    Some(Record {
        level: u8::try_from(priority & 7).ok()?,
        facility: priority >> 3,
        sequence,
        micros,
        part,
        text: unescape(text),
    })
}

/// The kernel writes what is not printable, and the backslash, as `\xNN`.
fn unescape(text: &str) -> String {
    if !text.contains("\\x") {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            bytes.push(high << 4 | low);
            rest = tail;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
