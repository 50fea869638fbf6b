// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `SHELL`: a person's shell on the control port, behind a terminal of its own.
//!
//! A port is no terminal: without one in between there is no Ctrl-C, no line editing and no
//! job control.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Stdio},
    thread,
};

use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use crate::{
    child::{self, TERMINAL},
    failure::{Checked, Failure, ensure},
    module,
};

const BUSYBOX: &str = "/bin/busybox";

/// Gives the control port to a shell until that ends.
pub(crate) fn serve(port: &File, size: Option<(u16, u16)>) -> Checked<()> {
    ensure(Path::new(BUSYBOX).exists(), || {
        format!("there is no {BUSYBOX} in the initramfs: a shell needs a static one")
    })?;
    let greeting = match module::load() {
        Ok(()) => format!("{} is loaded", module::NAME),
        Err(failure) => failure.to_string(),
    };
    let (terminal, mut shell) = open(size)?;
    let mut screen = duplicate(port)?;
    screen
        .write_all(format!("tidelock-guest: {greeting}\r\n").as_bytes())
        .map_err(Failure::system("write the control port"))?;
    let keys = (duplicate(port)?, duplicate(&terminal)?);
    thread::spawn(move || copy(keys.0, keys.1));
    thread::spawn(move || copy(terminal, screen));
    let status = shell
        .wait()
        .map_err(Failure::system("wait for the shell"))?;
    crate::kmsg::write(crate::kmsg::Level::Info, &format!("shell ended: {status}"))
}

/// A new terminal, and a shell behind it.
fn open(size: Option<(u16, u16)>) -> Checked<(File, Child)> {
    let make = || -> rustix::io::Result<_> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let (ws_row, ws_col) = size.unwrap_or((24, 80));
        tcsetwinsize(
            &terminal,
            Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?;
        let name = ptsname(&terminal, Vec::new())?;
        Ok((File::from(terminal), name.to_string_lossy().into_owned()))
    };
    let (terminal, name) = make().map_err(Failure::system("open a terminal (/dev/ptmx)"))?;
    let shell = child::again(TERMINAL, &name)
        .spawn()
        .map_err(Failure::system("start the shell"))?;
    Ok((terminal, shell))
}

/// In the child: makes `tty` the terminal of a new session and becomes the shell.
pub(crate) fn become_shell(tty: &str) -> Failure {
    let attach = || -> io::Result<[Stdio; 3]> {
        rustix::process::setsid()?;
        // A session's first terminal becomes its controlling one by being opened.
        let tty = OpenOptions::new().read(true).write(true).open(tty)?;
        let end = || tty.as_fd().try_clone_to_owned().map(Stdio::from);
        Ok([end()?, end()?, end()?])
    };
    let [stdin, stdout, stderr] = match attach() {
        Ok(ends) => ends,
        Err(error) => return Failure::system(format!("open {tty}"))(error),
    };
    // The applets as commands, where the busybox can do that; `sh` has them built in otherwise.
    #[expect(clippy::disallowed_methods, reason = "the guest ends with its machine")]
    let _ = std::process::Command::new(BUSYBOX)
        .args(["--install", "-s", "/bin"])
        .stderr(Stdio::null())
        .status();
    #[expect(clippy::disallowed_methods, reason = "this process becomes the shell")]
    let error = std::process::Command::new(BUSYBOX)
        .args(["sh", "-i"])
        .envs([
            ("PATH", "/bin"),
            ("HOME", "/"),
            ("TERM", "linux"),
            ("PS1", "guest# "),
        ])
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .exec();
    Failure::system(format!("run {BUSYBOX}"))(error)
}

fn duplicate(file: &File) -> Checked<File> {
    file.try_clone()
        .map_err(Failure::system("duplicate a descriptor"))
}

/// Until one side is gone: a terminal gives EIO when its shell has ended.
fn copy(mut from: File, mut to: File) {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            // A port without a host reads as nothing.
            Ok(0) => thread::sleep(std::time::Duration::from_millis(10)),
            Ok(length) if to.write_all(&buffer[..length]).is_ok() => {}
            _ => return,
        }
    }
}
