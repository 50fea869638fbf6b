// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An authority's private key.

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroize as _;

/// A P-256 key. What we hold of it is wiped when it goes; what ring has made of it for signing is
/// ring's, and is not.
pub(crate) struct Key(KeyPair);

impl Key {
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        KeyPair::generate().map(Self)
    }

    pub(crate) fn from_pkcs8(der: &PrivatePkcs8KeyDer<'_>) -> Result<Self, rcgen::Error> {
        KeyPair::try_from(der).map(Self)
    }

    /// PKCS #8, in DER.
    pub(crate) fn pkcs8(&self) -> &[u8] {
        self.0.serialized_der()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        PublicKeyData::algorithm(&self.0)
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message)
    }
}
