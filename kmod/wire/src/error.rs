// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What can be wrong with a frame.

use tidelock_spiffe::SpiffeIdError;

/// The bytes are not a frame of the expected direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a header has.
    #[error("{len} bytes are too few for a frame's header")]
    Truncated {
        /// How many there were.
        len: usize,
    },
    /// More bytes than any frame has.
    #[error("{len} bytes are too many for a frame")]
    TooLong {
        /// How many there were.
        len: usize,
    },
    /// Not ours.
    #[error("magic {magic:#06x} is not a frame's")]
    Magic {
        /// What stood in its place.
        magic: u16,
    },
    /// Another version of the header.
    #[error("wire version {version} is not spoken here")]
    Version {
        /// The version.
        version: u8,
    },
    /// No message of this direction has this number.
    #[error("frame kind {kind:#04x} is unknown in this direction")]
    Kind {
        /// The number.
        kind: u8,
    },
    /// The payload is shorter or longer than the header says.
    #[error("the header declares {declared} bytes of payload and {actual} follow")]
    Length {
        /// By the header.
        declared: u32,
        /// In truth.
        actual: usize,
    },
    /// The payload is shorter or longer than its kind wants.
    #[error("the payload of frame kind {kind:#04x} has the wrong length")]
    Payload {
        /// The kind.
        kind: u8,
    },
    /// A field holds a number without a meaning.
    #[error("{field} cannot be {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it held.
        value: u64,
    },
    /// A name in it is none.
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
}

/// The frame cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// It does not fit into the buffer.
    #[error("the frame does not fit into {capacity} bytes")]
    Capacity {
        /// How long the buffer is.
        capacity: usize,
    },
    /// A field holds what no reader would take.
    #[error("{field} cannot be {value}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it held.
        value: u64,
    },
    /// A name is one that no reader would take in its place.
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
}
