// SPDX-License-Identifier: Apache-2.0 OR MIT
use proptest::prelude::*;

use super::*;

/// As read from a Debian kernel, with a device's dictionary.
const REAL: &str = "5,0,0,-;Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org)\n\
6,1,0,-,caller=T0;Command line: console=ttyS0 quiet\n\
6,2,412345,-;pci 0000:00:01.1: legacy IDE quirk: reg 0x10: [io  0x01f0-0x01f7]\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:01.1\n\
6,3,412400,-;NET: Registered\n\
6,4,412401,c; protocol family 2\n\
4,5,500000,-;two\\x0alines and a \\x5c\n\
14,6,600000,-;tidelock-guest: end of load.module\n";

#[test]
fn records_of_a_real_kernel_are_read() {
    let log = Log::parse(REAL.as_bytes());
    assert_eq!(log.holes, []);
    assert_eq!(log.records.len(), 7);
    let caller = &log.records[1];
    assert_eq!((caller.level, caller.facility, caller.sequence), (6, 0, 1));
    assert_eq!(caller.text, "Command line: console=ttyS0 quiet");
    assert_eq!(log.records[2].micros, 412_345);
    assert_eq!(log.records[5].text, "two\nlines and a \\");
    assert_eq!((log.records[6].level, log.records[6].facility), (6, 1));
    let lines: Vec<String> = log.lines().into_iter().map(|line| line.text).collect();
    assert_eq!(lines[3], "NET: Registered protocol family 2");
    assert_eq!(lines[4..6], ["two", "lines and a \\"]);
}

#[test]
fn the_end_marker_counts_only_from_user_space() {
    let log = Log::parse(REAL.as_bytes());
    assert!(log.has_end_of("load.module"));
    assert!(!log.has_end_of("load.taint"));
    let forged = REAL.replace("14,6,", "6,6,");
    assert!(!Log::parse(forged.as_bytes()).has_end_of("load.module"));
}

#[test]
fn holes_are_told() {
    let holes = |text: &str| {
        let log = Log::parse(text.as_bytes());
        log.holes.iter().map(Hole::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        holes("6,1,0,-;a\n6,3,0,-;b\n"),
        ["records 1 and 3 follow each other"]
    );
    assert_eq!(
        holes("6,3,0,-;a\n6,3,0,-;b\n"),
        ["records 3 and 3 follow each other"]
    );
    assert_eq!(
        holes("6,1,0,-;a\n# kmsg lost records\n6,90,0,-;b\n6,91,0,-;c\n"),
        ["the guest lost records after number 1"]
    );
    assert_eq!(
        holes("6,1,0,-;a\nnoise\n6,2,0,-;b\n"),
        ["line 2 is no record of /dev/kmsg: \"noise\""]
    );
    assert_eq!(
        holes("6,1,0,-;a\n6,2,0,-;b"),
        ["the last record is cut off: \"6,2,0,-;b\""]
    );
}

#[test]
fn a_second_part_goes_on_after_the_first() {
    let mut reader = Reader::after(41);
    assert_eq!(reader.push(b"6,42,0,-;a\n6,43"), 1);
    assert_eq!(reader.push(b",0,-;b\n"), 1);
    assert_eq!(reader.finish().holes, []);
    let mut reader = Reader::after(41);
    reader.push(b"6,44,0,-;a\n");
    assert_eq!(
        reader.finish().holes,
        [Hole::Gap {
            after: 41,
            next: 44
        }]
    );
}

#[test]
fn a_fragment_goes_on_the_last_line_of_its_own_facility() {
    let text = "4,0,0,-;WARNING: CPU: 0\n14,1,0,-;init: a\n4,2,0,c; PID: 1 at x.c:1\n\
                14,3,0,c; and b\n30,4,0,c;cron\n";
    let lines = Log::parse(text.as_bytes()).lines();
    let lines: Vec<(u32, &str)> = lines
        .iter()
        .map(|line| (line.facility, line.text.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (0, "WARNING: CPU: 0 PID: 1 at x.c:1"),
            (1, "init: a and b"),
            (3, "cron")
        ]
    );
}

fn split(bytes: &[u8], cuts: &[usize]) -> Log {
    let mut reader = Reader::default();
    let mut rest = bytes;
    for cut in cuts {
        let (head, tail) = rest.split_at((*cut).min(rest.len()));
        reader.push(head);
        rest = tail;
    }
    reader.push(rest);
    reader.finish()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let log = Log::parse(&bytes);
        let _ = log.lines();
    }

    #[test]
    fn where_the_stream_is_cut_does_not_matter(cuts in prop::collection::vec(0usize..60, 0..12)) {
        prop_assert_eq!(split(REAL.as_bytes(), &cuts), Log::parse(REAL.as_bytes()));
    }

    #[test]
    fn where_any_stream_is_cut_does_not_matter(
        text in "([0-9,;c-]|\n| |a|\\\\x0a|# kmsg lost records\n){0,60}",
        cuts in prop::collection::vec(0usize..20, 0..8),
    ) {
        prop_assert_eq!(split(text.as_bytes(), &cuts), Log::parse(text.as_bytes()));
    }

    #[test]
    fn text_survives_the_kernels_escapes(text in "\\PC{0,40}", sequence: u64, micros: u64, priority in 0u32..200) {
        // msg_print_ext_body() of kernel/printk/printk.c.
        let escape = |byte: u8| match byte {
            b' '..127 if byte != b'\\' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        let escaped: String = text.bytes().map(escape).collect();
        let line = format!("{priority},{sequence},{micros},-;{escaped}\n");
        let log = Log::parse(line.as_bytes());
        prop_assert_eq!(&log.holes, &[]);
        prop_assert_eq!(&log.records[0].text, &text);
        prop_assert_eq!(log.records[0].sequence, sequence);
        prop_assert_eq!(u32::from(log.records[0].level) + log.records[0].facility * 8, priority);
    }
}
