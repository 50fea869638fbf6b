// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Commands in a build root: no network, nothing of the host, nothing written but the work
//! folder.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
};

use tidelock_host::{
    files::FileError,
    process::{self, Outcome},
    tools::Tool,
};
use tidelock_model::KeyBuilder;

use crate::{
    error::KbuildError,
    headers::Headers,
    root::{KERNEL, Root},
};

/// What the stages need of the host, for `tidelock_host::tools::require`.
pub const TOOLS: [Tool; 1] = [Tool {
    program: "bwrap",
    package: "bubblewrap",
}];

/// All that a command in a root sees of an environment: the same on every host and day.
pub const ENVIRONMENT: [(&str, &str); 9] = [
    ("HOME", "/"),
    ("KBUILD_BUILD_HOST", "tidelock"),
    ("KBUILD_BUILD_TIMESTAMP", "2026-01-01 00:00:00 +0000"),
    ("KBUILD_BUILD_USER", "tidelock"),
    ("KBUILD_BUILD_VERSION", "1"),
    ("LC_ALL", "C"),
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("SOURCE_DATE_EPOCH", "1767225600"),
    ("TZ", "UTC"),
];

/// Puts what every command sees of its environment into a key.
pub(crate) fn in_key(key: KeyBuilder) -> KeyBuilder {
    let add = |key: KeyBuilder, (name, value): (&str, &str)| key.text(name, value);
    ENVIRONMENT.into_iter().fold(key, add)
}

/// Where the work folder is in a sandbox, and the current folder of its commands.
pub(crate) const WORK: &str = "/work";

/// A root with a kernel's headers and a work folder mounted in it.
#[derive(Clone, Copy, Debug)]
pub struct Sandbox<'a> {
    /// The build root: read-only.
    pub root: &'a Root,
    /// The kernel's headers: read-only.
    pub headers: &'a Headers,
    /// The work folder: all that a command can change.
    pub work: &'a Path,
}

/// What a command in a sandbox came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote, in order.
    pub log: String,
}

impl Ran {
    /// The signal that ended it, for people: then what it left says nothing of the code.
    pub fn killed(&self) -> Option<String> {
        let shell_says = |code: i32| (code > 128).then(|| code - 128);
        let signal = self
            .status
            .signal()
            .or(self.status.code().and_then(shell_says));
        signal.map(|signal| format!("it was killed by signal {signal}"))
    }
}

impl Sandbox<'_> {
    /// The command that runs a shell script in this sandbox.
    ///
    /// # Errors
    /// When the headers' folders cannot be read.
    pub fn command(&self, script: &str) -> Result<Command, KbuildError> {
        let mut command = process::command("bwrap");
        command.args(["--unshare-all", "--die-with-parent", "--new-session"]);
        command.args(["--cap-drop", "ALL"]);
        command.arg("--ro-bind").arg(&self.root.path).arg("/");
        // objtool looks up the limit of its stack in /proc since Linux 7.1.
        command.args(["--dev", "/dev", "--proc", "/proc"]);
        command.args(["--tmpfs", "/tmp", "--tmpfs", KERNEL]);
        for (host, inside) in mounts(&self.headers.folders)? {
            command.arg("--ro-bind").arg(host).arg(inside);
        }
        command.args(["--remount-ro", KERNEL]);
        command.arg("--bind").arg(self.work).arg(WORK);
        command.args(["--chdir", WORK, "--clearenv"]);
        for (name, value) in ENVIRONMENT {
            command.args(["--setenv", name, value]);
        }
        // Standard error is bubblewrap's own: the script's goes where its output goes.
        command.args(["sh", "-c", &format!("exec 2>&1\n{script}")]);
        Ok(command)
    }

    /// Runs a shell script to its end.
    ///
    /// # Errors
    /// When it cannot be run; a script that fails is not an error here.
    pub fn run(&self, script: &str) -> Result<Ran, KbuildError> {
        let Outcome {
            status,
            stdout,
            stderr,
        } = process::outcome(self.command(script)?, None)?;
        let said = String::from_utf8_lossy(&stderr);
        if !status.success() && said.contains("bwrap: ") {
            return Err(KbuildError::Sandbox {
                said: said.trim().into(),
            });
        }
        Ok(Ran {
            status,
            log: String::from_utf8_lossy(&stdout).into_owned(),
        })
    }
}

/// What to mount below [`KERNEL`]: the packages' folders of headers and of kbuild, so that the
/// packages share one `usr` although each has its own folder on the host.
fn mounts(folders: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, KbuildError> {
    let mut mounts = Vec::new();
    for folder in folders {
        for part in ["usr/src", "usr/lib"] {
            let dir = folder.join(part);
            if !dir.is_dir() {
                continue;
            }
            let entries = fs::read_dir(&dir).map_err(FileError::of("read", &dir))?;
            for entry in entries {
                let entry = entry.map_err(FileError::of("read", &dir))?;
                let name = entry.file_name().to_string_lossy().into_owned();
                // linux-kbuild-V has a link beside the headers that nothing follows.
                if name.starts_with("linux-") && !entry.path().is_symlink() {
                    mounts.push((entry.path(), format!("{KERNEL}/{part}/{name}")));
                }
            }
        }
    }
    mounts.sort_unstable();
    Ok(mounts)
}

#[cfg(test)]
mod tests {
    use tidelock_host::files;
    use tidelock_model::Sha256;

    use super::*;

    fn fixture(dir: &Path) -> (Root, Headers) {
        let root = Root {
            path: "/cache/roots/r".into(),
            key: Sha256::of(b"root"),
        };
        for name in [
            "own/usr/src/linux-headers-6.1.0-56-amd64",
            "common/usr/src/linux-headers-6.1.0-56-common",
            "kbuild/usr/lib/linux-kbuild-6.1",
        ] {
            files::make_dir(&dir.join(name)).unwrap();
        }
        let headers = Headers {
            release: "6.1.0-56-amd64".parse().unwrap(),
            key: Sha256::of(b"headers"),
            folders: ["own", "common", "kbuild"]
                .map(|name| dir.join(name))
                .into(),
        };
        (root, headers)
    }

    #[test]
    fn the_command_line_is_as_reviewed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, headers) = fixture(dir.path());
        let sandbox = Sandbox {
            root: &root,
            headers: &headers,
            work: Path::new("/cache/work/w"),
        };
        let shown = process::show(&sandbox.command("make").unwrap());
        let shown = shown.replace(&dir.path().display().to_string(), "/cache/headers");
        insta::assert_snapshot!(shown.replace(" --", "\n  --"));
    }

    #[test]
    fn a_signal_is_told_whoever_got_it() {
        // As wait(2) gives it: the signal of the process itself, or the exit code of a shell.
        for (raw, signal) in [
            (0, None),
            (2 << 8, None),
            (128 << 8, None),
            (9, Some(9)),
            (7, Some(7)),
            (137 << 8, Some(9)),
            (143 << 8, Some(15)),
        ] {
            let ran = Ran {
                status: ExitStatus::from_raw(raw),
                log: String::new(),
            };
            let told = signal.map(|signal| format!("it was killed by signal {signal}"));
            assert_eq!(ran.killed(), told, "{raw}");
        }
    }

    #[test]
    fn what_bubblewrap_cannot_do_is_told_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        let (root, headers) = fixture(dir.path());
        let sandbox = Sandbox {
            root: &root,
            headers: &headers,
            work: Path::new("/no-such-work-folder"),
        };
        let error = sandbox.run("true").unwrap_err();
        assert_eq!(error.verdict(), "no-sandbox");
        assert!(error.to_string().contains("sysctl"), "{error}");
    }
}
