// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What can go wrong.

use crate::{NoEntropy, SpiffeIdError};

/// A key, a certificate or a session could not be made or kept.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TlsError {
    /// Randomness is missing.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// A SPIFFE ID is none.
    #[error(transparent)]
    SpiffeId(#[from] SpiffeIdError),
    /// A certificate could not be encoded or decoded.
    #[error("certificate: {0}")]
    Certificate(&'static str),
    /// There is no room for more of something.
    #[error("too many {0}")]
    Limit(&'static str),
    /// The session failed; an alert may be waiting in its output.
    #[error("TLS: {0}")]
    Session(rustls::Error),
    /// A session cannot hand over what protects its records; it is lost.
    #[error("no hand-over: {0}")]
    NoRecords(&'static str),
    /// Data was to be sent, but the handshake is not done or the session is closed.
    #[error("the session is not open for data")]
    NotOpen,
}

impl TlsError {
    /// Whether it is about who the peer is, and not about how it speaks.
    pub const fn is_about_the_peer(&self) -> bool {
        matches!(
            self,
            Self::Session(
                rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented
            )
        )
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Session(error)
    }
}
