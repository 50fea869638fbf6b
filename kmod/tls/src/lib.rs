// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Keys, TLS 1.3 and SPIFFE verification, sans-IO and no_std.
//!
//! Nothing here reads a clock, a socket or a random generator of its own: [`Platform`] is
//! what the surroundings give. The same code runs in the kernel and in tests on a host.
//!
//! TLS itself is rustls', over a provider of our own (`provider`) that knows TLS 1.3 and
//! what X.509-SVIDs use, and nothing else. rustls' types do not leave this crate: whoever
//! speaks TLS holds a [`Session`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod authority;
mod config;
mod csr;
mod error;
mod identity;
mod peer;
mod platform;
mod provider;
mod records;
mod selftest;
mod session;
mod spiffe;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod trust;
mod verify;
mod x509;

#[cfg(test)]
mod tests;

pub use config::{accept, connect};
pub use error::TlsError;
pub use identity::{Identity, Pending, SecretKey};
pub use peer::{Allowed, Expected, Peer};
pub use platform::{NoEntropy, Platform};
pub use records::{Cipher, Records, Traffic};
pub use selftest::{SelfTestError, SelfTestPassed, Step, selftest};
pub use session::{Negotiated, Session, SessionState};
pub use spiffe::{SpiffeId, TrustDomain};
pub use tidelock_spiffe::SpiffeIdError;
pub use trust::{KeyDigest, MAX_DOMAINS, MAX_VOID, Trust, Void};
