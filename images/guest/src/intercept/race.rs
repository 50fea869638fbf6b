// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Threads that fight over one socket.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fd::AsFd as _,
    io::{dup, ioctl_fionbio},
    net::{
        SendFlags, SocketFlags, connect, connect_unspec, send, sendto,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::actor::{FAST_OPEN, Played, ignore, say, tcp};

/// How many sockets, one after the other.
const ROUNDS: u32 = 12;
const ROUND: Duration = Duration::from_millis(80);
/// No thread is stuck for longer in one connect.
const LIMIT: Duration = Duration::from_millis(30);

/// Connects that wait and connects that do not, by several threads at once, on one socket and its
/// duplicate, to two addresses; and one thread that disconnects in between.
pub(super) fn race(first: SocketAddr, second: SocketAddr) -> Played<()> {
    for _ in 0..ROUNDS {
        let socket = tcp(first, SocketFlags::empty(), None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(LIMIT))?;
        let other = dup(&socket)?;
        let (socket, other) = (socket.as_fd(), other.as_fd());
        let end = Instant::now() + ROUND;
        let again = |act: &dyn Fn()| {
            while Instant::now() < end {
                act();
                thread::yield_now();
            }
        };
        let quick = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        thread::scope(|scope| {
            for address in [first, second] {
                scope.spawn(move || again(&|| ignore(connect(socket, &address))));
                scope.spawn(move || {
                    again(&|| ignore(sendto(other, b"fast", FAST_OPEN | quick, &address)));
                });
            }
            scope.spawn(|| again(&|| ignore(ioctl_fionbio(socket, true))));
            scope.spawn(|| again(&|| ignore(ioctl_fionbio(other, false))));
            scope.spawn(|| again(&|| ignore(send(socket, b"race", quick))));
            scope.spawn(|| {
                again(&|| {
                    thread::sleep(Duration::from_millis(3));
                    ignore(connect_unspec(other));
                });
            });
        });
    }
    say("done");
    Ok(())
}
