// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The network of the guest: a loopback, and who listens.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
};

use rustix::ioctl::{self, Opcode, Setter};

use crate::{
    failure::{Checked, Failure},
    procfs,
};

/// Whether listeners answer by cookies: 0 never, 1 under a flood, 2 always.
pub(crate) const SYN_COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";
/// SIOCSIFFLAGS, netdevice(7).
const SET_FLAGS: Opcode = 0x8914;
/// IFF_UP | IFF_RUNNING | IFF_LOOPBACK.
const UP: i16 = 0x1 | 0x40 | 0x8;

/// `struct ifreq` with flags.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Brings `lo` of this network namespace up; 127.0.0.1 and ::1 come by that.
pub(crate) fn bring_up_loopback() -> Checked<()> {
    let socket =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(Failure::system("a socket"))?;
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = Request {
        name,
        flags: UP,
        rest: [0; 22],
    };
    set_flags(&socket, request).map_err(Failure::system("bring lo up"))
}

#[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
fn set_flags(socket: &UdpSocket, request: Request) -> rustix::io::Result<()> {
    // SAFETY: SIOCSIFFLAGS reads a struct ifreq, of 40 bytes: a name that ends in a zero, and in
    // this case a short with flags. Request is that.
    let setter = unsafe { Setter::<SET_FLAGS, Request>::new(request) };
    // SAFETY: the setter passes a pointer to the Request that it owns; the kernel reads it within
    // the call, writes nothing there and keeps no pointer.
    unsafe { ioctl::ioctl(socket.as_fd(), setter) }
}

/// Whether somebody listens at `address`, in the network namespace of the process `pid`.
pub(super) fn is_listening(pid: u32, address: SocketAddr) -> Checked<bool> {
    let table = |name: &str| procfs::read(&format!("/proc/{pid}/net/{name}"));
    let mut all = listeners(&table("tcp")?);
    // A kernel without IPv6 has no such table.
    all.extend(listeners(&table("tcp6").unwrap_or_default()));
    Ok(all.iter().any(|listener| covers(*listener, address)))
}

/// Whether a connection to `address` comes to `listener`.
fn covers(listener: SocketAddr, address: SocketAddr) -> bool {
    let ip = match listener.ip() {
        // Of both families, as long as it is not told otherwise.
        IpAddr::V6(ip) if ip.is_unspecified() => true,
        IpAddr::V4(ip) if ip.is_unspecified() => address.is_ipv4(),
        ip => ip == address.ip(),
    };
    ip && listener.port() == address.port()
}

/// The addresses of the sockets in the state LISTEN (0A), of `/proc/net/tcp` or `tcp6`.
fn listeners(table: &str) -> Vec<SocketAddr> {
    let lines = table.lines().skip(1);
    lines
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let local = words.next()?;
            (words.nth(1)? == "0A").then(|| parse_address(local))?
        })
        .collect()
}

/// `0100007F:1F90`: the address in words of 32 bits as the processor keeps them, and the port.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    if !ip.is_ascii() {
        return None;
    }
    let words = ip.as_bytes().chunks(8).map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    });
    let words: Vec<[u8; 4]> = words.collect::<Option<_>>()?;
    let ip = match words[..] {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 15 1 0\n\
        \x20  1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 16 1 0\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st\n\
        \x20  0: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A\n\
        \x20  1: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A\n";

    #[test]
    fn listeners_are_read_and_connections_are_not() {
        let shown = |table| {
            listeners(table)
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(TCP), ["127.0.0.1:8080"]);
        assert_eq!(shown(TCP6), ["[::1]:8082", "[::]:22"]);
        assert_eq!(shown(""), Vec::<String>::new());
    }

    #[test]
    fn a_listener_covers_its_own_address_and_any_when_it_has_none() {
        for (listener, address, covered) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            let is = covers(listener.parse().unwrap(), address.parse().unwrap());
            assert_eq!(is, covered, "{listener} {address}");
        }
    }

    #[test]
    fn the_request_is_that_of_the_kernels_header() {
        assert_eq!(size_of::<Request>(), 40);
    }

    proptest::proptest! {
        #[test]
        fn no_table_panics(text in "(?s).*", line in "[0-9A-Fa-f: \n\u{e9}]*") {
            let _ = (listeners(&text), listeners(&format!("head\n{line}")));
        }
    }
}
