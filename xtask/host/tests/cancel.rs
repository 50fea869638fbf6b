// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cancelling is for the whole process, so it is tested in one of its own.

use std::{fs, sync::mpsc, thread, time::Duration};

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

    let result = receiver
        .recv_timeout(Duration::from_secs(30))
        .expect("the child was not killed");
    assert!(matches!(result, Err(ProcessError::Cancelled)));
    let grandchild = fs::read_to_string(&pid_file).unwrap();
    let lives = || {
        fs::read_to_string(format!("/proc/{}/stat", grandchild.trim()))
            .is_ok_and(|stat| !stat.contains(") Z "))
    };
    // A killed process takes a moment to die; one that was not killed sleeps on.
    let died = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        !lives()
    });
    assert!(died, "the grandchild lives");
    assert!(matches!(
        process::run(process::command("true"), None),
        Err(ProcessError::Cancelled)
    ));
}
