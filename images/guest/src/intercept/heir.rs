// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that asks for a connection and ends, and another that inherits it.

use std::{net::SocketAddr, process::Stdio};

use rustix::{
    event::PollFlags,
    net::{SocketFlags, connect, sockopt},
};

use super::actor::{ACT, Played, outcome, ready, say, tcp};
use crate::child;

/// How long the verdict may take, in milliseconds.
const PATIENCE_MS: i64 = 60_000;

/// Connects without waiting, leaves the socket to an heir, and ends.
pub(super) fn bequeath(address: SocketAddr) -> Played<()> {
    let socket = tcp(address, SocketFlags::NONBLOCK, None)?;
    say(&outcome(&connect(&socket, &address)));
    let heir = child::again(ACT, "inherit")
        .stdin(Stdio::from(socket))
        .spawn();
    match heir {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO))
        }
    }
}

/// Says what becomes of the socket that is its standard input.
pub(super) fn inherit() -> Played<()> {
    let socket = std::io::stdin();
    ready(&socket, PollFlags::OUT, PATIENCE_MS)?;
    say(&outcome(&sockopt::socket_error(&socket)?));
    Ok(())
}
