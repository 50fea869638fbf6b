// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The call trace that follows a headline.

/// How far behind its headline a trace may begin: registers, code and modules are in between.
const REACH: usize = 80;
/// Longer than any trace worth reading.
const MOST: usize = 64;

/// A trace, and how many lines it took.
#[derive(Default)]
pub(super) struct Trace {
    /// `RIP: func+0x1/0x2 [mod]` where it faulted or was interrupted and then its callers, without
    /// those that the unwinder marked as guesses (`?`).
    pub(super) frames: Vec<String>,
    /// Up to its end; 0 when there is no trace.
    pub(super) lines: usize,
}

/// The trace in the lines after a headline; none from where `is_other` says that another report
/// begins.
pub(super) fn after<L: AsRef<str>>(lines: &[L], is_other: impl Fn(&str) -> bool) -> Trace {
    let mut frames = Vec::new();
    let start = lines.iter().take(REACH).position(|line| {
        let text = line.as_ref().trim();
        if let Some(place) = instruction_pointer(text) {
            frames.push(format!("RIP: {place}"));
        }
        is_start(text) || is_other(text) || text.starts_with("---[ end ")
    });
    let Some(start) = start.filter(|at| is_start(lines[*at].as_ref().trim())) else {
        return Trace { frames, lines: 0 };
    };
    let mut end = start + 1;
    for line in &lines[end..] {
        match step(line.as_ref().trim()) {
            Step::Frame(frame) if frames.len() < MOST => frames.push(frame.to_owned()),
            Step::Interrupted(place) if frames.len() < MOST => frames.push(format!("RIP: {place}")),
            Step::Frame(_) | Step::Interrupted(_) | Step::Ignore => {}
            Step::End => break,
        }
        end += 1;
    }
    Trace { frames, lines: end }
}

/// Whether a trace begins behind this line.
pub(super) fn is_start(text: &str) -> bool {
    text.eq_ignore_ascii_case("call trace:")
}

enum Step<'a> {
    Frame(&'a str),
    /// Where a processor was when an interrupt came: its callers follow.
    Interrupted(&'a str),
    Ignore,
    End,
}

fn step(text: &str) -> Step<'_> {
    // The stacks that a trace goes through: <TASK>, <IRQ>, </IRQ>, <NMI>, <#DF>.
    if text == "</TASK>" {
        return Step::End;
    }
    if text.starts_with('<') && text.ends_with('>') {
        return Step::Ignore;
    }
    if let Some(place) = instruction_pointer(text) {
        return Step::Interrupted(place);
    }
    match text.strip_prefix("? ") {
        Some(_) => Step::Ignore,
        // Code without a symbol: of a module's section that is gone, or never was.
        None if text.starts_with("0x") => Step::Ignore,
        _ if is_frame(text) => Step::Frame(text),
        // Registers of an interrupted context, within the trace.
        _ if [
            "RIP:", "Code:", "RSP:", "RAX:", "RDX:", "RBP:", "R10:", "R13:",
        ]
        .iter()
        .any(|name| text.starts_with(name)) =>
        {
            Step::Ignore
        }
        _ => Step::End,
    }
}

/// `func+0x1a/0x40`, `func+0x1a/0x40 [module]`, `func+0x1a/0x40 [module 0123abcd]`.
pub(crate) fn is_frame(text: &str) -> bool {
    parse(text).is_some()
}

/// A frame's parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame<'a> {
    /// The function, as in the symbol table.
    pub(crate) symbol: &'a str,
    /// Into the function.
    pub(crate) offset: u64,
    /// From the function to the next symbol.
    pub(crate) size: u64,
    /// Empty for the kernel itself.
    pub(crate) module: &'a str,
}

/// Reads a frame; its module can be followed by a build id or a taint in brackets.
pub(crate) fn parse(text: &str) -> Option<Frame<'_>> {
    let (place, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (symbol, numbers) = place.rsplit_once("+0x")?;
    let (offset, size) = numbers.split_once("/0x")?;
    if symbol.is_empty() {
        return None;
    }
    let module = rest
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.split([' ', '(', ']']).next())
        .unwrap_or("");
    Some(Frame {
        symbol,
        offset: u64::from_str_radix(offset, 16).ok()?,
        size: u64::from_str_radix(size, 16).ok()?,
        module,
    })
}

/// `RIP: 0010:func+0x1/0x2 [mod]` of kernel mode, `pc : func+0x1/0x2` of arm64.
fn instruction_pointer(text: &str) -> Option<&str> {
    let place = text
        .strip_prefix("RIP: 0010:")
        .or_else(|| text.strip_prefix("pc : "))?;
    is_frame(place).then_some(place)
}
