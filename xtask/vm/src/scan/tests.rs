// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

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
