// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why there is no new policy from a server. The old one stays.

use tidelock_https::HttpsError;

use super::signature::SignatureError;
use crate::{BundleError, PolicyError};

/// A bundle could not be had, or was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It cannot be asked, or breaks off.
    #[error("the policy's server: {0}")]
    Https(#[from] HttpsError),
    /// It answers with something else than a bundle.
    #[error("the policy's server answers with status {0}")]
    Status(u16),
    /// What it sends is no bundle.
    #[error("from the policy's server: {0}")]
    Bundle(#[from] BundleError),
    /// The signature does not hold.
    #[error("from the policy's server: {0}")]
    Signature(#[from] SignatureError),
    /// It is no policy, its tests fail, or it cannot be stored.
    #[error("from the policy's server: {0}")]
    Policy(#[from] PolicyError),
    /// It was not taken: the thread that was to take it fell over, or whoever it is for refused.
    #[error("from the policy's server: {0}")]
    NotTaken(String),
}
