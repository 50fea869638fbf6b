// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Key exchange: X25519 and P-256.

use alloc::{boxed::Box, vec::Vec};
use core::marker::PhantomData;

use p256::{PublicKey, ecdh::EphemeralSecret, elliptic_curve::Generate as _};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup},
};
use x25519_dalek as x25519;
use zeroize::Zeroizing;

use crate::{NoEntropy, Platform, platform::Random};

pub(super) const fn x25519<P: Platform>() -> &'static dyn SupportedKxGroup {
    const { &X25519::<P>(PhantomData) }
}

pub(super) const fn p256<P: Platform>() -> &'static dyn SupportedKxGroup {
    const { &P256::<P>(PhantomData) }
}

#[derive(Debug)]
struct X25519<P>(PhantomData<P>);

impl<P: Platform> SupportedKxGroup for X25519<P> {
    #[inline(never)]
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut scalar = Zeroizing::new([0; 32]);
        P::fill_random(&mut *scalar).map_err(|NoEntropy| GetRandomFailed)?;
        let public = x25519::x25519(*scalar, x25519::X25519_BASEPOINT_BYTES);
        Ok(Box::new(StartedX25519 { scalar, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct StartedX25519 {
    scalar: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl ActiveKeyExchange for StartedX25519 {
    #[inline(never)]
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = peer
            .try_into()
            .map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let secret = Zeroizing::new(x25519::x25519(*self.scalar, peer));
        // All zeros: the peer sent a point of small order (RFC 8446, 7.4.2).
        if secret.iter().fold(0, |all, byte| all | byte) == 0 {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(secret.as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[derive(Debug)]
struct P256<P>(PhantomData<P>);

impl<P: Platform> SupportedKxGroup for P256<P> {
    #[inline(never)]
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret = EphemeralSecret::try_generate_from_rng(&mut Random::<P>::new())
            .map_err(|NoEntropy| GetRandomFailed)?;
        let public = secret.public_key().to_sec1_bytes().into_vec();
        Ok(Box::new(StartedP256 { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}

struct StartedP256 {
    secret: EphemeralSecret,
    public: Vec<u8>,
}

impl ActiveKeyExchange for StartedP256 {
    #[inline(never)]
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        // TLS 1.3 allows the uncompressed form alone (RFC 8446, 4.2.8.2).
        const UNCOMPRESSED: u8 = 4;
        if peer.first() != Some(&UNCOMPRESSED) {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let secret = self.secret.diffie_hellman(&peer);
        Ok(SharedSecret::from(secret.raw_secret_bytes().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp256r1
    }
}
