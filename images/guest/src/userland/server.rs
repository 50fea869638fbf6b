// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that stay: servers.

use std::{
    net::SocketAddr,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    net,
    program::{Output, Running},
};
use crate::failure::{Checked, Failure};

/// How long a server may take to listen, on a busy host without hardware virtualisation.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(10);

/// A program that was started. It is killed, with its process group, when this goes.
pub(crate) struct Server(Running);

impl Server {
    pub(super) const fn new(running: Running) -> Self {
        Self(running)
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.child.id()
    }

    /// Waits until it, or one that it started, listens at all of `addresses`, by what its network
    /// namespace shows.
    ///
    /// # Errors
    /// When it ends instead, or does not listen within a minute.
    pub(crate) fn listening(mut self, addresses: &[SocketAddr]) -> Checked<Self> {
        let start = Instant::now();
        loop {
            // What a process that is just ending shows of its network cannot be read.
            let missing = addresses.iter().find(|address| {
                !net::is_listening(self.pid(), **address).is_ok_and(|listening| listening)
            });
            if let Some(status) = self.0.wait(Duration::ZERO)? {
                let said = self.0.said()?;
                return Err(Failure::Program(format!(
                    "{} ended before it listened: {status}; it said {said}",
                    self.0.what
                )));
            }
            let Some(missing) = missing else {
                return Ok(self);
            };
            if start.elapsed() > PATIENCE {
                let said = self.0.said()?;
                return Err(Failure::Timeout(format!(
                    "{} does not listen at {missing} after {} s; it said {said}",
                    self.0.what,
                    PATIENCE.as_secs()
                )));
            }
            sleep(POLL);
        }
    }

    /// The end of what it has said by now, for people.
    pub(crate) fn said(&mut self) -> String {
        self.0.said().unwrap_or_else(|failure| failure.to_string())
    }

    /// Waits for its end, which it comes to by itself.
    ///
    /// # Errors
    /// When that is not within `limit`.
    pub(crate) fn end(mut self, limit: Duration) -> Checked<Output> {
        self.0.end(limit)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill();
    }
}
