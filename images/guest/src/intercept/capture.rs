// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be seen of TCP on the devices of a network namespace.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
};

use rustix::{
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SocketFlags, SocketType, recv, socket_with, sockopt,
    },
};

use crate::failure::{Checked, Failure};

/// ETH_P_ALL, <linux/if_ether.h>, in the order of the network.
const EVERYTHING: u32 = 0x0003u16.to_be() as u32;
/// Enough for all that a test sends.
const ROOM: usize = 16 << 20;

pub(super) const FIN: u8 = 1;
/// Opens a connection.
pub(crate) const SYN: u8 = 2;
/// Answers.
pub(crate) const ACK: u8 = 0x10;

/// A segment that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    /// Whose.
    pub(crate) from: SocketAddr,
    /// For whom.
    pub(crate) to: SocketAddr,
    /// FIN, SYN and so on, as in the header.
    pub(crate) flags: u8,
    /// Number of its first byte.
    pub(crate) sequence: u32,
    /// Number of the byte that is awaited.
    pub(crate) acknowledged: u32,
    /// How many bytes it carries.
    pub(crate) payload: usize,
}

/// A packet socket, which sees what leaves and what comes.
pub(crate) struct Capture(OwnedFd);

impl Capture {
    /// Begins, in the network namespace of this thread, on all its devices.
    pub(crate) fn begin() -> Checked<Self> {
        let socket = socket_with(
            AddressFamily::PACKET,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            NonZeroU32::new(EVERYTHING).map(Protocol::from_raw),
        )
        .map_err(Failure::system("a packet socket"))?;
        sockopt::set_socket_recv_buffer_size_force(&socket, ROOM)
            .map_err(Failure::system("room for packets"))?;
        Ok(Self(socket))
    }

    /// The TCP segments since the last look. On a loopback each is seen twice.
    pub(crate) fn segments(&self) -> Checked<Vec<Segment>> {
        let mut all = Vec::new();
        loop {
            let mut buffer = [0; 256];
            match recv(&self.0, &mut buffer, RecvFlags::empty()) {
                Ok((length, _)) => all.extend(parse(&buffer[..length])),
                Err(Errno::AGAIN) => return Ok(all),
                Err(error) => return Err(Failure::system("read what was captured")(error)),
            }
        }
    }
}

fn number<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// Where TCP begins behind the first header of IPv6 and a routing header, if there is one.
fn behind_routing(packet: &[u8]) -> Option<usize> {
    match *packet.get(6)? {
        6 => Some(40),
        43 if *packet.get(40)? == 6 => Some(48 + usize::from(*packet.get(41)?) * 8),
        _ => None,
    }
}

/// A packet of IPv4 or IPv6 that carries TCP, from its first byte (RFC 791, 8200, 9293).
pub(super) fn parse(packet: &[u8]) -> Option<Segment> {
    let (from, to, start, length): (IpAddr, IpAddr, usize, usize) = match packet.first()? >> 4 {
        4 if *packet.get(9)? == 6 => (
            Ipv4Addr::from(number::<4>(packet, 12)?).into(),
            Ipv4Addr::from(number::<4>(packet, 16)?).into(),
            usize::from(packet[0] & 15) * 4,
            u16::from_be_bytes(number(packet, 2)?).into(),
        ),
        6 => (
            Ipv6Addr::from(number::<16>(packet, 8)?).into(),
            Ipv6Addr::from(number::<16>(packet, 24)?).into(),
            behind_routing(packet)?,
            usize::from(u16::from_be_bytes(number(packet, 4)?)) + 40,
        ),
        _ => return None,
    };
    let port = |at| Some(u16::from_be_bytes(number(packet, start + at)?));
    let header = usize::from(*packet.get(start + 12)? >> 4) * 4;
    Some(Segment {
        from: SocketAddr::new(from, port(0)?),
        to: SocketAddr::new(to, port(2)?),
        flags: *packet.get(start + 13)?,
        sequence: u32::from_be_bytes(number(packet, start + 4)?),
        acknowledged: u32::from_be_bytes(number(packet, start + 8)?),
        payload: length.saturating_sub(start + header),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_ipv6_is_read() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 23, 6, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend([0x1b, 0x59, 0x1b, 0x5a, 0, 0, 0, 9, 0, 0, 0, 8]);
        packet.extend([0x50, SYN | ACK, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let segment = Segment {
            from: "[::1]:7001".parse().unwrap(),
            to: "[::1]:7002".parse().unwrap(),
            flags: SYN | ACK,
            sequence: 9,
            acknowledged: 8,
            payload: 3,
        };
        assert_eq!(parse(&packet), Some(segment));
        // The same, with a routing header of one address.
        packet[4..7].copy_from_slice(&[0, 23 + 24, 43]);
        let routing = [6, 2, 4, 0, 0, 0, 0, 0];
        packet.splice(40..40, routing.into_iter().chain([7; 16]));
        assert_eq!(parse(&packet), Some(segment));
    }

    proptest::proptest! {
        #[test]
        fn no_packet_panics(packet: Vec<u8>, first in 0x40u8..0x70) {
            let mut packet = packet;
            let _ = parse(&packet);
            if let Some(byte) = packet.first_mut() {
                *byte = first;
            }
            for at in [6, 9, 40] {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = 6;
                }
            }
            let _ = parse(&packet);
        }
    }
}
