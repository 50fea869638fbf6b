// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A person's shell in a cell, with the module loaded.

use std::{
    io::{self, Write as _},
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr},
};
use tidelock_host::tools::{self, Tool};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc::{Receiver, channel},
};

use crate::{
    boot,
    engine::Engine,
    initramfs::Entry,
    judge::Judgement,
    machine::{MachineError, Vm},
    run,
    spec::{CellSpec, Events},
};

/// What a shell needs of the host, besides QEMU.
pub const TOOLS: &[Tool] = &[Tool {
    program: "/bin/busybox",
    package: "busybox-static",
}];

/// What the guest says when its shell has ended.
const ENDED: &[u8] = b"SHELL ended\n";
/// Ctrl-], which ends the machine whatever the guest does.
const ESCAPE: u8 = 0x1d;

/// There is no shell.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// Nobody could type.
    #[error("a shell needs a terminal: standard input is none")]
    NoTerminal(#[source] io::Error),
    /// The host has no static busybox.
    #[error("a shell needs a static busybox: apt-get install {}", TOOLS[0].package)]
    NoBusybox,
    /// The kernel did not come up.
    #[error("{}", _0.detail)]
    Boot(Box<Judgement>),
    /// The machine was not restored.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The terminal or the port broke.
    #[error("the shell's connection broke: {0}")]
    Io(#[from] io::Error),
}

/// Boots `spec` and joins this terminal to a shell in it, until that ends or Ctrl-] is typed.
pub async fn shell(
    engine: &Engine,
    spec: &CellSpec,
    events: &dyn Events,
) -> Result<(), ShellError> {
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let size = tcgetwinsize(&stdin).map_err(|error| ShellError::NoTerminal(error.into()))?;
    let mut spec = spec.clone();
    spec.extra.push(Entry {
        name: "bin/busybox".into(),
        source: busybox().ok_or(ShellError::NoBusybox)?,
    });
    let booted = boot::saved(engine, &spec, events).await;
    let (saved, _) = booted.map_err(|judgement| ShellError::Boot(Box::new(judgement)))?;
    let logs = spec.logs.join("shell");
    let mut vm = run::restore(engine, &spec, &saved, &logs).await?;
    let order = format!("SHELL {} {}\n", size.ws_row, size.ws_col);
    vm.control.write_all(order.as_bytes()).await?;
    let raw = Raw::set(stdin.try_clone()?)?;
    let result = join(&mut vm, typed(stdin)).await;
    drop(raw);
    vm.kill().await;
    Ok(result?)
}

fn busybox() -> Option<PathBuf> {
    TOOLS.iter().find_map(|tool| tools::find(tool.program))
}

/// Copies both ways, and what the kernel logs to nowhere: it is in the guest's own `dmesg`.
async fn join(vm: &mut Vm, mut typed: Receiver<Vec<u8>>) -> io::Result<()> {
    let mut stdout = io::stdout();
    let mut screen = Vec::with_capacity(4096);
    let (mut ktap, mut kmsg) = ([0; 4096], [0; 4096]);
    let mut last = Vec::new();
    loop {
        tokio::select! {
            keys = typed.recv() => {
                let keys = keys.unwrap_or_default();
                if keys.is_empty() || keys.contains(&ESCAPE) {
                    return Ok(());
                }
                vm.control.write_all(&keys).await?;
            }
            read = vm.control.read_buf(&mut screen) => {
                if read? == 0 {
                    return Ok(());
                }
                last.extend_from_slice(&screen);
                if last.ends_with(ENDED) {
                    return Ok(());
                }
                stdout.write_all(&screen)?;
                stdout.flush()?;
                screen.clear();
                let excess = last.len().saturating_sub(ENDED.len());
                last.drain(..excess);
            }
            read = vm.ktap.read(&mut ktap) => { read?; }
            read = vm.kmsg.read(&mut kmsg) => { read?; }
            _ = vm.child.wait() => return Ok(()),
        }
    }
}

/// What is typed at `terminal`, until nobody listens any more.
///
/// The runtime's own standard input would wait for one more key before the program could end.
fn typed(terminal: OwnedFd) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel(16);
    std::thread::spawn(move || {
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        while !sender.is_closed() {
            let mut polled = [PollFd::new(&terminal, PollFlags::IN)];
            if !matches!(poll(&mut polled, Some(&pause)), Ok(1..)) {
                continue;
            }
            let mut keys = vec![0; 1024];
            let length = rustix::io::read(&terminal, &mut keys).unwrap_or(0);
            keys.truncate(length);
            if sender.blocking_send(keys).is_err() || length == 0 {
                return;
            }
        }
    });
    receiver
}

/// A terminal that hands on every key as it is typed; as it was when this goes.
struct Raw<F: AsFd> {
    terminal: F,
    before: Termios,
}

impl<F: AsFd> Raw<F> {
    fn set(terminal: F) -> io::Result<Self> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&terminal, OptionalActions::Drain, &raw)?;
        Ok(Self { terminal, before })
    }
}

impl<F: AsFd> Drop for Raw<F> {
    fn drop(&mut self) {
        // There is nothing left to be done for a terminal that is gone.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.before);
    }
}
