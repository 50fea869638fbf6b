// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A workload's private key and what certifies it.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::fmt;

use p256::{
    ecdsa::{DerSignature, SigningKey, signature::Signer as _},
    elliptic_curve::Generate as _,
    pkcs8::EncodePublicKey as _,
};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    sign::{CertifiedKey, Signer},
};
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

use crate::{Platform, SpiffeId, TlsError, platform::Random, verify, x509};

/// A P-256 private key. It has no form in which it could be written down, and its memory is
/// wiped when its last user goes.
#[derive(Clone)]
pub struct SecretKey(Arc<SigningKey>);

impl SecretKey {
    /// A new key from the platform's randomness.
    ///
    /// # Errors
    /// When there is none.
    pub fn generate<P: Platform>() -> Result<Self, TlsError> {
        let key = SigningKey::try_generate_from_rng(&mut Random::<P>::new())?;
        Ok(Self(Arc::new(key)))
    }

    #[cfg(test)]
    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0
    }

    /// The public half: `SubjectPublicKeyInfo`, in DER.
    pub(crate) fn public(&self) -> Result<Vec<u8>, TlsError> {
        let document = self.0.verifying_key().to_public_key_der();
        let document = document.map_err(|_| TlsError::Certificate("the key cannot be encoded"))?;
        Ok(document.into_vec())
    }

    /// A certificate or a request, of what it says and our signature over that. In DER.
    pub(crate) fn signed(&self, to_be_signed: Vec<u8>) -> Result<Vec<u8>, TlsError> {
        let signature: DerSignature = (self.0.try_sign(&to_be_signed))
            .map_err(|_| TlsError::Certificate("cannot be signed"))?;
        x509::signed(to_be_signed, signature.as_bytes())
            .map_err(|_| TlsError::Certificate("cannot be encoded"))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// A key that waits for its certificate.
#[derive(Debug)]
pub struct Pending {
    key: SecretKey,
    id: SpiffeId,
}

impl Pending {
    /// A new key, for this workload.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new<P: Platform>(id: SpiffeId) -> Result<Self, TlsError> {
        let key = SecretKey::generate::<P>()?;
        Ok(Self { key, id })
    }

    #[cfg(test)]
    pub(crate) const fn key(&self) -> &SecretKey {
        &self.key
    }

    /// Asks for the certificate: PKCS #10, in DER.
    ///
    /// # Errors
    /// When it cannot be encoded or signed.
    pub fn request(&self) -> Result<Vec<u8>, TlsError> {
        self.key.request(&self.id)
    }

    /// Takes what was answered: the leaf, then what leads to an authority, in DER. The key is gone
    /// when that is not for it.
    ///
    /// # Errors
    /// When it is no SVID, or another's.
    pub fn certified<'a>(
        self,
        chain: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Identity, TlsError> {
        let identity = Identity::new(self.key, chain)?;
        if identity.id == self.id {
            Ok(identity)
        } else {
            Err(TlsError::Certificate("the SVID is another's"))
        }
    }
}

/// Who we are: an X.509-SVID and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    id: SpiffeId,
    until: u64,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Puts a key and the SVID for it together; `chain` is the leaf, then what leads to an
    /// authority, in DER.
    ///
    /// # Errors
    /// When the leaf has not the shape of an SVID, or certifies another key.
    pub fn new<'a>(
        key: SecretKey,
        chain: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, TlsError> {
        let chain: Vec<CertificateDer<'static>> = chain
            .into_iter()
            .map(|der| CertificateDer::from(der).into_owned())
            .collect();
        let leaf = chain.first();
        let leaf = leaf.ok_or(TlsError::Certificate("the SVID has no certificate"))?;
        let (id, mut until) = verify::svid_of(leaf)?;
        for above in chain.iter().skip(1) {
            until = until.min(verify::until(above)?);
        }
        let certified = CertifiedKey::new(chain, Arc::new(key));
        certified.keys_match()?;
        Ok(Self {
            id,
            until,
            certified: Arc::new(certified),
        })
    }

    /// The SPIFFE ID in the SVID.
    pub const fn spiffe_id(&self) -> &SpiffeId {
        &self.id
    }

    /// Until when all of the chain is valid, in seconds since 1970.
    pub const fn until(&self) -> u64 {
        self.until
    }

    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }
}

impl rustls::sign::SigningKey for SecretKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP256_SHA256)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.public().ok().map(SubjectPublicKeyInfoDer::from)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for SecretKey {
    /// Deterministic (RFC 6979): a weak generator cannot leak the key through a signature.
    #[inline(never)]
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: DerSignature = self
            .0
            .try_sign(message)
            .map_err(|_| rustls::Error::General("signing failed".into()))?;
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
