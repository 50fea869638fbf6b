// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The frames between kernel module and user space, for both sides.
//!
//! `read(2)` on `/dev/tidelock` returns exactly one whole frame and `write(2)` takes exactly
//! one. A frame is a fixed little-endian header followed by a payload of the length it says:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 2 | magic, [`MAGIC`] |
//! | 2 | 1 | wire version, [`WIRE_VERSION`] |
//! | 3 | 1 | kind |
//! | 4 | 4 | length of the payload |
//! | 8 | 8 | id: an answer carries the id of its request |
//!
//! Each direction has its own type, [`Request`] into the kernel and [`Answer`] out of it, so
//! that neither side can decode what only the other may send. Both ways are strict: whatever
//! decodes encodes to the same bytes again, and whatever encodes decodes to the same message.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod answer;
mod ask;
mod codec;
mod error;
mod frame;
mod hello;
mod issue;
mod list;
mod request;
mod self_test;
mod settings;
mod task;
mod trust;
mod verdict;

pub use answer::{Answer, Refusal};
pub use ask::{Ask, Direction};
pub use error::{DecodeError, EncodeError};
pub use frame::{Frame, HEADER_LEN, MAGIC, MAX_ANSWER, MAX_FRAME, Message, WIRE_VERSION};
pub use hello::{ABI_VERSION, Capabilities, EngineState, Hello, Version};
pub use issue::{Issued, MAX_CSR, Sign};
pub use list::{
    Certificate, CertificateKind, Certificates, List, MAX_LIST, Member, Peer, PeerKind, Peers,
};
pub use request::Request;
pub use self_test::{Passed, SelfTestOutcome, SelfTestReport, SelfTestStep, StackUse};
pub use settings::{Counters, DEADLINE_MS, Exempt, MAX_EXEMPT, Mode, Prefix, Settings, Status};
pub use task::{FileId, MAX_PATH, Namespaces, Task, Text};
pub use tidelock_spiffe::{SpiffeIdError, SpiffeIdRef, TrustDomainRef};
pub use trust::{Bundle, MAX_AUTHORITIES, Revocation, Revoked};
pub use verdict::{Decision, KernelReason, MAX_PEERS, MAX_TTL_MS, Scope, Terms, Verdict};

#[cfg(test)]
mod tests;
