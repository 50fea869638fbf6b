// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SPIFFE trust bundles: who vouches for the workloads of a trust domain.
//!
//! A [`Bundle`] is read strictly and written as the standard wants it. Those of foreign trust
//! domains come from an [`Endpoint`] (SPIFFE Federation, 5), by either of its profiles, and the
//! last good one is kept in a [`Store`]: a server that is away, or wrong, changes nothing. Our own is
//! served to others by [`serve()`].
#![forbid(unsafe_code)]

mod bundle;
mod endpoint;
mod peer;
mod serve;
mod store;

pub use bundle::{Bundle, BundleError, MAX_BUNDLE};
pub use endpoint::{Endpoint, EndpointConfig, EndpointError, Profile, refresh_after};
pub use serve::{Limits, Serving, serve};
pub use store::{Store, StoreError};

#[cfg(test)]
mod tests;
