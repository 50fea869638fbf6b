// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PID 1 started again as a child: for a test, for the checks after it, for a terminal.
//!
//! A child speaks on its standard output: `# key: value` lines, then one line with its verdict,
//! `ok <detail>` or `not ok <why>`. Anything else, or nothing, is a failure.

use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use rustix::process::{WaitOptions, waitpid};

use crate::{
    failure::{Checked, Failure},
    ktap::{Verdict, one_line},
    module, procfs, shell, tests,
};

/// Argument of a child that runs a test.
pub(crate) const TEST: &str = "test";
/// Argument of a child that checks the kernel after a test.
pub(crate) const CHECK: &str = "check";
/// Argument of a child that makes a terminal its own and becomes a shell.
pub(crate) const TERMINAL: &str = "terminal";

const SELF: &str = "/proc/self/exe";
const POLL: Duration = Duration::from_millis(5);
/// For processes that were killed to be gone, on a busy host.
const ORPHANS: Duration = Duration::from_secs(5);

/// The child's side of [`TEST`].
pub(crate) fn test(name: &str) -> ExitCode {
    report(tests::run(name))
}

/// The child's side of [`CHECK`].
pub(crate) fn check(baseline: &str) -> ExitCode {
    report(
        baseline
            .parse::<procfs::Baseline>()
            .and_then(|before| module::settle(&before))
            .map(|()| String::new()),
    )
}

/// The child's side of [`TERMINAL`]: returns only in failure.
pub(crate) fn terminal(tty: &str) -> ExitCode {
    let failure = shell::become_shell(tty);
    eprintln!("{failure}");
    ExitCode::FAILURE
}

fn report(result: Checked<String>) -> ExitCode {
    let line = match result {
        Ok(detail) => format!("ok {}", one_line(&detail)),
        Err(failure) => format!("not ok {}", one_line(&failure.to_string())),
    };
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A command that starts this program again.
pub(crate) fn again(role: &str, argument: &str) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the guest has no factory to outlive: it ends with its machine"
    )]
    let mut command = Command::new(SELF);
    command.args([role, argument]);
    command
}

/// Runs a child to its verdict, within `limit`; each `# key: value` line goes to `tell`.
pub(crate) fn run(
    role: &str,
    argument: &str,
    limit: Duration,
    tell: &mut dyn FnMut(&str),
) -> Verdict {
    supervise(role, argument, limit, tell).unwrap_or_else(Verdict::from)
}

fn supervise(
    role: &str,
    argument: &str,
    limit: Duration,
    tell: &mut dyn FnMut(&str),
) -> Checked<Verdict> {
    let start = Instant::now();
    let mut child = again(role, argument)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::system(format!("start {SELF}")))?;
    let lines = child.stdout.take().map(lines_of);
    let errors = child.stderr.take().map(lines_of);
    let mut verdict = None;
    if let Some(lines) = lines {
        loop {
            match lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(line) if line.starts_with("# ") => tell(&line),
                Ok(line) => verdict = Some(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => return Err(overdue(&mut child, limit)),
            }
        }
    }
    let status = wait(&mut child, limit.saturating_sub(start.elapsed()))?
        .ok_or_else(|| overdue(&mut child, limit))?;
    judge(verdict.as_deref(), status, errors.as_ref())
}

fn judge(
    verdict: Option<&str>,
    status: ExitStatus,
    errors: Option<&Receiver<String>>,
) -> Checked<Verdict> {
    let said = verdict.and_then(|line| match line.split_once("ok ") {
        Some(("", detail)) => Some(Verdict::Passed(detail.into())),
        Some(("not ", why)) => Some(Verdict::Failed(why.into())),
        _ => None,
    });
    match said {
        Some(verdict) if status.success() => Ok(verdict),
        _ => {
            let errors: Vec<String> = errors.into_iter().flatten().collect();
            let last = verdict.into_iter().chain(errors.iter().map(String::as_str));
            let last: Vec<&str> = last.collect();
            Err(Failure::Died(format!("{status}: {}", last.join("; "))))
        }
    }
}

fn overdue(child: &mut Child, limit: Duration) -> Failure {
    // A child that sleeps in the kernel for good does not go, and must not be waited for.
    let _ = child.kill();
    Failure::Timeout(format!(
        "no verdict within {} s; it {}",
        limit.as_secs(),
        whereabouts(child.id())
    ))
}

/// In which state a process is, and where in the kernel.
fn whereabouts(pid: u32) -> String {
    let read = |name: &str| procfs::read(&format!("/proc/{pid}/{name}")).unwrap_or_default();
    let status = read("status");
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    format!(
        "was in state {} at {}",
        state.unwrap_or("unknown").trim(),
        one_line(&read("stack"))
    )
}

fn wait(child: &mut Child, limit: Duration) -> Checked<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        let status = child
            .try_wait()
            .map_err(Failure::system("wait for a child"))?;
        if status.is_some() || start.elapsed() > limit {
            return Ok(status);
        }
        sleep(POLL);
    }
}

/// Waits for the end of the orphans that a test has left: PID 1 is everybody's last parent. An error
/// names who lives on. Call it when no child of our own is waited for.
pub(crate) fn bury() -> Checked<()> {
    let start = Instant::now();
    loop {
        match waitpid(None, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) if start.elapsed() > ORPHANS => break,
            Ok(None) => sleep(POLL),
            // There is none.
            Err(_) => return Ok(()),
        }
    }
    let left = procfs::read("/proc/1/task/1/children").unwrap_or_default();
    let names = left.split_ascii_whitespace().map(|pid| {
        let command = procfs::read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("{pid} {}", command.replace('\0', " ").trim())
    });
    let names: Vec<String> = names.collect();
    Err(Failure::Assertion(format!(
        "processes outlive the test: {}",
        names.join(", ")
    )))
}

fn lines_of(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests_of_judgement {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn judged(line: Option<&str>, status: i32) -> Verdict {
        judge(line, ExitStatus::from_raw(status), None).unwrap_or_else(Verdict::from)
    }

    #[test]
    fn a_verdict_counts_only_when_said_and_followed_by_a_good_end() {
        assert_eq!(judged(Some("ok fine"), 0), Verdict::Passed("fine".into()));
        assert_eq!(judged(Some("not ok bad"), 0), Verdict::Failed("bad".into()));
        for (line, status) in [
            (None, 0),
            (Some("okay"), 0),
            (Some("maybe ok 1"), 0),
            (Some("ok fine"), 6),
        ] {
            let Verdict::Failed(why) = judged(line, status) else {
                panic!("{line:?} with {status} passed");
            };
            assert!(why.starts_with("test-died: "), "{why}");
        }
    }
}
