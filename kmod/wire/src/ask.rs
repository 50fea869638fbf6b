// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A connection that waits for its verdict.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{
    DecodeError, EncodeError, Task,
    codec::{Reader, Writer},
};

/// Which end of the connection the process is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// It connects.
    Connect,
    /// It accepts.
    Accept,
}

impl Direction {
    /// The number in frames and in the module's C (`TDL_CONNECT`, `TDL_ACCEPT`).
    pub const fn number(self) -> u8 {
        match self {
            Self::Connect => 1,
            Self::Accept => 2,
        }
    }

    /// The direction with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Connect),
            2 => Some(Self::Accept),
            _ => None,
        }
    }
}

/// May this process have this connection? Answered by [`crate::Request::Verdict`] with the
/// same frame id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<'a> {
    /// Which end.
    pub direction: Direction,
    /// This end. Unspecified, with port 0, where a connecting socket is not bound.
    pub local: SocketAddr,
    /// The other end. Its port is 0 where this end accepts: the verdict is for all of them.
    ///
    /// Of both ends: an IPv4 address that an IPv6 socket uses is an IPv4 address here, and never
    /// one of `::ffff:0:0/96`, so that no rule for the one misses the other. Neither has a scope
    /// or a flow label.
    pub remote: SocketAddr,
    /// Who.
    pub task: Task<'a>,
}

/// 4 or 6, the port, 16 bytes.
const ADDRESS_LEN: u32 = 1 + 2 + 16;

impl<'a> Ask<'a> {
    pub(crate) fn len(&self) -> u32 {
        1 + 2 * ADDRESS_LEN + self.task.len()
    }

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u8(self.direction.number())?;
        write_address(self.local, out)?;
        write_address(self.remote, out)?;
        self.task.write(out)
    }

    pub(crate) fn read(from: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let number = from.u8()?;
        let direction = Direction::from_number(number).ok_or(DecodeError::Value {
            field: "the direction",
            value: number.into(),
        })?;
        Ok(Self {
            direction,
            local: read_address(from)?,
            remote: read_address(from)?,
            task: Task::read(from)?,
        })
    }
}

fn write_address(address: SocketAddr, out: &mut Writer<'_>) -> Result<(), EncodeError> {
    if let SocketAddr::V6(address) = address {
        let both = [address.scope_id(), address.flowinfo()];
        if let Some(value) = both.into_iter().find(|value| *value != 0) {
            return Err(EncodeError::Value {
                field: "the scope or flow label of an address",
                value: value.into(),
            });
        }
    }
    write_ip(address.ip(), out)?;
    out.u16(address.port())
}

fn read_address(from: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip = read_ip(from)?;
    Ok(SocketAddr::new(ip, from.u16()?))
}

const MAPPED: &str = "the family of an IPv4 address";

/// The second spelling of an IPv4 address.
fn is_mapped(ip: Ipv6Addr) -> bool {
    ip.to_ipv4_mapped().is_some()
}

/// An IPv4 address is followed by twelve zeros.
pub(crate) fn write_ip(ip: IpAddr, out: &mut Writer<'_>) -> Result<(), EncodeError> {
    match ip {
        IpAddr::V4(ip) => {
            out.u8(4)?;
            out.bytes(&ip.octets())?;
            out.bytes(&[0; 12])
        }
        IpAddr::V6(ip) => {
            if is_mapped(ip) {
                return Err(EncodeError::Value {
                    field: MAPPED,
                    value: 6,
                });
            }
            out.u8(6)?;
            out.bytes(&ip.octets())
        }
    }
}

pub(crate) fn read_ip(from: &mut Reader<'_>) -> Result<IpAddr, DecodeError> {
    match from.u8()? {
        4 => {
            let ip: [u8; 4] = from.array()?;
            let rest: [u8; 12] = from.array()?;
            match rest.iter().find(|byte| **byte != 0) {
                None => Ok(Ipv4Addr::from(ip).into()),
                Some(byte) => Err(DecodeError::Value {
                    field: "the rest of an IPv4 address",
                    value: (*byte).into(),
                }),
            }
        }
        6 => match Ipv6Addr::from(from.array::<16>()?) {
            ip if is_mapped(ip) => Err(DecodeError::Value {
                field: MAPPED,
                value: 6,
            }),
            ip => Ok(ip.into()),
        },
        family => Err(DecodeError::Value {
            field: "the address family",
            value: family.into(),
        }),
    }
}
