// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! For the tests of others: an authority that signs whatever it is told, which no true one does.

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use crate::{Identity, Platform, SpiffeId, TlsError, TrustDomain, authority::Authority};

/// A root, and an intermediate below it that signs.
pub struct TestAuthority(Authority);

impl TestAuthority {
    /// With new keys.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new<P: Platform>(domain: TrustDomain) -> Result<Self, TlsError> {
        Authority::new::<P>(domain)?.intermediate::<P>().map(Self)
    }

    /// An SVID of this SPIFFE ID for the key in a request (PKCS #10, in DER), and the intermediate.
    /// What the request says besides, and whether it proves its key, is not looked at.
    ///
    /// # Errors
    /// When it is no request, or there is no randomness.
    pub fn certify<P: Platform>(
        &self,
        request: &[u8],
        id: &SpiffeId,
        lifetime: Duration,
    ) -> Result<Vec<Vec<u8>>, TlsError> {
        self.0.certify::<P>(request, id, lifetime)
    }

    /// A new identity.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn issue<P: Platform>(&self, id: &SpiffeId) -> Result<Identity, TlsError> {
        self.0.issue::<P>(id)
    }

    /// The root's certificate, in DER.
    pub fn root(&self) -> &[u8] {
        self.0.root()
    }
}

impl fmt::Debug for TestAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestAuthority")
    }
}
