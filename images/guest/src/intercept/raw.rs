// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TCP spoken by hand, over raw sockets, past the kernel's own.

use std::{
    net::{SocketAddr, SocketAddrV4},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use rustix::{
    event::PollFlags,
    fd::OwnedFd,
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, listen, recv,
        sendto, socket_with, sockopt,
    },
};

use super::{
    actor::{Played, address_of, outcome, ready, say, tcp},
    capture::{ACK, FIN, SYN, Segment, parse},
    script::drop_all,
};

const TCP: u8 = 6;
/// IPPROTO_RAW: the header is ours as well (raw(7)).
const RAW: u32 = 255;
/// For who answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// For who should not: nothing has left, and it shows at once.
const MOMENT: Duration = Duration::from_millis(400);
/// There is more of this packet, among the bits of a fragment's place (RFC 791).
const MORE: u16 = 0x2000;
/// PSH: for the application, at once.
const PUSH: u8 = 8;

/// Plays a part of TCP by hand.
pub(super) fn play(words: &[&str]) -> Played<()> {
    match *words {
        ["connect", own, to] => connect_by_hand(address_of(own)?, address_of(to)?),
        ["connect-in-pieces", own, to] => connect_in_pieces(address_of(own)?, address_of(to)?),
        ["accept", own] => accept_by_hand(address_of(own)?),
        _ => Err(Errno::INVAL),
    }
}

/// The ones' complement sum of RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|two| {
        let low = two.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([two[0], low]))
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum & 0xffff).unwrap_or(0)
}

/// A packet of IPv4 with a segment and `data`. The kernel fills in the checksum of the first header.
fn packet(segment: &Segment, data: &[u8]) -> Played<Vec<u8>> {
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (segment.from, segment.to) else {
        return Err(Errno::AFNOSUPPORT);
    };
    let length = u16::try_from(20 + data.len()).map_err(|_| Errno::MSGSIZE)?;
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(segment.sequence.to_be_bytes());
    tcp.extend(segment.acknowledged.to_be_bytes());
    tcp.extend([0x50, segment.flags, 0x40, 0, 0, 0, 0, 0]);
    tcp.extend(data);
    let mut pseudo = [from.ip().octets(), to.ip().octets()].concat();
    pseudo.extend([0, TCP]);
    pseudo.extend(length.to_be_bytes());
    pseudo.extend(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut all = vec![0x45, 0];
    all.extend((20 + length).to_be_bytes());
    all.extend([0, 1, 0, 0, 64, TCP, 0, 0]);
    all.extend(from.ip().octets());
    all.extend(to.ip().octets());
    all.extend(tcp);
    Ok(all)
}

/// The pieces of a packet that [`packet`] made: the first `length` bytes of what it carries, and
/// the rest, which begins `back` bytes before where the first ends. All in units of eight (RFC 791).
/// Pieces belong together by `id`.
fn pieces(packet: &[u8], id: u16, length: usize, back: usize) -> Played<[Vec<u8>; 2]> {
    let (header, carried) = packet.split_at(20);
    let piece = |from: usize, to: usize, more: u16| -> Played<Vec<u8>> {
        let size = u16::try_from(20 + to - from).map_err(|_| Errno::MSGSIZE)?;
        let place = u16::try_from(from / 8).map_err(|_| Errno::MSGSIZE)? | more;
        let mut piece = header.to_vec();
        piece[2..4].copy_from_slice(&size.to_be_bytes());
        piece[4..6].copy_from_slice(&id.to_be_bytes());
        piece[6..8].copy_from_slice(&place.to_be_bytes());
        piece.extend(&carried[from..to]);
        Ok(piece)
    };
    Ok([
        piece(0, length, MORE)?,
        piece(length - back, carried.len(), 0)?,
    ])
}

/// Sends and receives segments from one address to another.
struct Hand {
    out: OwnedFd,
    back: OwnedFd,
    /// Keeps the kernel from saying that nobody is there.
    _guard: OwnedFd,
    own: SocketAddrV4,
}

impl Hand {
    fn new(own: SocketAddr) -> Played<Self> {
        let raw = |protocol: u32| {
            socket_with(
                AddressFamily::INET,
                SocketType::RAW,
                SocketFlags::CLOEXEC,
                NonZeroU32::new(protocol).map(Protocol::from_raw),
            )
        };
        let guard = tcp(own, SocketFlags::empty(), None)?;
        sockopt::set_socket_reuseaddr(&guard, true)?;
        bind(&guard, &own)?;
        drop_all(&guard)?;
        listen(&guard, 1)?;
        let SocketAddr::V4(own) = own else {
            return Err(Errno::AFNOSUPPORT);
        };
        Ok(Self {
            out: raw(RAW)?,
            back: raw(TCP.into())?,
            _guard: guard,
            own,
        })
    }

    fn send(&self, to: SocketAddr, flags: u8, numbers: (u32, u32), data: &[u8]) -> Played<usize> {
        let segment = Segment {
            from: self.own.into(),
            to,
            flags,
            sequence: numbers.0,
            acknowledged: numbers.1,
            payload: data.len(),
        };
        sendto(&self.out, &packet(&segment, data)?, SendFlags::empty(), &to)
    }

    /// A segment with these flags for this end, if one comes in time.
    fn receive(&self, flags: u8, patience: Duration) -> Played<Option<Segment>> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if ready(&self.back, PollFlags::IN, 20)?.is_empty() {
                continue;
            }
            let mut buffer = [0; 256];
            let (length, _) = recv(&self.back, &mut buffer, RecvFlags::empty())?;
            let segment = parse(&buffer[..length]);
            let ours = |one: &Segment| one.to == self.own.into() && one.flags & 0x3f == flags;
            if let Some(segment) = segment.filter(ours) {
                return Ok(Some(segment));
            }
        }
        Ok(None)
    }
}

