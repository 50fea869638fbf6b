// SPDX-License-Identifier: GPL-2.0-only
//! What happens when the core is wrong about itself.
//!
//! Nothing is unwound: the shim leaves this stack behind, wipes and frees it with all memory of
//! the core, marks the engine dead and counts. The host lives on, and what needed the core is
//! refused.

use core::{fmt::Write as _, panic::PanicInfo};

use crate::{imports, text::BoundedText};

/// As long as a kernel log line bears with its prefix, and little on a stack that may be
/// nearly used up.
const LONGEST: usize = 256;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut text = BoundedText::<LONGEST>::new();
    // The only error is that the text is full; what there is of it is told.
    let _ = match info.location() {
        Some(at) => write!(text, "{}:{}: {}", at.file(), at.line(), info.message()),
        None => write!(text, "{}", info.message()),
    };
    imports::panicked(text.as_str())
}
