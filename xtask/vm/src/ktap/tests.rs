// SPDX-License-Identifier: Apache-2.0 OR MIT
use proptest::prelude::*;

use super::*;

fn one(line: &str) -> KtapResult {
    let text = format!("KTAP version 1\n1..1\n{line}\n");
    parse(text.as_bytes()).unwrap().results.remove(0)
}

fn error(text: &str) -> (&'static str, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.verdict(), error.to_string())
}

#[test]
fn a_guests_stream_is_read_with_what_it_measured() {
    let text = "KTAP version 1\n1..1\n# stack_size: 65536\n# noise: kmalloc-64 +3 objects\n\
        # Not a key: 1\nok 1 selftest.stack_budget # 20480 of 65536 bytes\n";
    let ktap = parse(text.as_bytes()).unwrap();
    let [result] = &ktap.results[..] else {
        panic!("{ktap:?}")
    };
    assert_eq!(result.name, "selftest.stack_budget");
    assert_eq!(result.outcome, Outcome::Ok);
    assert_eq!(result.detail, "20480 of 65536 bytes");
    assert_eq!(result.measured["stack_size"], "65536");
    assert_eq!(result.measured["noise"], "kmalloc-64 +3 objects");
    assert_eq!(result.remarks, ["Not a key: 1"]);
}

#[test]
fn directives_are_told_from_details() {
    let cases = [
        ("ok 1 a", Outcome::Ok, "a", ""),
        ("ok 1", Outcome::Ok, "", ""),
        ("ok 1 - a b", Outcome::Ok, "a b", ""),
        (
            "not ok 1 a # new-taint: W",
            Outcome::NotOk,
            "a",
            "new-taint: W",
        ),
        ("ok 1 a # SKIP no kTLS", Outcome::Skip, "a", "no kTLS"),
        ("ok 1 a # SKIP: no kTLS", Outcome::Skip, "a", "no kTLS"),
        ("ok 1 # SKIP", Outcome::Skip, "", ""),
        ("not ok 1 a # TODO later", Outcome::Todo, "a", "later"),
        ("ok 1 a # XFAIL", Outcome::Todo, "a", ""),
        ("not ok 1 a # TIMEOUT", Outcome::Timeout, "a", ""),
        ("not ok 1 a # ERROR b", Outcome::Error, "a", "b"),
        ("ok 1 a # SKIPPED?", Outcome::Ok, "a", "SKIPPED?"),
        (
            "not ok 1 a # x: got # of y",
            Outcome::NotOk,
            "a",
            "x: got # of y",
        ),
    ];
    for (line, outcome, name, detail) in cases {
        let result = one(line);
        assert_eq!(
            (result.outcome, result.name.as_str(), result.detail.as_str()),
            (outcome, name, detail),
            "{line}"
        );
    }
}

/// A stream, its verdict, and a part of its message.
const WRONG: &[(&str, &str, &str)] = &[
    ("", "missing-plan", "no \"KTAP version 1\""),
    (
        "TAP version 14\n1..1\n",
        "missing-plan",
        "\"TAP version 14\"",
    ),
    ("KTAP version 1\n", "missing-plan", "no plan"),
    ("KTAP version 1\nok 1 a\n1..1\n", "missing-plan", "line 2"),
    ("@ok 1 a\nok 2 b", "truncated-ktap", "cut off: \"ok 2 b\""),
    ("@", "no-verdict", "2 tests were planned and none"),
    ("@ok 1 a\n", "truncated-ktap", "2 tests were planned and 1"),
    ("@ok 1 a\nok 1 a\n", "malformed-ktap", "test 1 has a second"),
    ("@ok 2 a\nok 1 a\n", "malformed-ktap", "that of 1 was due"),
    (
        "@ok 1 a\nok 2 b\nok 3 c\n",
        "malformed-ktap",
        "test 3 is not in the plan of 2",
    ),
    ("@ok 0 a\n", "malformed-ktap", "test 0 is not"),
    ("@    ok 1 sub\n", "malformed-ktap", "subtests"),
    ("@1..2\n", "malformed-ktap", "line 3 is no KTAP"),
    (
        "@not ok 1 a # SKIP b\n",
        "malformed-ktap",
        "cannot be excused",
    ),
    ("@not ok 1 # SKIP\n", "malformed-ktap", "line 3: a failure"),
    ("@hello\n", "malformed-ktap", "line 3 is no KTAP: \"hello\""),
    ("@okay 1 a\n", "malformed-ktap", "line 3"),
    ("@ok one a\n", "malformed-ktap", "line 3"),
    (
        "@Bail out! no device\n",
        "malformed-ktap",
        "Bail out! no device",
    ),
    (
        "KTAP version 1\n1..0 # SKIP x\n",
        "malformed-ktap",
        "has no tests",
    ),
];

#[test]
fn each_wrong_stream_has_its_named_verdict() {
    for (text, verdict, part) in WRONG {
        let text = text.replace('@', "KTAP version 1\n1..2\n");
        let (named, message) = error(&text);
        assert_eq!(named, *verdict, "{text:?}: {message}");
        assert!(message.contains(part), "{text:?}: {message}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }

    #[test]
    fn no_lines_that_look_like_ktap_panic(lines in "(KTAP version 1\n)?((not )?ok|1\\.\\.|#| |[0-9]|SKIP|\n){0,40}") {
        let _ = parse(lines.as_bytes());
    }

    #[test]
    fn what_is_said_is_read(names in prop::collection::vec("[a-z]{1,8}\\.[a-z_]{1,8}", 1..6), details in "[a-z][a-z ,;:#0-9]{0,20}") {
        let details = details.trim();
        let lines = names.iter().zip(1..);
        let lines: String = lines.map(|(name, number)| format!("not ok {number} {name} # {details}\n")).collect();
        let text = format!("KTAP version 1\n1..{}\n{lines}", names.len());
        let read = parse(text.as_bytes()).unwrap().results;
        prop_assert_eq!(read.len(), names.len());
        for (result, name) in read.iter().zip(&names) {
            prop_assert_eq!(&result.name, name);
            prop_assert_eq!(&result.detail, details);
            prop_assert_eq!(result.outcome, Outcome::NotOk);
        }
    }

    #[test]
    fn every_cut_of_a_good_stream_is_an_error(cut in 0usize..70) {
        let text = b"KTAP version 1\n1..2\n# key: value\nok 1 load.module\nok 2 load.taint # OE\n";
        prop_assert!(parse(&text[..cut]).is_err());
        prop_assert!(parse(text).is_ok());
    }
}