/// Connects by hand: says what came of the SYN, whether it was answered, and what came of data.
fn connect_by_hand(own: SocketAddr, to: SocketAddr) -> Played<()> {
    let hand = Hand::new(own)?;
    let sent = hand.send(to, SYN, (1000, 0), b"");
    say(&format!("SYN {}", outcome(&sent)));
    let patience = if sent.is_ok() { PATIENCE } else { MOMENT };
    let Some(answer) = hand.receive(SYN | ACK, patience)? else {
        say("no answer");
        return Ok(());
    };
    say("answered");
    let next = answer.sequence.wrapping_add(1);
    let sent = hand.send(to, ACK | PUSH, (1001, next), b"by hand");
    say(&format!("data {}", outcome(&sent)));
    // So that the server need not wait for us.
    hand.send(to, ACK | FIN, (1008, next), b"").map(drop)
}

/// Sends a SYN in two pieces, of which neither shows it or the second writes it over the first;
/// says what came of each, and whether it was answered.
fn connect_in_pieces(own: SocketAddr, to: SocketAddr) -> Played<()> {
    let hand = Hand::new(own)?;
    let segment = |flags| Segment {
        from: own,
        to,
        flags,
        sequence: 1000,
        acknowledged: 0,
        payload: 0,
    };
    let mut patience = MOMENT;
    let (open, closed) = (
        packet(&segment(SYN), &[0; 12])?,
        packet(&segment(ACK), &[0; 12])?,
    );
    // Nobody else's: what another has left behind is kept for half a minute.
    let id = u16::try_from(std::process::id() & 0x7fff).unwrap_or(0) * 2;
    let hidden = pieces(&open, id, 8, 0)?;
    let [first, _] = pieces(&closed, id + 1, 24, 0)?;
    let [_, second] = pieces(&open, id + 1, 24, 16)?;
    for (name, pieces) in [("hidden", hidden), ("overwritten", [first, second])] {
        for piece in pieces {
            let sent = sendto(&hand.out, &piece, SendFlags::empty(), &to);
            if sent.is_ok() && name == "hidden" {
                patience = PATIENCE;
            }
            say(&format!("{name} {}", outcome(&sent)));
        }
        match hand.receive(SYN | ACK, patience)? {
            Some(_) => say("answered"),
            None => say("no answer"),
        }
        patience = MOMENT;
    }
    Ok(())
}

/// Accepts by hand: says whether a SYN came, and what came of the answer.
fn accept_by_hand(own: SocketAddr) -> Played<()> {
    let hand = Hand::new(own)?;
    say("listening");
    let Some(opening) = hand.receive(SYN, PATIENCE)? else {
        say("no SYN");
        return Ok(());
    };
    let next = opening.sequence.wrapping_add(1);
    let sent = hand.send(opening.from, SYN | ACK, (5000, next), b"");
    say(&format!("SYN-ACK {}", outcome(&sent)));
    super::actor::wait_for_word();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_all_of_a_packet_and_overlap_as_they_are_told() {
        let mut whole = vec![0x45; 20];
        whole.extend(0..32u8);
        let [first, second] = pieces(&whole, 7, 8, 0).unwrap();
        assert_eq!(
            (&first[20..], &second[20..]),
            (&whole[20..28], &whole[28..])
        );
        assert_eq!((&first[2..4], &first[6..8]), (&[0, 28][..], &[0x20, 0][..]));
        assert_eq!((&second[2..4], &second[6..8]), (&[0, 44][..], &[0, 1][..]));
        let [_, second] = pieces(&whole, 7, 24, 16).unwrap();
        assert_eq!(&second[20..], &whole[28..]);
    }

    #[test]
    fn what_is_made_can_be_read_and_its_checksum_is_right() {
        let segment = Segment {
            from: "127.0.0.1:5555".parse().unwrap(),
            to: "127.0.0.2:7001".parse().unwrap(),
            flags: SYN,
            sequence: 1000,
            acknowledged: 7,
            payload: 3,
        };
        let made = packet(&segment, b"abc").unwrap();
        assert_eq!(parse(&made), Some(segment));
        let mut pseudo = made[12..20].to_vec();
        pseudo.extend([0, TCP, 0, 23]);
        pseudo.extend(&made[20..]);
        // Over its own checksum the sum is all ones.
        assert_eq!(checksum(&pseudo), 0);
    }
}
