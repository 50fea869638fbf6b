// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What rustix has no call for: socket options that nobody should need, and signal handlers.

use std::ffi::{c_int, c_void};

use rustix::{
    fd::{AsFd, AsRawFd as _},
    io::Errno,
    net::sockopt::set_socket_reuseport,
};

use super::{Player, Step, Told};
use crate::intercept::actor::{Played, outcome};

pub(super) const STEPS: &[(&str, Step)] = &[
    ("reuseport", |me, _| {
        me.told(|at| set_socket_reuseport(at, true))
    }),
    // kTLS, by the application itself.
    ("ulp", |me, _| me.set(libc::SOL_TCP, libc::TCP_ULP, b"tls")),
    // A socket of IPv6 becomes one of IPv4.
    ("addrform", |me, _| {
        let family = libc::AF_INET.to_ne_bytes();
        me.set(libc::SOL_IPV6, libc::IPV6_ADDRFORM, &family)
    }),
    // A loose source route: by way of 127.0.0.2.
    ("route", |me, _| {
        let by = [131, 7, 4, 127, 0, 0, 2, 0];
        me.set(libc::SOL_IP, libc::IP_OPTIONS, &by)
    }),
    // The same of IPv6 (RFC 8754): by way of fd09::2. The first address is the destination's place.
    ("route6", |me, _| {
        let mut by = [0; 40];
        by[1..5].copy_from_slice(&[4, 4, 1, 1]);
        by[24..].copy_from_slice(&[0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        me.set(libc::SOL_IPV6, libc::IPV6_RTHDR, &by)
    }),
    // The SYN comes with the first write.
    ("deferred", |me, _| {
        me.set(libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT, &ON)
    }),
    // Checkpoint and restore: a connect without a handshake.
    ("repair", |me, _| {
        me.set(libc::SOL_TCP, libc::TCP_REPAIR, &ON)
    }),
    ("repaired", |me, _| {
        me.set(libc::SOL_TCP, libc::TCP_REPAIR, &NO_PROBE)
    }),
];

const ON: [u8; 4] = 1i32.to_ne_bytes();
/// TCP_REPAIR_OFF_NO_WP, <linux/tcp.h>.
const NO_PROBE: [u8; 4] = (-1i32).to_ne_bytes();

impl Player {
    fn set(&self, level: c_int, name: c_int, value: &[u8]) -> Told {
        Ok(outcome(&set_option(self.at()?, level, name, value)))
    }
}

fn last<T>(result: c_int, good: T) -> Played<T> {
    if result == 0 {
        return Ok(good);
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// setsockopt(2), for options whose value is plain bytes.
#[expect(unsafe_code, reason = "rustix has no wrapper for these options")]
fn set_option(socket: impl AsFd, level: c_int, name: c_int, value: &[u8]) -> Played<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    let fd = socket.as_fd().as_raw_fd();
    let start = value.as_ptr().cast::<c_void>();
    // SAFETY: the descriptor is open for as long as it is borrowed. The kernel reads `length`
    // bytes, which `value` has, within the call, writes nothing there and keeps no pointer.
    let result = unsafe { libc::setsockopt(fd, level, name, start, length) };
    last(result, ())
}

/// Whatever comes to this socket is dropped without a word (SO_ATTACH_FILTER).
#[expect(unsafe_code, reason = "rustix has no wrapper for this option")]
pub(in crate::intercept) fn drop_all(socket: impl AsFd) -> Played<()> {
    // BPF_RET | BPF_K: keep none of its bytes.
    let mut program = [libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: 0,
    }];
    let filter = libc::sock_fprog {
        len: 1,
        filter: program.as_mut_ptr(),
    };
    let fd = socket.as_fd().as_raw_fd();
    let length = size_of::<libc::sock_fprog>();
    let length = libc::socklen_t::try_from(length).map_err(|_| Errno::INVAL)?;
    let value = (&raw const filter).cast::<c_void>();
    // SAFETY: the descriptor is open for as long as it is borrowed. The kernel copies the
    // structure, whose size is given, and the one instruction it points to, which lives until the
    // end of this function; it writes nothing there and keeps no pointer.
    let result =
        unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, value, length) };
    last(result, ())
}

/// SIGUSR1 does nothing but interrupt; with SA_RESTART not even that.
#[expect(unsafe_code, reason = "rustix has no wrapper for sigaction(2)")]
pub(super) fn handle_signal(flags: c_int) -> Played<()> {
    extern "C" fn caught(_: c_int) {}

    // SAFETY: all zeroes are a valid sigaction: the default handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = caught as *const () as libc::sighandler_t;
    action.sa_flags = flags;
    // SAFETY: the structure lives through the call, and no old one is asked for. The handler is a
    // function of the form that goes with these flags (without SA_SIGINFO), and as it does nothing
    // it does nothing that a handler must not.
    let result = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    last(result, ())
}
