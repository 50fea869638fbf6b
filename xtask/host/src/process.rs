// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Child processes that never outlive the factory.

use std::{
    ffi::OsStr,
    io::{self, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A child process did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started, or not be waited for.
    #[error("cannot run {command}: {source}")]
    Run {
        /// The whole command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended in failure.
    #[error("{command} failed ({status}){}", indent(&tail(output)))]
    Failed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// All that it wrote, standard output first.
        output: String,
    },
    /// The factory is being stopped.
    #[error("stopped")]
    Cancelled,
}

/// How a child process ended, whatever its exit code.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// The children that are waited for, and whether the factory is being stopped.
struct Children {
    running: Vec<Pid>,
    cancelled: bool,
}

static CHILDREN: Mutex<Children> = Mutex::new(Children {
    running: Vec::new(),
    cancelled: false,
});

fn children() -> MutexGuard<'static, Children> {
    // The list is whole after every statement that changes it.
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command whose process is killed when this process dies, however it dies.
///
/// `setpriv --pdeathsig KILL` (util-linux) sets the death signal and then becomes the program,
/// so that no unsafe code is needed here. The child gets its own process group: a Ctrl-C at the
/// terminal reaches the factory alone, which then stops its children in order.
///
/// The death signal is sent when the *thread* that started the child ends (prctl(2)): start
/// what lives long from a runtime's worker, never from a blocking-pool thread that may retire.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .process_group(0)
        .stdin(Stdio::null());
    command
}

/// As [`command`], for the cargo that runs us, or the one that is found.
///
/// What it has told us of our own package is taken out of the environment: build scripts (ring's)
/// look at it, so that what stands on them would be compiled anew each time that cargo is called
/// now by us and now by hand.
pub fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(is_of_our_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn is_of_our_package(name: &str) -> bool {
    name == "OUT_DIR" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
}

/// As [`command`], for tokio; the child is also killed when its handle is dropped.
pub fn command_async(program: impl AsRef<OsStr>) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(command(program));
    command.kill_on_drop(true);
    command
}

/// The command line for people: what a shell would accept.
pub fn show(command: &Command) -> String {
    let mut words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect();
    if words.first().is_some_and(|word| word == "setpriv") {
        words.drain(..4.min(words.len()));
    }
    words.join(" ")
}

/// Runs to the end, in `dir` when given, and returns what was written to standard output.
///
/// # Errors
/// When it cannot start, ends in failure, or [`cancel`] was called.
pub fn run(command: Command, dir: Option<&Path>) -> Result<Vec<u8>, ProcessError> {
    let shown = show(&command);
    let Outcome {
        status,
        stdout,
        stderr,
    } = outcome(command, dir)?;
    if status.success() {
        return Ok(stdout);
    }
    let output = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    Err(ProcessError::Failed {
        command: shown,
        status,
        output,
    })
}

/// Runs to the end, in `dir` when given, and returns all there is to know about it.
///
/// # Errors
/// When it cannot start, or [`cancel`] was called; an exit code is not an error here.
pub fn outcome(mut command: Command, dir: Option<&Path>) -> Result<Outcome, ProcessError> {
    let shown = show(&command);
    let failed = |source| ProcessError::Run {
        command: shown.clone(),
        source,
    };
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(&mut command)
        .map_err(failed)?
        .ok_or(ProcessError::Cancelled)?;
    let (stdout, stderr) = drain(&mut child);
    let status = reap(child).map_err(failed)?;
    if children().cancelled {
        return Err(ProcessError::Cancelled);
    }
    Ok(Outcome {
        status,
        stdout,
        stderr,
    })
}

/// Runs to the end with our own output, and returns how it ended.
///
/// # Errors
/// When it cannot start, or [`cancel`] was called; an exit code is not an error here.
pub fn passthrough(mut command: Command, dir: Option<&Path>) -> Result<ExitStatus, ProcessError> {
    let shown = show(&command);
    let failed = |source| ProcessError::Run {
        command: shown.clone(),
        source,
    };
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let child = start(&mut command)
        .map_err(failed)?
        .ok_or(ProcessError::Cancelled)?;
    let status = reap(child).map_err(failed)?;
    if children().cancelled {
        Err(ProcessError::Cancelled)
    } else {
        Ok(status)
    }
}

/// Kills every child that [`run`], [`outcome`] and [`passthrough`] wait for, and lets no other start.
pub fn cancel() {
    let mut children = children();
    children.cancelled = true;
    for pid in &children.running {
        // It may have ended by itself: then there is nothing left to kill.
        let _ = kill_process_group(*pid, Signal::KILL);
    }
}

/// Whether [`cancel`] was called: nothing starts any more.
pub fn is_cancelled() -> bool {
    children().cancelled
}

/// Starts and registers a child; `None` when the factory is being stopped.
fn start(command: &mut Command) -> io::Result<Option<Child>> {
    let mut children = children();
    if children.cancelled {
        return Ok(None);
    }
    let child = command.spawn()?;
    children.running.push(Pid::from_child(&child));
    Ok(Some(child))
}

fn drain(child: &mut Child) -> (Vec<u8>, Vec<u8>) {
    fn all(pipe: Option<impl Read>) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks ends the output; how the child ended is told by its status.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let stderr = scope.spawn(|| all(stderr));
        (all(stdout), stderr.join().unwrap_or_default())
    })
}

/// Waits for the end of a registered child.
///
/// The child is taken off the list while it is a zombie still, so that its number cannot belong
/// to somebody else when [`cancel`] kills it.
fn reap(mut child: Child) -> io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    let waited = loop {
        match waitid(
            WaitId::Pid(pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
        ) {
            Err(rustix::io::Errno::INTR) => {}
            other => break other,
        }
    };
    children().running.retain(|running| *running != pid);
    waited?;
    child.wait()
}

/// The last lines of a long output.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("\n  {line}")).collect()
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut child = command("sh");
        child.args(["-c", script]);
        child
    }

    #[test]
    fn a_failure_names_the_command_and_shows_its_output() {
        let error = run(shell("echo told; exit 3"), None)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "sh -c 'echo told; exit 3' failed (exit status: 3)\n  told"
        );
    }

    #[test]
    fn a_missing_program_is_a_failure() {
        let error = run(command("no-such-program-here"), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-program-here"), "{error}");
    }

    #[test]
    fn both_outputs_are_read_whole_however_long() {
        let outcome = outcome(shell("seq 1 50000; seq 1 50000 >&2; exit 1"), None).unwrap();
        assert_eq!(outcome.stdout, outcome.stderr);
        assert!(outcome.stdout.ends_with(b"\n50000\n"));
        assert_eq!(outcome.status.code(), Some(1));
    }
}
