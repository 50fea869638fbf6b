// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! A certification authority in memory, for the self-test and for tests.
//!
//! In production the daemon's authority signs SVIDs; none lives in the kernel.

use alloc::{sync::Arc, vec, vec::Vec};
use core::time::Duration;

use crate::{
    Allowed, Expected, Identity, Platform, SecretKey, SpiffeId, TlsError, Trust, TrustDomain,
    x509::{Template, usage},
};

/// What its certificates are good for, from a little before now.
const LIFETIME: Duration = Duration::from_hours(1);
const LEEWAY: Duration = Duration::from_mins(1);

/// An authority over one trust domain: a root, or an intermediate below one.
pub(crate) struct Authority {
    domain: TrustDomain,
    key: SecretKey,
    name: &'static str,
    certificate: Vec<u8>,
    /// Of the root, where this is none.
    root: Option<Vec<u8>>,
}

impl Authority {
    /// A new root with a new key.
    #[inline(never)]
    pub(crate) fn new<P: Platform>(domain: TrustDomain) -> Result<Self, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(&Profile::Authority(ROOT), &key, (ROOT, &key))?;
        Ok(Self {
            domain,
            key,
            name: ROOT,
            certificate,
            root: None,
        })
    }

    /// A new intermediate below this root.
    #[inline(never)]
    pub(crate) fn intermediate<P: Platform>(&self) -> Result<Self, TlsError> {
        self.below::<P>(&Profile::Authority(INTERMEDIATE))
    }

    fn below<P: Platform>(&self, profile: &Profile<'_>) -> Result<Self, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let certificate = certificate::<P>(profile, &key, (self.name, &self.key))?;
        Ok(Self {
            domain: self.domain.clone(),
            key,
            name: INTERMEDIATE,
            certificate,
            root: Some(self.certificate.clone()),
        })
    }

    /// A new identity: a new key, certified for `id`.
    #[inline(never)]
    pub(crate) fn issue<P: Platform>(&self, id: &SpiffeId) -> Result<Identity, TlsError> {
        let key = SecretKey::generate::<P>()?;
        let profile = Profile::Svid(vec![id.as_str()]);
        let leaf = certificate::<P>(&profile, &key, (self.name, &self.key))?;
        // A root is in the trust bundle alone.
        let above = self.root.as_ref().map(|_| self.certificate.as_slice());
        Identity::new(key, [leaf.as_slice()].into_iter().chain(above))
    }

    /// What makes others trust it.
    #[inline(never)]
    pub(crate) fn trust(&self) -> Result<Arc<Trust>, TlsError> {
        let root = self.root.as_ref().unwrap_or(&self.certificate);
        let trust = Trust::nobody().with_bundle(self.domain.clone(), [root.as_slice()])?;
        Ok(Arc::new(trust))
    }

    /// Everybody of its domain.
    pub(crate) fn everybody(&self) -> Expected {
        Expected::any_of([Allowed::Domain(self.domain.clone())])
    }

    /// A chain for the key in a request, whatever else that says.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn certify<P: Platform>(
        &self,
        request: &[u8],
        id: &SpiffeId,
        lifetime: Duration,
    ) -> Result<Vec<Vec<u8>>, TlsError> {
        let key = crate::x509::requested_key(request)
            .map_err(|_| TlsError::Certificate("the request cannot be read"))?;
        let profile = Profile::Svid(vec![id.as_str()]);
        let leaf = certificate_for::<P>(&profile, &key, lifetime, (self.name, &self.key))?;
        let above = self.root.as_ref().map(|_| self.certificate.clone());
        Ok([leaf].into_iter().chain(above).collect())
    }

    /// What a trust bundle has of it.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn root(&self) -> &[u8] {
        self.root.as_ref().unwrap_or(&self.certificate)
    }

    /// An intermediate of another shape.
    #[cfg(test)]
    pub(crate) fn odd<P: Platform>(&self, usage: u8, uris: &[&str]) -> Result<Self, TlsError> {
        self.below::<P>(&Profile::Odd { usage, uris })
    }

    #[cfg(test)]
    pub(crate) const fn key(&self) -> &SecretKey {
        &self.key
    }

    #[cfg(test)]
    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// A certificate of another shape than [`Self::issue`] gives.
    #[cfg(test)]
    pub(crate) fn sign<P: Platform>(
        &self,
        profile: &Profile<'_>,
        key: &SecretKey,
    ) -> Result<Vec<u8>, TlsError> {
        certificate::<P>(profile, key, (self.name, &self.key))
    }
}

