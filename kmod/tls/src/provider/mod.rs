// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The cryptography rustls runs on: TLS 1.3, AEADs that kTLS knows, ECDSA on P-256.
//!
//! All of it is RustCrypto's and dalek's; here are only rustls' traits over it.

mod aead;
mod hash;
mod kx;
mod verify;

use alloc::{sync::Arc, vec::Vec};
use core::marker::PhantomData;

use rustls::{
    Error, SupportedCipherSuite,
    crypto::{CryptoProvider, KeyProvider},
    sign::SigningKey,
};
use rustls_pki_types::PrivateKeyDer;

use crate::{Platform, platform::Ambient};

pub(crate) use verify::ALGORITHMS;

/// In order of preference: the first that both sides know is taken.
static CIPHER_SUITES: [SupportedCipherSuite; 3] = [
    SupportedCipherSuite::Tls13(&aead::AES_128_GCM_SHA256),
    SupportedCipherSuite::Tls13(&aead::AES_256_GCM_SHA384),
    SupportedCipherSuite::Tls13(&aead::CHACHA20_POLY1305_SHA256),
];

/// The provider over the platform's randomness.
#[inline(never)]
pub(crate) fn provider<P: Platform>() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: CIPHER_SUITES.to_vec(),
        kx_groups: Vec::from(const { [kx::x25519::<P>(), kx::p256::<P>()] }),
        signature_verification_algorithms: ALGORITHMS,
        secure_random: const { &Ambient::<P>(PhantomData) },
        key_provider: &NoKeyLoading,
    })
}

/// Private keys are made here and never loaded from anywhere.
#[derive(Debug)]
struct NoKeyLoading;

impl KeyProvider for NoKeyLoading {
    fn load_private_key(&self, _key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("private keys are not loaded".into()))
    }
}
