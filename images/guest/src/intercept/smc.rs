// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SMC: sockets that have a TCP socket of the kernel's below them.

use std::net::SocketAddr;

use rustix::{
    io::Errno,
    net::{AddressFamily, Protocol, SocketFlags, SocketType, connect, socket_with},
    process::Uid,
    thread::set_thread_uid,
};

use super::actor::{Played, outcome, say};

/// AF_SMC, <linux/socket.h>.
const FAMILY: AddressFamily = AddressFamily::from_raw(43);
/// IPPROTO_SMC, <linux/in.h>: the same by AF_INET, since 6.11.
const PROTOCOL: u32 = 256;
/// Somebody who may not rule the host.
const ANYBODY: u32 = 1000;

/// Connects by each of the two ways, as somebody without rights; says what came of it.
pub(super) fn connect_by_smc(address: SocketAddr) -> Played<()> {
    set_thread_uid(Uid::from_raw(ANYBODY))?;
    let protocol = std::num::NonZeroU32::new(PROTOCOL).map(Protocol::from_raw);
    for (name, family, protocol) in [
        ("AF_SMC", FAMILY, None),
        ("IPPROTO_SMC", AddressFamily::INET, protocol),
    ] {
        let flags = SocketFlags::CLOEXEC;
        let said = match socket_with(family, SocketType::STREAM, flags, protocol) {
            Ok(socket) => format!(
                "socket ok, connect {}",
                outcome(&connect(&socket, &address))
            ),
            Err(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) => {
                "is not there".into()
            }
            Err(error) => format!("socket {}", outcome::<()>(&Err(error))),
        };
        say(&format!("{name} {said}"));
    }
    Ok(())
}
