// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! SPIFFE IDs and trust domains, by the SPIFFE-ID standard: where they are read, once for all.
//!
//! Borrowed and without an allocator, for frames (`tidelock_wire`) and for certificates
//! (`tidelock_tls`, which has the owned forms).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

use core::fmt;

const SCHEME: &[u8] = b"spiffe://";

/// The longest URI that implementations must take, in bytes (SPIFFE-ID, 2.3).
pub const MAX_ID: usize = 2048;

/// The longest name of a trust domain, in bytes (SPIFFE-ID, 2.3).
pub const MAX_DOMAIN: usize = 255;

/// A text is not a SPIFFE ID.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpiffeIdError {
    /// It does not start with `spiffe://`.
    #[error("a SPIFFE ID starts with spiffe://")]
    Scheme,
    /// It is longer than [`MAX_ID`], or its trust domain than [`MAX_DOMAIN`].
    #[error("the SPIFFE ID is too long")]
    TooLong,
    /// The trust domain is empty or holds something else than a-z, 0-9, dot, dash, underscore.
    #[error("the SPIFFE ID has no valid trust domain")]
    Domain,
    /// A path segment is empty, `.` or `..`, or holds something else than letters, digits,
    /// dot, dash, underscore.
    #[error("the SPIFFE ID has no valid path")]
    Path,
    /// It names a trust domain, where a workload is wanted.
    #[error("the SPIFFE ID names no workload: it has no path")]
    NoWorkload,
}

/// The name of a trust domain, such as `example.org`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrustDomainRef<'a>(&'a str);

impl<'a> TrustDomainRef<'a> {
    /// Takes a valid name.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(name: &'a [u8]) -> Result<Self, SpiffeIdError> {
        if name.len() > MAX_DOMAIN {
            return Err(SpiffeIdError::TooLong);
        }
        let legal = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(c);
        if name.is_empty() || !name.iter().all(legal) {
            return Err(SpiffeIdError::Domain);
        }
        // All of it is ASCII.
        let name = str::from_utf8(name).map_err(|_| SpiffeIdError::Domain)?;
        Ok(Self(name))
    }

    /// The name.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

/// The identity of a workload or of a trust domain, such as `spiffe://example.org/db`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpiffeIdRef<'a> {
    text: &'a str,
    domain: TrustDomainRef<'a>,
}

impl<'a> SpiffeIdRef<'a> {
    /// Takes a valid SPIFFE ID.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &'a [u8]) -> Result<Self, SpiffeIdError> {
        if text.len() > MAX_ID {
            return Err(SpiffeIdError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeIdError::Scheme)?;
        let mut parts = rest.split(|byte| *byte == b'/');
        // There is always a first part.
        let domain = TrustDomainRef::parse(parts.next().unwrap_or_default())?;
        if !parts.all(is_segment) {
            return Err(SpiffeIdError::Path);
        }
        // All of it is ASCII.
        let text = str::from_utf8(text).map_err(|_| SpiffeIdError::Path)?;
        Ok(Self { text, domain })
    }

    /// Takes the SPIFFE ID of a workload: one with a path (X509-SVID, 2).
    ///
    /// # Errors
    /// When it is none, or a trust domain's.
    pub fn workload(text: &'a [u8]) -> Result<Self, SpiffeIdError> {
        let id = Self::parse(text)?;
        if id.has_path() {
            Ok(id)
        } else {
            Err(SpiffeIdError::NoWorkload)
        }
    }

    /// The whole URI.
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The trust domain it belongs to.
    pub const fn trust_domain(self) -> TrustDomainRef<'a> {
        self.domain
    }

    /// Whether it names a workload, not the trust domain itself.
    pub const fn has_path(self) -> bool {
        self.text.len() > SCHEME.len() + self.domain.0.len()
    }
}

impl fmt::Display for SpiffeIdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

fn is_segment(segment: &[u8]) -> bool {
    let legal = |c: &u8| c.is_ascii_alphanumeric() || b".-_".contains(c);
    !segment.is_empty() && segment != b"." && segment != b".." && segment.iter().all(legal)
}

#[cfg(test)]
mod tests;
