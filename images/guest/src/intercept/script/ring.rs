// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Steps by io_uring.

use std::{net::SocketAddr, os::fd::FromRawFd as _, ptr};

use io_uring::{IoUring, opcode, squeue, types};
use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    io::Errno,
};

use super::{Player, Step, data::text};
use crate::intercept::actor::{Played, outcome};

pub(super) const STEPS: &[(&str, Step)] = &[
    // Whether there is one.
    ("ring", |me, _| Ok(outcome(&me.ring().map(drop)))),
    // One that a thread of the kernel's serves.
    ("sqpoll", |me, _| {
        let ring = IoUring::builder().setup_sqpoll(100).build(4);
        let told = outcome(&ring.as_ref().map(drop).map_err(errno));
        me.ring = ring.ok().map(|ring| Ring {
            ring,
            flags: squeue::Flags::empty(),
        });
        Ok(told)
    }),
    // From here on by a worker of the kernel's, which blocks.
    ("forced", |me, _| {
        me.ring()?.flags = squeue::Flags::ASYNC;
        Ok("ok".into())
    }),
    ("ring-connect", |me, _| {
        let to = me.to;
        me.by_ring(|ring, at| ring.connect(at, to))
            .map(|result| outcome(&result))
    }),
    ("ring-accept", |me, _| {
        let accepted = me.by_ring(Ring::accept)?;
        Ok(me.take_over(accepted))
    }),
    ("ring-send", |me, _| {
        me.by_ring(|ring, at| ring.send(at, b"ping"))
            .map(|result| outcome(&result))
    }),
    ("ring-recv", |me, _| {
        let mut buffer = [0; 64];
        let length = me.by_ring(|ring, at| ring.receive(at, &mut buffer))?;
        Ok(text(length, &buffer))
    }),
    // Held by the ring alone: no table of files shows it.
    ("ring-hide", |me, _| {
        let fd = me.at()?.as_raw_fd();
        let registered = me.ring()?.ring.submitter().register_files(&[fd]);
        me.socket = None;
        Ok(outcome(&registered.map_err(|error| errno(&error))))
    }),
];

/// Where a socket is: a descriptor, or the first that the ring holds.
#[derive(Clone, Copy)]
enum At {
    Open(types::Fd),
    Held,
}

/// One thing at a time.
pub(super) struct Ring {
    ring: IoUring,
    flags: squeue::Flags,
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// An address as the kernel has it; the longest there is.
union Address {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

fn address(of: SocketAddr) -> (Address, usize) {
    match of {
        SocketAddr::V4(of) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or_default(),
                sin_port: of.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(of.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            (Address { v4 }, size_of::<libc::sockaddr_in>())
        }
        SocketAddr::V6(of) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or_default(),
                sin6_port: of.port().to_be(),
                sin6_flowinfo: of.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: of.ip().octets(),
                },
                sin6_scope_id: of.scope_id(),
            };
            (Address { v6 }, size_of::<libc::sockaddr_in6>())
        }
    }
}

impl Ring {
    /// Does one thing and waits for its end, whatever comes between: what it points to may go
    /// afterwards.
    #[expect(unsafe_code, reason = "the kernel follows what an entry points to")]
    fn submit(&mut self, entry: squeue::Entry) -> Played<i32> {
        let entry = entry.flags(self.flags);
        {
            let mut queue = self.ring.submission();
            // SAFETY: what the entry points to is the caller's, who waits here until it is done
            // with: this function does not return before its completion is there.
            unsafe { queue.push(&entry) }.map_err(|_| Errno::BUSY)?;
        }
        loop {
            // EINTR and the like: the entry may have been taken all the same.
            let _ = self.ring.submit_and_wait(1);
            if let Some(done) = self.ring.completion().next() {
                return match done.result() {
                    good @ 0.. => Ok(good),
                    error => Err(Errno::from_raw_os_error(-error)),
                };
            }
        }
    }

    fn connect(&mut self, at: At, to: SocketAddr) -> Played<()> {
        let (address, length) = address(to);
        let length = libc::socklen_t::try_from(length).map_err(|_| Errno::INVAL)?;
        let start = (&raw const address).cast();
        let entry = match at {
            At::Open(fd) => opcode::Connect::new(fd, start, length).build(),
            At::Held => opcode::Connect::new(types::Fixed(0), start, length).build(),
        };
        self.submit(entry).map(drop)
    }

    #[expect(unsafe_code, reason = "a descriptor comes as a number")]
    fn accept(&mut self, at: At) -> Played<OwnedFd> {
        let none = ptr::null_mut();
        let entry = match at {
            At::Open(fd) => opcode::Accept::new(fd, none, ptr::null_mut()).build(),
            At::Held => opcode::Accept::new(types::Fixed(0), none, ptr::null_mut()).build(),
        };
        let fd = self.submit(entry)?;
        // SAFETY: the kernel has just made it for us, and nobody else knows it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn send(&mut self, at: At, data: &[u8]) -> Played<()> {
        let length = u32::try_from(data.len()).map_err(|_| Errno::INVAL)?;
        let entry = match at {
            At::Open(fd) => opcode::Send::new(fd, data.as_ptr(), length).build(),
            At::Held => opcode::Send::new(types::Fixed(0), data.as_ptr(), length).build(),
        };
        self.submit(entry).map(drop)
    }

    fn receive(&mut self, at: At, buffer: &mut [u8]) -> Played<usize> {
        let length = u32::try_from(buffer.len()).map_err(|_| Errno::INVAL)?;
        let start = buffer.as_mut_ptr();
        let entry = match at {
            At::Open(fd) => opcode::Recv::new(fd, start, length).build(),
            At::Held => opcode::Recv::new(types::Fixed(0), start, length).build(),
        };
        let received = self.submit(entry)?;
        usize::try_from(received).map_err(|_| Errno::IO)
    }
}

impl Player {
    fn ring(&mut self) -> Played<&mut Ring> {
        if self.ring.is_none() {
            self.ring = Some(Ring {
                ring: IoUring::new(4).map_err(|error| errno(&error))?,
                flags: squeue::Flags::empty(),
            });
        }
        self.ring.as_mut().ok_or(Errno::BADF)
    }

    fn by_ring<T>(&mut self, act: impl FnOnce(&mut Ring, At) -> Played<T>) -> Played<Played<T>> {
        let at = match &self.socket {
            Some(socket) => At::Open(types::Fd(socket.as_raw_fd())),
            None => At::Held,
        };
        Ok(act(self.ring()?, at))
    }
}
