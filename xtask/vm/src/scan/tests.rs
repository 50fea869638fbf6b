// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

mod headlines;
mod splats;

fn log_of(lines: &str) -> Log {
    let records: String = lines
        .lines()
        .enumerate()
        .map(|(sequence, line)| format!("4,{sequence},0,-;{}\n", line.replace('\\', "\\x5c")))
        .collect();
    Log::parse(records.as_bytes())
}

fn verdict(lines: &str) -> Option<&'static str> {
    Scan::of(&log_of(lines), "").verdict().map(|(name, _)| name)
}

#[test]
fn quiet_logs_are_clean() {
    assert_eq!(
        verdict("Linux version 6.1.0\nprintk: console [ttyS0] enabled"),
        None
    );
}

#[test]
fn the_console_loses_its_time_and_caller() {
    for (line, text) in [
        ("[    1.234567] tidelock: loaded\r", "tidelock: loaded"),
        ("[    1.234567][   T71] BUG: x", "BUG: x"),
        ("[12345.000001][    C0]  <TASK>", " <TASK>"),
        ("tidelock: loaded", "tidelock: loaded"),
        (
            "[ BUG: Invalid wait context ]",
            "[ BUG: Invalid wait context ]",
        ),
        (
            "[    1.2] [ BUG: held lock freed! ]",
            "[ BUG: held lock freed! ]",
        ),
        ("[T] x", "[T] x"),
        ("[    1.234567", "[    1.234567"),
        ("", ""),
    ] {
        assert_eq!(plain(line), text, "{line:?}");
    }
}

#[test]
fn frames_are_read_in_all_their_forms() {
    let frame = |symbol, offset, size, module| {
        Some(trace::Frame {
            symbol,
            offset,
            size,
            module,
        })
    };
    for (text, parsed) in [
        ("vfs_write+0xc0/0x270", frame("vfs_write", 0xc0, 0x270, "")),
        ("a+0x1a/0x40 [tidelock]", frame("a", 0x1a, 0x40, "tidelock")),
        // With the taints, and with the build id, of its module.
        ("a+0x1/0x2 [tidelock(OE)]", frame("a", 1, 2, "tidelock")),
        (
            "a+0x1/0x2 [tidelock 0123abcd]",
            frame("a", 1, 2, "tidelock"),
        ),
        ("a.cold+0x1/0x2 (P)", frame("a.cold", 1, 2, "")),
        ("_RNv1a+0x1/0x2", frame("_RNv1a", 1, 2, "")),
        ("0x401a2b", None),
        ("0010:0x0", None),
        ("+0x1/0x2", None),
        ("a+0x1", None),
        ("a+0xz/0x2", None),
        ("", None),
    ] {
        assert_eq!(trace::parse(text), parsed, "{text}");
    }
}

#[test]
fn guesses_and_registers_are_no_frames_and_stacks_go_on() {
    let text = "RIP: 0010:a+0x1/0x2\nRIP: 0033:0x401a2b\nCall Trace:\n <IRQ>\n ? g+0x1/0x2\n \
                b+0x1/0x2\n </IRQ>\n <TASK>\nRIP: 0010:c+0x1/0x2\nCode: 00\n d+0x1/0x2\n \
                </TASK>\n e+0x1/0x2";
    let lines: Vec<&str> = text.lines().collect();
    let trace = trace::after(&lines, |_| false);
    assert_eq!(
        trace.frames,
        ["RIP: a+0x1/0x2", "b+0x1/0x2", "RIP: c+0x1/0x2", "d+0x1/0x2"]
    );
    let none = trace::after(&lines, |line| line.starts_with("RIP: 0033"));
    assert_eq!((none.frames.len(), none.lines), (1, 0));
}
