// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cancelling is for the whole process, so it is tested in one of its own.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{sync::mpsc, thread};

use tidelock_host::process::{self, ProcessError};

#[test]
fn cancel_ends_what_runs_with_its_children_and_lets_nothing_start() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let (sender, receiver) = mpsc::channel();
    let script = format!(
        "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
        pid_file.display()
    );
    thread::spawn(move || {
        let mut shell = process::command("sh");
        shell.args(["-c", &script]);
        sender.send(process::run(shell, None)).unwrap();
    });
    while !pid_file.exists() {
        thread::yield_now();
    }
    process::cancel();

    assert!(matches!(
        receiver.recv().unwrap(),
        Err(ProcessError::Cancelled)
    ));
    let grandchild = std::fs::read_to_string(&pid_file).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", grandchild.trim()));
    assert!(
        stat.is_err() || stat.unwrap().contains(") Z "),
        "the grandchild lives"
    );
    assert!(matches!(
        process::run(process::command("true"), None),
        Err(ProcessError::Cancelled)
    ));
}
