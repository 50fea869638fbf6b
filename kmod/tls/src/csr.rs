// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Requests for certificates: PKCS #10 (RFC 2986), as much of it as an X.509-SVID needs.

use alloc::vec::Vec;

use p256::{
    ecdsa::{DerSignature, signature::Signer as _},
    pkcs8::EncodePublicKey as _,
};

use crate::{
    SecretKey, SpiffeId, TlsError,
    x509::{self, Request},
};

impl SecretKey {
    /// Asks for an SVID: the public half of the key, the SPIFFE ID that is to be certified, and a
    /// signature that proves the key is there. In DER.
    ///
    /// Everything else of the SVID is for the authority to say.
    ///
    /// # Errors
    /// When it cannot be encoded or signed.
    #[inline(never)]
    pub fn request(&self, id: &SpiffeId) -> Result<Vec<u8>, TlsError> {
        let unencodable = |_| TlsError::Certificate("the request cannot be encoded");
        let public = (self.signing_key().verifying_key().to_public_key_der())
            .map_err(|_| TlsError::Certificate("the key cannot be encoded"))?;
        let request = Request {
            uri: id.as_str(),
            public_key: public.as_bytes(),
        };
        let to_be_signed = request.to_be_signed().map_err(unencodable)?;
        let signature: DerSignature = self
            .signing_key()
            .try_sign(&to_be_signed)
            .map_err(|_| TlsError::Certificate("the request cannot be signed"))?;
        x509::signed(to_be_signed, signature.as_bytes()).map_err(unencodable)
    }
}
