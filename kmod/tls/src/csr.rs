// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Requests for certificates: PKCS #10 (RFC 2986), as much of it as an X.509-SVID needs.

use alloc::vec::Vec;

use crate::{SecretKey, SpiffeId, TlsError, x509::Request};

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
        let request = Request {
            uri: id.as_str(),
            public_key: &self.public()?,
        };
        let to_be_signed = (request.to_be_signed())
            .map_err(|_| TlsError::Certificate("the request cannot be encoded"))?;
        self.signed(to_be_signed)
    }
}
