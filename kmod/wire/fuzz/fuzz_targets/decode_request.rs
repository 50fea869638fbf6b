// SPDX-License-Identifier: GPL-2.0-only OR MIT
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidelock_wire::Request;
use tidelock_wire_fuzz::{decode, mended};

fuzz_target!(|bytes: &[u8]| {
    decode::<Request<'_>>(bytes);
    decode::<Request<'_>>(&mended(bytes));
});
