// SPDX-License-Identifier: GPL-2.0-only
//! Formatting without memory to allocate.

use core::fmt;

/// A text of at most `N` bytes; what does not fit is cut off.
pub(crate) struct BoundedText<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> BoundedText<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        let written = self.bytes.get(..self.len).unwrap_or_default();
        str::from_utf8(written).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for BoundedText<N> {
    /// Takes what fits, character by character; a line break or other control character
    /// becomes a blank, for the text goes into the kernel's log.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            let c = if c.is_control() { ' ' } else { c };
            let end = self.len + c.len_utf8();
            let Some(place) = self.bytes.get_mut(self.len..end) else {
                return Err(fmt::Error);
            };
            c.encode_utf8(place);
            self.len = end;
        }
        Ok(())
    }
}
