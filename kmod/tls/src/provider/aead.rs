// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The cipher suites: record protection of TLS 1.3 (RFC 8446, 5.2) over RustCrypto's AEADs.

use alloc::boxed::Box;
use core::marker::PhantomData;

use aes_gcm::{
    Aes128Gcm, Aes256Gcm,
    aead::{
        AeadInOut, KeyInit, KeySizeUser, Nonce as AeadNonce, Tag,
        consts::{U12, U16},
    },
};
use chacha20poly1305::ChaCha20Poly1305;
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    Tls13CipherSuite,
    crypto::cipher::{
        AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
        Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
        UnsupportedOperationError, make_tls13_aad,
    },
};

use super::hash;

pub(super) static AES_128_GCM_SHA256: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: hash::SHA256,
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &hash::HKDF_SHA256,
    aead_alg: &Aead::<Aes128Gcm>(PhantomData),
    quic: None,
};

pub(super) static AES_256_GCM_SHA384: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_256_GCM_SHA384,
        hash_provider: hash::SHA384,
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &hash::HKDF_SHA384,
    aead_alg: &Aead::<Aes256Gcm>(PhantomData),
    quic: None,
};

pub(super) static CHACHA20_POLY1305_SHA256: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: hash::SHA256,
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &hash::HKDF_SHA256,
    aead_alg: &Aead::<ChaCha20Poly1305>(PhantomData),
    quic: None,
};

const TAG_LEN: usize = 16;

/// An AEAD that TLS 1.3 knows.
trait TlsAead: AeadInOut<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static {
    fn secrets(key: AeadKey, iv: Iv) -> ConnectionTrafficSecrets;
}

impl TlsAead for Aes128Gcm {
    fn secrets(key: AeadKey, iv: Iv) -> ConnectionTrafficSecrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    }
}

impl TlsAead for Aes256Gcm {
    fn secrets(key: AeadKey, iv: Iv) -> ConnectionTrafficSecrets {
        ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    }
}

impl TlsAead for ChaCha20Poly1305 {
    fn secrets(key: AeadKey, iv: Iv) -> ConnectionTrafficSecrets {
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }
    }
}

struct Aead<A>(PhantomData<A>);

impl<A: TlsAead> Tls13AeadAlgorithm for Aead<A> {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(records::<A>(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(records::<A>(&key, iv))
    }

    fn key_len(&self) -> usize {
        <A as KeySizeUser>::key_size()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Ok(A::secrets(key, iv))
    }
}

fn records<A: TlsAead>(key: &AeadKey, iv: Iv) -> Records<A> {
    // rustls cuts the key to `key_len`, and gives no way to say otherwise.
    #[expect(clippy::expect_used, reason = "the error cannot occur")]
    let aead = A::new_from_slice(key.as_ref()).expect("the key has the length we asked for");
    Records { aead, iv }
}

/// One direction of a connection.
struct Records<A> {
    aead: A,
    iv: Iv,
}

impl<A: TlsAead> Records<A> {
    fn nonce(&self, sequence: u64) -> AeadNonce<A> {
        Nonce::new(&self.iv, sequence).0.into()
    }
}

impl<A: TlsAead> MessageEncrypter for Records<A> {
    #[inline(never)]
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let tag = self
            .aead
            .encrypt_inout_detached(
                &self.nonce(sequence),
                &make_tls13_aad(length),
                payload.as_mut().into(),
            )
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            // All of TLS 1.3 travels as 1.2 (RFC 8446, 5.1).
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1 + TAG_LEN
    }
}

impl<A: TlsAead> MessageDecrypter for Records<A> {
    #[inline(never)]
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let length = message.payload.len();
        let (text, tag) = message
            .payload
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(Error::DecryptError)?;
        let tag: Tag<A> = (*tag).into();
        self.aead
            .decrypt_inout_detached(
                &self.nonce(sequence),
                &make_tls13_aad(length),
                text.into(),
                &tag,
            )
            .map_err(|_| Error::DecryptError)?;
        message.payload.truncate(length - TAG_LEN);
        message.into_tls13_unpadded_message()
    }
}
