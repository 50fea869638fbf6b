// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A workload's private key and what certifies it.

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
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

/// Who we are: an X.509-SVID and its key.
#[derive(Clone, Debug)]
pub struct Identity {
    id: SpiffeId,
    certified: Arc<CertifiedKey>,
}

impl Identity {
    /// Puts a key and the SVID for it together; `certificate` is DER.
    ///
    /// # Errors
    /// When the certificate has not the shape of an SVID, or certifies another key.
    pub fn new(key: SecretKey, certificate: Vec<u8>) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from(certificate);
        let id = verify::spiffe_id_of(&certificate)?;
        let certified = CertifiedKey::new(vec![certificate], Arc::new(key));
        certified.keys_match()?;
        Ok(Self {
            id,
            certified: Arc::new(certified),
        })
    }

    /// The SPIFFE ID in the SVID.
    pub fn spiffe_id(&self) -> &SpiffeId {
        &self.id
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
