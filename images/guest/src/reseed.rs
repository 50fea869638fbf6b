// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A clock and a random generator of its own for each guest restored from one saved state.
//!
//! Clones of a saved machine share the state of the kernel's generator: without this, two
//! guests were seen to draw the same random words.

use std::fs::{File, OpenOptions};

use rustix::{
    ioctl::{self, NoArg, Setter, opcode},
    time::{ClockId, Timespec, clock_gettime, clock_settime},
};

use crate::failure::{Checked, Failure};

const GENERATOR: &str = "/dev/urandom";
/// RNDADDENTROPY, random(4): `_IOW('R', 0x03, int[2])`, followed by the entropy itself.
const ADD: ioctl::Opcode = opcode::write::<[i32; 2]>(b'R', 0x03);
/// RNDRESEEDCRNG, random(4), since 4.17: `_IO('R', 0x07)`.
const RESEED: ioctl::Opcode = opcode::none(b'R', 0x07);

/// `struct rand_pool_info` with 32 bytes.
#[repr(C)]
struct PoolInfo {
    entropy_bits: i32,
    size: i32,
    bytes: [u8; 32],
}

/// Sets the wall clock.
pub(crate) fn set_clock(nanos: u64) -> Checked<()> {
    let time = Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(nanos % 1_000_000_000).unwrap_or(0),
    };
    clock_settime(ClockId::Realtime, time).map_err(Failure::system("set the clock"))
}

/// Nanoseconds since boot, by the clock that timeouts go by.
pub(crate) fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(nanos).unwrap_or_default()
}

/// Gives `entropy` to the kernel's generator and makes it start anew from it.
pub(crate) fn reseed(entropy: [u8; 32]) -> Checked<()> {
    let generator = OpenOptions::new()
        .write(true)
        .open(GENERATOR)
        .map_err(Failure::system(format!("open {GENERATOR}")))?;
    add(&generator, entropy).map_err(Failure::system("RNDADDENTROPY"))?;
    renew(&generator).map_err(Failure::system("RNDRESEEDCRNG"))
}

#[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
fn add(generator: &File, bytes: [u8; 32]) -> rustix::io::Result<()> {
    let info = PoolInfo {
        entropy_bits: 256,
        size: 32,
        bytes,
    };
    // SAFETY: ADD reads two ints and then as many bytes as the second of them says. PoolInfo
    // is those, in that order and without padding, and says the size of its own array.
    let setter = unsafe { Setter::<ADD, PoolInfo>::new(info) };
    // SAFETY: the setter passes a pointer to the PoolInfo that it owns; the kernel reads it
    // within the call, writes nothing there and keeps no pointer.
    unsafe { ioctl::ioctl(generator, setter) }
}

#[expect(unsafe_code, reason = "rustix has no wrapper for this ioctl")]
fn renew(generator: &File) -> rustix::io::Result<()> {
    // SAFETY: RESEED has no argument and touches no memory of ours.
    let bare = unsafe { NoArg::<RESEED>::new() };
    // SAFETY: as above.
    unsafe { ioctl::ioctl(generator, bare) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernels_header() {
        // <linux/random.h>, as expanded for x86 and arm64.
        assert_eq!(ADD, 0x4008_5203);
        assert_eq!(RESEED, 0x5207);
        assert_eq!(size_of::<PoolInfo>(), 40);
    }
}
