// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A daemon that runs.

use std::{
    os::unix::net::UnixDatagram,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    failure::{Checked, Failure},
    userland::{OWN_PROGRAMS, Server, USUAL, Userland},
};

/// How long it may take to say something, on a busy host.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon that runs; killed when this goes.
pub(super) struct Daemon {
    server: Server,
    /// What systemd would be told (sd_notify(3)).
    notify: UnixDatagram,
}

impl Daemon {
    /// Starts the daemon, and waits until it answers the kernel.
    pub(super) fn serving(userland: &Userland) -> Checked<Self> {
        let mut daemon = Self::start(userland, &format!("{OWN_PROGRAMS}/tidelockd"), &[])?;
        daemon.answers()?;
        Ok(daemon)
    }

    /// Starts it, and waits for nothing.
    pub(super) fn start(userland: &Userland, program: &str, words: &[&str]) -> Checked<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = format!("/run/notify-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let notify = UnixDatagram::bind(&path).map_err(Failure::system(format!("bind {path}")))?;
        notify
            .set_read_timeout(Some(PATIENCE))
            .map_err(Failure::system(format!("set a timeout on {path}")))?;
        let program = userland.program(program).args(words);
        let server = program.env("NOTIFY_SOCKET", &path).start()?;
        Ok(Self { server, notify })
    }

    /// Waits until it answers the kernel.
    pub(super) fn answers(&mut self) -> Checked<()> {
        self.tells("STATUS=Answering")
    }

    /// Waits until it tells systemd something that begins so.
    pub(super) fn tells(&mut self, wanted: &str) -> Checked<()> {
        let mut buffer = [0; 4096];
        loop {
            let Ok(length) = self.notify.recv(&mut buffer) else {
                return Err(Failure::Program(format!(
                    "the daemon does not tell {wanted:?}; it said {}",
                    self.server.said()
                )));
            };
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text.lines().any(|line| line.starts_with(wanted)) {
                return Ok(());
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> Checked<()> {
        let pid = i32::try_from(self.server.pid())
            .ok()
            .and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Failure::Assertion("a daemon has no number".into()))?;
        kill_process(pid, signal).map_err(Failure::system(format!("signal {signal:?}")))
    }

    /// Has it stop, which it must do in order.
    pub(super) fn stop(self) -> Checked<()> {
        self.signal(Signal::TERM)?;
        self.server.end(USUAL)?.ok().map(drop)
    }

    /// Kills it.
    pub(super) fn kill(self) -> Checked<()> {
        self.signal(Signal::KILL)?;
        self.server.end(USUAL).map(drop)
    }
}
