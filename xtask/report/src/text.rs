// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How numbers, times and foreign text are put for people.

use chrono::{DateTime, Utc};

/// `0.41 s`, `12.3 s`, `3 min 20 s`, `1 h 02 min`: three figures say enough.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{:02} s", seconds, ms % 1000 / 10),
        10..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `2026-08-01 12:00:00 UTC`.
pub(crate) fn utc(unix_seconds: u64) -> String {
    moment(unix_seconds).map_or_else(
        || format!("{unix_seconds} s since the epoch"),
        |moment| moment.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// `2026-08-01`.
pub(crate) fn date(unix_seconds: u64) -> String {
    moment(unix_seconds).map_or_else(
        || format!("{unix_seconds} s since the epoch"),
        |moment| moment.format("%Y-%m-%d").to_string(),
    )
}

/// The moment, when the calendar reaches that far.
pub(crate) fn moment(unix_seconds: u64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(i64::try_from(unix_seconds).ok()?, 0)
}

/// `812 B`, `34.2 KiB`, `75.0 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    let mut tenths = u128::from(count) * 10;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "B" {
        return format!("{count} B");
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Foreign text as one line that no terminal and no reader can be fooled with: control
/// characters, line ends and marks that reverse the writing direction become spaces.
pub(crate) fn one_line(text: &str) -> String {
    let words: String = text
        .chars()
        .map(|c| {
            if c.is_control() || reorders(c) {
                ' '
            } else {
                c
            }
        })
        .collect();
    words.trim().to_owned()
}

/// As [`one_line`], for text that may have several.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(one_line).collect::<Vec<_>>().join("\n")
}

/// The directional marks of Unicode (UAX #9) that show text in another order than it has.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}'..='\u{2029}')
}

/// A reason's named verdict, such as `kernel-oops`, which is its first word; and the rest.
pub(crate) fn split_verdict(reason: &str) -> (&str, &str) {
    let reason = reason.trim();
    let (word, rest) = reason
        .split_once(char::is_whitespace)
        .unwrap_or((reason, ""));
    (word.trim_end_matches([':', ',', ';']), rest.trim_start())
}

/// The named verdict alone.
pub(crate) fn verdict(reason: &str) -> &str {
    split_verdict(reason).0
}

/// The beginning of a text, with a mark when it was longer.
pub(crate) fn clip(text: &str, chars: usize) -> String {
    let mut rest = text.chars();
    let mut out: String = rest.by_ref().take(chars).collect();
    if rest.next().is_some() {
        out.push('…');
    }
    out
}

/// `1 cell`, `2 cells`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_figures() {
        for (ms, text) in [
            (0, "0.00 s"),
            (9, "0.00 s"),
            (414, "0.41 s"),
            (9_999, "9.99 s"),
            (12_345, "12.3 s"),
            (200_000, "3 min 20 s"),
            (3_725_000, "1 h 02 min"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn sizes_are_binary() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (78_643_200, "75.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times_are_utc_and_any_number_is_shown() {
        assert_eq!(utc(1_785_585_600), "2026-08-01 12:00:00 UTC");
        assert_eq!(date(1_785_585_600), "2026-08-01");
        assert_eq!(utc(u64::MAX), "18446744073709551615 s since the epoch");
    }

    #[test]
    fn foreign_text_moves_no_cursor_and_hides_nothing() {
        assert_eq!(one_line("\x1b[2Ja\r\nb\u{202e}c\u{7}\u{9b}"), "[2Ja  b c");
        assert_eq!(lines("a\r\nb\x1b[0m\n"), "a\nb [0m");
    }

    #[test]
    fn the_verdict_is_the_first_word() {
        assert_eq!(
            split_verdict("kernel-oops: NULL at tdl_open"),
            ("kernel-oops", "NULL at tdl_open")
        );
        assert_eq!(split_verdict("  hang"), ("hang", ""));
        assert_eq!(split_verdict(""), ("", ""));
    }
}
