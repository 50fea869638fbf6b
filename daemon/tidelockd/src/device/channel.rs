// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole frames over a descriptor: one a read, one a write.

use std::io;

use rustix::{fd::OwnedFd, io::Errno};
use tidelock_wire::MAX_FRAME;
use tokio::io::{Interest, unix::AsyncFd};

/// The way to the kernel is closed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The module's core has panicked: it answers nobody until it is loaded again.
    #[error(
        "the module's core is dead: connections are refused until the module is loaded again \
         (rmmod tidelock && modprobe tidelock); the kernel's log says why"
    )]
    Dead,
    /// The device has gone away.
    #[error("the device has gone away")]
    Vanished,
    /// Something else.
    #[error("cannot {action} the device: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A descriptor that gives and takes whole frames.
#[derive(Debug)]
pub struct Channel {
    fd: AsyncFd<OwnedFd>,
}

impl Channel {
    /// Over a descriptor that does not block.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn new(fd: OwnedFd) -> Result<Self, ChannelError> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor can be closed while it \
                      is registered; an OwnedFd's cannot"
        )]
        AsyncFd::with_interest(fd, Interest::READABLE | Interest::WRITABLE)
            .map(|fd| Self { fd })
            .map_err(|source| ChannelError::Io {
                action: "wait for",
                source,
            })
    }

    /// Waits for a frame and puts it at the start of `buffer`.
    ///
    /// # Errors
    /// When no more will come.
    pub async fn receive<'a>(
        &self,
        buffer: &'a mut [u8; MAX_FRAME],
    ) -> Result<&'a [u8], ChannelError> {
        let len = loop {
            let mut guard = self.fd.readable().await.map_err(failed("wait for"))?;
            match guard.try_io(|fd| Ok(rustix::io::read(fd, &mut buffer[..])?)) {
                Ok(Ok(len)) => break len,
                Ok(Err(error)) => again("read from", error)?,
                // The runtime keeps saying so, and a read that finds nothing then never will.
                Err(_) if guard.ready().is_read_closed() => return Err(ChannelError::Vanished),
                Err(_) => {}
            }
        };
        match buffer.get(..len) {
            // No frame is empty.
            None | Some([]) => Err(ChannelError::Vanished),
            Some(frame) => Ok(frame),
        }
    }

    /// Hands over a frame, when the device takes it.
    ///
    /// # Errors
    /// When it takes no more.
    pub async fn send(&self, frame: &[u8]) -> Result<(), ChannelError> {
        loop {
            let mut guard = self.fd.writable().await.map_err(failed("wait for"))?;
            match guard.try_io(|fd| Ok(rustix::io::write(fd, frame)?)) {
                Ok(Ok(len)) if len == frame.len() => return Ok(()),
                Ok(Ok(len)) => {
                    let told = format!("it took {len} of {} bytes of a frame", frame.len());
                    return Err(failed("write to")(io::Error::other(told)));
                }
                Ok(Err(error)) => again("write to", error)?,
                Err(_) if guard.ready().is_write_closed() => return Err(ChannelError::Vanished),
                Err(_) => {}
            }
        }
    }
}

/// An interrupted call is made again; any other failure is final.
fn again(action: &'static str, error: io::Error) -> Result<(), ChannelError> {
    match Errno::from_io_error(&error) {
        Some(Errno::INTR) => Ok(()),
        Some(Errno::NOTRECOVERABLE) => Err(ChannelError::Dead),
        Some(Errno::NODEV | Errno::NXIO | Errno::CONNRESET | Errno::PIPE) => {
            Err(ChannelError::Vanished)
        }
        _ => Err(failed(action)(error)),
    }
}

fn failed(action: &'static str) -> impl FnOnce(io::Error) -> ChannelError {
    move |source| ChannelError::Io { action, source }
}
