// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A certification authority in memory, for the self-test and for tests.
//!
//! In production the daemon's authority signs SVIDs; none lives in the kernel.

use alloc::{vec, vec::Vec};
use core::time::Duration;

use crate::{
    Identity, Platform, SecretKey, SpiffeId, TlsError, TrustBundle, TrustDomain,
    x509::{Template, usage},
};

/// What its certificates are good for, from a little before now.
const LIFETIME: Duration = Duration::from_hours(1);
const LEEWAY: Duration = Duration::from_mins(1);

/// An authority over one trust domain.
pub(crate) struct Authority {
    domain: TrustDomain,
    key: SecretKey,
    certificate: Vec<u8>,
}

impl Authority {
    /// A new authority with a new key.
    #[inline(never)]
    pub(crate) fn new<P: Platform>(domain: TrustDomain) -> Result<Self, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(&Profile::Authority, &key, &key)?;
        Ok(Self {
            domain,
            key,
            certificate,
        })
    }

    /// A new identity: a new key, certified for `id`.
    #[inline(never)]
    pub(crate) fn issue<P: Platform>(&self, id: &SpiffeId) -> Result<Identity, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(&Profile::Svid(vec![id.as_str()]), &key, &self.key)?;
        Identity::new(key, certificate)
    }

    /// What makes others trust it.
    #[inline(never)]
    pub(crate) fn bundle(&self) -> Result<TrustBundle, TlsError> {
        TrustBundle::new(self.domain.clone(), [self.certificate.as_slice()])
    }

    /// A certificate of another shape than [`Self::issue`] gives.
    #[cfg(test)]
    pub(crate) fn sign<P: Platform>(
        &self,
        profile: &Profile<'_>,
        key: &SecretKey,
    ) -> Result<Vec<u8>, TlsError> {
        certificate::<P>(profile, key, &self.key)
    }
}

/// The shape of a certificate.
pub(crate) enum Profile<'a> {
    /// An authority's own.
    Authority,
    /// An X.509-SVID with these URIs; a true one has exactly one.
    Svid(Vec<&'a str>),
    /// An SVID that may sign certificates, which it must not.
    #[cfg(test)]
    SigningSvid(&'a str),
}

impl Profile<'_> {
    const fn usage(&self) -> u8 {
        match self {
            Self::Authority => usage::KEY_CERT_SIGN,
            Self::Svid(_) => usage::DIGITAL_SIGNATURE,
            #[cfg(test)]
            Self::SigningSvid(_) => usage::DIGITAL_SIGNATURE | usage::KEY_CERT_SIGN,
        }
    }

    fn uris(&self) -> &[&str] {
        match self {
            Self::Authority => &[],
            Self::Svid(uris) => uris.as_slice(),
            #[cfg(test)]
            Self::SigningSvid(uri) => core::slice::from_ref(uri),
        }
    }
}

/// All authorities bear the same name: what tells them apart is the key alone. A name is only
/// there because X.509 wants one; nobody looks at it but to find the issuer.
const AUTHORITY: &str = "SPIFFE";

#[inline(never)]
fn certificate<P: Platform>(
    profile: &Profile<'_>,
    key: &SecretKey,
    issuer: &SecretKey,
) -> Result<Vec<u8>, TlsError> {
    let mut serial = [0; 16];
    P::fill_random(&mut serial)?;
    let public = key.public()?;
    let authority = matches!(profile, Profile::Authority);
    let now = Duration::from_secs(P::unix_time());
    let to_be_signed = Template {
        serial,
        validity: [now.saturating_sub(LEEWAY), now.saturating_add(LIFETIME)],
        issuer: AUTHORITY,
        subject: if authority { AUTHORITY } else { "" },
        authority,
        usage: profile.usage(),
        uris: profile.uris(),
        public_key: &public,
    }
    .to_be_signed()
    .map_err(|_| TlsError::Certificate("cannot be encoded"))?;
    issuer.signed(to_be_signed)
}
