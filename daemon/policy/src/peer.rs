// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may be at the other end.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidelock_tls::{SpiffeId, SpiffeIdError, TrustDomain};

/// What a trust domain's name is followed by when all of its workloads are meant.
const ALL: &str = "/*";

/// The peers that a decision allows: one workload, or all of one trust domain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PeerPattern {
    /// This workload alone: `spiffe://example.org/db`.
    Id(SpiffeId),
    /// Every workload of a trust domain: `spiffe://example.org/*`. Never the domain itself,
    /// whose id has no path and belongs to no workload.
    TrustDomain(TrustDomain),
}

/// A text names no peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerPatternError {
    /// It is not a SPIFFE ID.
    #[error(transparent)]
    Id(#[from] SpiffeIdError),
    /// It names a trust domain, not a workload.
    #[error("it names no workload: for all of a trust domain write spiffe://DOMAIN/*")]
    NoPath,
}

impl PeerPattern {
    /// How long the name is that is in it, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Id(id) => id.as_str().len(),
            Self::TrustDomain(domain) => domain.as_str().len(),
        }
    }

    /// Whether this workload is meant.
    pub fn matches(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Id(allowed) => allowed == id,
            Self::TrustDomain(domain) => id.has_path() && id.trust_domain() == domain,
        }
    }
}

impl FromStr for PeerPattern {
    type Err = PeerPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(domain) = text.strip_suffix(ALL) {
            let id = SpiffeId::parse(domain)?;
            // A star is a whole trust domain or nothing: patterns of paths are not offered.
            return if id.has_path() {
                Err(SpiffeIdError::Path.into())
            } else {
                Ok(Self::TrustDomain(id.trust_domain().clone()))
            };
        }
        let id = SpiffeId::parse(text)?;
        if !id.has_path() {
            return Err(PeerPatternError::NoPath);
        }
        Ok(Self::Id(id))
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::TrustDomain(domain) => write!(f, "spiffe://{}{ALL}", domain.as_str()),
        }
    }
}

impl Serialize for PeerPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PeerPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}
