// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signs X.509-SVIDs.
//!
//! A [`Request`] is a CSR that has been checked against the SPIFFE ID that policy decided for the
//! process that sent it. An [`Embedded`] authority answers it with an [`Svid`]: a root and an
//! intermediate of its own, in a folder of their own. An [`Issuer`] elsewhere answers it as well:
//! what it signed is checked before it is used.
//!
//! Private keys of workloads are never seen here: they were made in the kernel and stay there.
#![forbid(unsafe_code)]

mod embedded;
mod error;
mod key;
mod keyfile;
mod profile;
mod request;
mod secret;
mod signer;
mod svid;
mod upstream;

pub use embedded::{Embedded, Lifetimes};
pub use error::AuthorityError;
pub use profile::Validity;
pub use request::{MAX_REQUEST, Request, RequestError};
pub use svid::{MAX_CHAIN, MAX_CHAIN_BYTES, Svid, SvidError, Trust};
pub use upstream::{Answer, Est, EstConfig, IssueError, Issuer, Vault, VaultConfig};

#[cfg(test)]
mod tests;
