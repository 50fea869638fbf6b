// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs of the userland: run to their end, with a limit of time and all that they said.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::server::Server;
use crate::{
    failure::{Checked, Failure},
    ktap::one_line,
};

/// For a program that has nothing to wait for but a busy host.
pub(crate) const USUAL: Duration = Duration::from_mins(1);
/// Of what a program said, as much is told of a failure.
const TOLD: usize = 600;

/// A program that is about to be run.
pub(crate) struct Program {
    /// Words before its own: who it is run by.
    prefix: Vec<String>,
    words: Vec<String>,
    envs: Vec<(String, String)>,
    input: Option<Vec<u8>>,
    limit: Duration,
}

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Output {
    /// What it was, for people.
    pub(crate) what: String,
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) stdout: Vec<u8>,
    /// Its standard error.
    pub(crate) stderr: Vec<u8>,
}

impl Program {
    pub(super) fn new(path: &str) -> Self {
        Self {
            prefix: Vec::new(),
            words: vec![path.to_owned()],
            envs: Vec::new(),
            input: None,
            limit: USUAL,
        }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.words.extend(words);
        self
    }

    /// Sets a variable of its environment, which has little else: `PATH`, `HOME`, `LC_ALL`.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives it this on its standard input, which is empty otherwise.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Gives it another limit than a minute.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it as another user, with that user's group and no other.
    pub(crate) fn by_user(self, user: u32, group: u32) -> Self {
        let words = [format!("--reuid={user}"), format!("--regid={group}")];
        let words = words.iter().map(String::as_str);
        self.by("/usr/bin/setpriv", words.chain(["--clear-groups", "--"]))
    }

    /// Runs it in a network namespace made by `Userland::network`.
    pub(crate) fn in_network(self, name: &str) -> Self {
        self.by("/usr/sbin/ip", ["netns", "exec", name])
    }

    /// Runs it as PID 1 of a process namespace of its own.
    pub(crate) fn in_own_processes(self) -> Self {
        self.by(
            "/usr/bin/unshare",
            ["--pid", "--fork", "--kill-child", "--mount-proc", "--"],
        )
    }

    fn by<'a>(mut self, program: &str, words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefix = vec![program.to_owned()];
        prefix.extend(words.into_iter().map(str::to_owned));
        prefix.append(&mut self.prefix);
        self.prefix = prefix;
        self
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// When it cannot be started, or is not at its end within its limit: it is killed then.
    pub(crate) fn run(self) -> Checked<Output> {
        let limit = self.limit;
        self.spawn()?.end(limit)
    }

    /// Starts it, and leaves it running.
    pub(crate) fn start(self) -> Checked<Server> {
        Ok(Server::new(self.spawn()?))
    }

    fn spawn(self) -> Checked<Running> {
        let words: Vec<&String> = self.prefix.iter().chain(&self.words).collect();
        let what = one_line(
            &words
                .iter()
                .map(|word| word.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        );
        let [stdout, stderr] = [scratch()?, scratch()?];
        let stdin = match self.input {
            None => Stdio::null(),
            Some(bytes) => {
                let mut file = scratch()?;
                std::io::Write::write_all(&mut file, &bytes)
                    .and_then(|()| file.rewind())
                    .map_err(Failure::system("write a program's input"))?;
                file.into()
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the guest ends with its machine")]
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .envs([
                ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
                ("HOME", "/root"),
                ("LC_ALL", "C.UTF-8"),
            ])
            .envs(self.envs)
            .process_group(0)
            .stdin(stdin)
            .stdout(duplicate(&stdout)?)
            .stderr(duplicate(&stderr)?);
        let child = command
            .spawn()
            .map_err(Failure::system(format!("start {what}")))?;
        Ok(Running {
            child,
            what,
            stdout,
            stderr,
        })
    }
}

/// A file without a name.
fn scratch() -> Checked<File> {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::open("/tmp", flags | rustix::fs::OFlags::CLOEXEC, mode)
        .map(File::from)
        .map_err(Failure::system("open a file in /tmp"))
}

/// A descriptor of its own for the program. It appends: the offset is shared with who reads.
fn duplicate(file: &File) -> Checked<Stdio> {
    let again = rustix::fs::open(
        format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)),
        rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::APPEND | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    again
        .map(|descriptor| File::from(descriptor).into())
        .map_err(Failure::system("open a program's output"))
}

/// A program that was started.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) what: String,
    stdout: File,
    stderr: File,
}

impl Running {
    /// Waits for its end; `None` when that does not come within `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> Checked<Option<ExitStatus>> {
        let failed = || Failure::system::<std::io::Error>(format!("wait for {}", self.what));
        let pid = Pid::from_child(&self.child);
        let end = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| failed()(error.into()))?;
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().map_err(failed())? {
                return Ok(Some(status));
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match poll(&mut [PollFd::new(&end, PollFlags::IN)], Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(failed()(error.into())),
            }
        }
    }

    /// What it comes to, within `limit`; it is killed then.
    pub(super) fn end(&mut self, limit: Duration) -> Checked<Output> {
        if let Some(status) = self.wait(limit)? {
            return self.output(status);
        }
        self.kill();
        let said = self.said()?;
        Err(Failure::Timeout(format!(
            "{} did not end within {} s; it said {said}",
            self.what,
            limit.as_secs()
        )))
    }

    /// Ends it, and what it started in its process group.
    pub(super) fn kill(&mut self) {
        let group = Pid::from_child(&self.child);
        // It may have ended by itself, which is as good.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }

    /// All it has said by now.
    pub(super) fn output(&mut self, status: ExitStatus) -> Checked<Output> {
        Ok(Output {
            what: self.what.clone(),
            status,
            stdout: whole(&mut self.stdout)?,
            stderr: whole(&mut self.stderr)?,
        })
    }

    /// The end of what it has said by now, for people.
    pub(super) fn said(&mut self) -> Checked<String> {
        let all = [whole(&mut self.stdout)?, whole(&mut self.stderr)?].concat();
        Ok(tail(&all))
    }
}

fn whole(file: &mut File) -> Checked<Vec<u8>> {
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .map_err(Failure::system("read a program's output"))?;
    Ok(bytes)
}

/// The last of a text, on one line.
fn tail(text: &[u8]) -> String {
    let last = &text[text.len().saturating_sub(TOLD)..];
    format!("{:?}", String::from_utf8_lossy(last).trim_end())
}

impl Output {
    /// Itself, if the program ended well.
    pub(crate) fn ok(self) -> Checked<Self> {
        if self.status.success() {
            return Ok(self);
        }
        let said = [self.stdout, self.stderr].concat();
        Err(Failure::Program(format!(
            "{}: {}; it said {}",
            self.what,
            self.status,
            tail(&said)
        )))
    }

    /// Its standard output as text, without the last line break.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}
