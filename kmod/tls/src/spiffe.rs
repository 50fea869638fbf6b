// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! SPIFFE IDs, by the SPIFFE-ID standard.

use alloc::string::String;
use core::fmt;

const SCHEME: &str = "spiffe://";
/// The longest URI that implementations must take (SPIFFE-ID, 2.3).
const LONGEST_ID: usize = 2048;
/// The longest trust domain name (SPIFFE-ID, 2.3).
const LONGEST_DOMAIN: usize = 255;

/// A text is not a SPIFFE ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpiffeIdError {
    /// It does not start with `spiffe://`.
    #[error("a SPIFFE ID starts with spiffe://")]
    Scheme,
    /// It is longer than 2048 bytes, or its trust domain than 255.
    #[error("the SPIFFE ID is too long")]
    TooLong,
    /// The trust domain is empty or holds something else than a-z, 0-9, dot, dash, underscore.
    #[error("the SPIFFE ID has no valid trust domain")]
    Domain,
    /// A path segment is empty, `.` or `..`, or holds something else than letters, digits,
    /// dot, dash, underscore.
    #[error("the SPIFFE ID has no valid path")]
    Path,
}

/// The name of a trust domain, such as `example.org`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// Takes a valid name.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > LONGEST_DOMAIN {
            return Err(SpiffeIdError::TooLong);
        }
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
        if text.is_empty() || !text.chars().all(legal) {
            return Err(SpiffeIdError::Domain);
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identity of a workload or of a trust domain, such as `spiffe://example.org/db`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeId {
    text: String,
    domain: TrustDomain,
}

impl SpiffeId {
    /// Takes a valid SPIFFE ID.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        if text.len() > LONGEST_ID {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let (domain, path) = match rest.split_once('/') {
            Some((domain, path)) => (domain, Some(path)),
            None => (rest, None),
        };
        let domain = TrustDomain::parse(domain)?;
        if path.is_some_and(|path| !path.split('/').all(is_segment)) {
            return Err(SpiffeIdError::Path);
        }
        Ok(Self {
            text: text.into(),
            domain,
        })
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
        self.text.len() > SCHEME.len() + self.domain.0.len()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn is_segment(segment: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    !segment.is_empty() && segment != "." && segment != ".." && segment.chars().all(legal)
}
