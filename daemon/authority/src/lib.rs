// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Signs X.509-SVIDs.
//!
//! A [`Request`] is a CSR that has been checked against the SPIFFE ID that policy decided for the
//! process that sent it. An [`Embedded`] authority answers it with an [`Svid`]: a root and an
//! intermediate of its own, in a folder of their own. What makes others trust it is its
//! [`Bundle`].
//!
//! Private keys of workloads are never seen here: they were made in the kernel and stay there.
#![forbid(unsafe_code)]

mod bundle;
mod embedded;
mod error;
mod keyfile;
mod profile;
mod request;
mod signer;

pub use bundle::{Bundle, BundleError, MAX_BUNDLE};
pub use embedded::{Embedded, Lifetimes, Svid};
pub use error::AuthorityError;
pub use profile::{Serial, Validity};
pub use request::{MAX_REQUEST, Request, RequestError};

#[cfg(test)]
mod tests;
