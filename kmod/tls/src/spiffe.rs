// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! SPIFFE IDs that are kept. What one is says `tidelock_spiffe`.

use alloc::string::String;
use core::fmt;

use tidelock_spiffe::{SpiffeIdError, SpiffeIdRef, TrustDomainRef};

/// The name of a trust domain, such as `example.org`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Takes a valid name.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        TrustDomainRef::parse(text.as_bytes()).map(Self::from)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<TrustDomainRef<'_>> for TrustDomain {
    fn from(name: TrustDomainRef<'_>) -> Self {
        Self(name.as_str().into())
    }
}

/// The identity of a workload or of a trust domain, such as `spiffe://example.org/db`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    text: String,
    domain: TrustDomain,
    has_path: bool,
}

impl SpiffeId {
    /// Takes a valid SPIFFE ID.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        SpiffeIdRef::parse(text.as_bytes()).map(Self::from)
    }

    /// The whole URI.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain it belongs to.
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Whether it names a workload, not the trust domain itself.
    pub fn has_path(&self) -> bool {
        self.has_path
    }
}

impl From<SpiffeIdRef<'_>> for SpiffeId {
    fn from(id: SpiffeIdRef<'_>) -> Self {
        Self {
            text: id.as_str().into(),
            domain: id.trust_domain().into(),
            has_path: id.has_path(),
        }
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}
