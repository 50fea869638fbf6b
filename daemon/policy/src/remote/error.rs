// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why there is no new policy from a server. The old one stays.

use super::signature::SignatureError;
use crate::{BundleError, PolicyError};

/// A bundle could not be had, or was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The configuration makes no sense.
    #[error("{field} of the policy's server: {reason}")]
    Config {
        /// Which part of it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The server cannot be reached, is not trusted, or broke off.
    #[error("the policy's server: {0}")]
    Transfer(String),
    /// It answers with something else than a bundle.
    #[error("the policy's server answers with status {0}")]
    Status(u16),
    /// It sends too much.
    #[error("the policy's server sends more than {limit} bytes")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
    /// What it sends is no bundle.
    #[error("from the policy's server: {0}")]
    Bundle(#[from] BundleError),
    /// The signature does not hold.
    #[error("from the policy's server: {0}")]
    Signature(#[from] SignatureError),
    /// It is no policy, its tests fail, or it cannot be stored.
    #[error("from the policy's server: {0}")]
    Policy(#[from] PolicyError),
    /// Who was to take it did not.
    #[error("from the policy's server: {0}")]
    NotTaken(String),
}
