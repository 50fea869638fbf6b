// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's randomness and time, as `tidelock_tls` wants them.

use tidelock_tls::{NoEntropy, Platform};

use crate::imports;

/// The kernel, or on a host whatever stands in for it.
#[derive(Debug)]
pub(crate) struct Kernel;

impl Platform for Kernel {
    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy> {
        imports::random(out);
        Ok(())
    }

    fn unix_time() -> u64 {
        imports::unix_time()
    }
}
