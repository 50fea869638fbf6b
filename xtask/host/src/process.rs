// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Child processes that never outlive the factory.

use std::{ffi::OsStr, io, path::Path, process::ExitStatus};

/// A child process did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// The whole command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended in failure.
    #[error("{command} failed ({status}){}", indent(output))]
    Failed {
        /// The whole command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
}

/// A command whose process is killed when this process dies, however it dies.
///
/// `setpriv --pdeathsig KILL` (util-linux) sets the death signal and then becomes the program,
/// so that no unsafe code is needed here. The child gets its own process group: a Ctrl-C at the
/// terminal reaches the factory alone, which then stops its children in order.
///
/// The death signal is sent when the *thread* that started the child ends (prctl(2)): start
/// what lives long from a runtime's worker, never from a blocking-pool thread that may retire.
pub fn command(program: impl AsRef<OsStr>) -> std::process::Command {
    use std::os::unix::process::CommandExt as _;
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .process_group(0)
        .stdin(std::process::Stdio::null());
    command
}

/// As [`command`], for tokio; the child is also killed when its handle is dropped.
pub fn command_async(program: impl AsRef<OsStr>) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(command(program));
    command.kill_on_drop(true);
    command
}

/// The command line for people: what a shell would accept.
pub fn show(command: &std::process::Command) -> String {
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
/// When it cannot start or ends in failure: with the end of its output.
pub fn run(
    mut command: std::process::Command,
    dir: Option<&Path>,
) -> Result<Vec<u8>, ProcessError> {
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    let shown = show(&command);
    let output = command.output().map_err(|source| ProcessError::Start {
        command: shown.clone(),
        source,
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = [output.stdout, output.stderr].concat();
    Err(ProcessError::Failed {
        command: shown,
        status: output.status,
        output: tail(&String::from_utf8_lossy(&text)),
    })
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

    #[test]
    fn a_failure_names_the_command_and_shows_its_output() {
        let mut child = command("sh");
        child.args(["-c", "echo told; exit 3"]);
        let error = run(child, None).unwrap_err().to_string();
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
}