/// The shape of a certificate.
pub(crate) enum Profile<'a> {
    /// An authority's own, with its name.
    Authority(&'static str),
    /// An X.509-SVID with these URIs; a true one has exactly one.
    Svid(Vec<&'a str>),
    /// An SVID that may sign certificates, which it must not.
    #[cfg(test)]
    SigningSvid(&'a str),
    /// An intermediate that says this of itself.
    #[cfg(test)]
    Odd {
        /// Of [`usage`].
        usage: u8,
        /// Its names.
        uris: &'a [&'a str],
    },
}

impl Profile<'_> {
    const fn usage(&self) -> u8 {
        match self {
            Self::Authority(_) => usage::KEY_CERT_SIGN,
            Self::Svid(_) => usage::DIGITAL_SIGNATURE,
            #[cfg(test)]
            Self::SigningSvid(_) => usage::DIGITAL_SIGNATURE | usage::KEY_CERT_SIGN,
            #[cfg(test)]
            Self::Odd { usage, .. } => *usage,
        }
    }

    /// The name of an authority.
    const fn authority(&self) -> Option<&'static str> {
        match self {
            Self::Authority(name) => Some(name),
            Self::Svid(_) => None,
            #[cfg(test)]
            Self::SigningSvid(_) => None,
            #[cfg(test)]
            Self::Odd { .. } => Some(INTERMEDIATE),
        }
    }

    fn uris(&self) -> &[&str] {
        match self {
            Self::Authority(_) => &[],
            Self::Svid(uris) => uris.as_slice(),
            #[cfg(test)]
            Self::SigningSvid(uri) => core::slice::from_ref(uri),
            #[cfg(test)]
            Self::Odd { uris, .. } => uris,
        }
    }
}

/// All roots bear the same name, and all intermediates: what tells them apart is the key alone. A
/// name is only there because X.509 wants one; nobody looks at it but to find the issuer.
const ROOT: &str = "SPIFFE";
pub(crate) const INTERMEDIATE: &str = "SPIFFE intermediate";

#[inline(never)]
fn certificate<P: Platform>(
    profile: &Profile<'_>,
    key: &SecretKey,
    issuer: (&'static str, &SecretKey),
) -> Result<Vec<u8>, TlsError> {
    certificate_for::<P>(profile, &key.public()?, LIFETIME, issuer)
}

#[inline(never)]
fn certificate_for<P: Platform>(
    profile: &Profile<'_>,
    public_key: &[u8],
    lifetime: Duration,
    issuer: (&'static str, &SecretKey),
) -> Result<Vec<u8>, TlsError> {
    let mut serial = [0; 16];
    P::fill_random(&mut serial)?;
    let now = Duration::from_secs(P::unix_time());
    let authority = profile.authority();
    let to_be_signed = Template {
        serial,
        validity: [now.saturating_sub(LEEWAY), now.saturating_add(lifetime)],
        issuer: issuer.0,
        subject: authority.unwrap_or_default(),
        authority: authority.is_some(),
        usage: profile.usage(),
        uris: profile.uris(),
        public_key,
    }
    .to_be_signed()
    .map_err(|_| TlsError::Certificate("cannot be encoded"))?;
    issuer.1.signed(to_be_signed)
}
