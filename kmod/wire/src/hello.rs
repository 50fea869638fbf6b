// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The first frame after open.

use crate::{
    DecodeError, EncodeError,
    codec::{Reader, Writer},
};

/// Raised when a frame changes its meaning in a way that the other side must know of.
pub const ABI_VERSION: u32 = 3;

bitflags::bitflags! {
    /// What the running kernel offers. Mirrored by `TDL_CAP_*` in the module's C.
    ///
    /// Unknown bits are kept: an older reader meets a newer module.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Capabilities: u32 {
        /// The record layer of TLS in the kernel.
        const KTLS = 1 << 0;
        /// kTLS with AES-128-GCM.
        const KTLS_AES128GCM = 1 << 1;
        /// kTLS with AES-256-GCM.
        const KTLS_AES256GCM = 1 << 2;
        /// kTLS with ChaCha20-Poly1305.
        const KTLS_CHACHA20 = 1 << 3;
        /// kTLS takes new keys for TLS 1.3 in mid-connection.
        const KTLS_REKEY = 1 << 4;
        /// TCP over IPv6.
        const IPV6 = 1 << 5;
        /// Multipath TCP.
        const MPTCP = 1 << 6;
        const _ = !0;
    }
}

/// A module's version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
}

/// Whether the Rust core of the module may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EngineState {
    /// It answers.
    Ready,
    /// It panicked: everything that needs it is refused until the module is loaded again.
    Dead,
}

impl EngineState {
    /// The number in frames, and in the module's C (`TDL_ENGINE_*`).
    pub const fn number(self) -> u32 {
        match self {
            Self::Ready => 1,
            Self::Dead => 2,
        }
    }

    /// The state with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ready),
            2 => Some(Self::Dead),
            _ => None,
        }
    }
}

/// Who is there, and how it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// [`ABI_VERSION`] of the module.
    pub abi: u32,
    /// The module's own version.
    pub module: Version,
    /// What the kernel offers.
    pub capabilities: Capabilities,
    /// Whether the core may be used.
    pub engine: EngineState,
    /// Panics of the core since the module was loaded.
    pub panics: u64,
    /// Frames written to the device and refused since then.
    pub frames_refused: u64,
}

impl Hello {
    pub(crate) const LEN: u32 = 34;

    pub(crate) fn write(&self, out: &mut Writer<'_>) -> Result<(), EncodeError> {
        out.u32(self.abi)?;
        out.u16(self.module.major)?;
        out.u16(self.module.minor)?;
        out.u16(self.module.patch)?;
        out.u32(self.capabilities.bits())?;
        out.u32(self.engine.number())?;
        out.u64(self.panics)?;
        out.u64(self.frames_refused)
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            abi: from.u32()?,
            module: Version {
                major: from.u16()?,
                minor: from.u16()?,
                patch: from.u16()?,
            },
            capabilities: Capabilities::from_bits_retain(from.u32()?),
            engine: {
                let number = from.u32()?;
                EngineState::from_number(number).ok_or(DecodeError::Value {
                    field: "the engine's state",
                    value: number.into(),
                })?
            },
            panics: from.u64()?,
            frames_refused: from.u64()?,
        })
    }
}
