// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Who is trusted to speak for which trust domain, and what is void.
//!
//! A value that is never changed: a change makes another one. So a handshake has one opinion from
//! its beginning to its end, and whoever holds the newest can ask whether a peer still stands.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use rustls_pki_types::{CertificateDer, TrustAnchor};
use webpki::anchor_from_trusted_cert;

use crate::{Peer, SpiffeId, TlsError, TrustDomain, x509};

/// The most trust domains that have a bundle.
pub const MAX_DOMAINS: usize = 64;
/// The most entries of what is void.
pub const MAX_VOID: usize = 1024;

/// The SHA-256 of an authority's `SubjectPublicKeyInfo` in DER.
pub type KeyDigest = [u8; 32];

/// What was valid before and is no longer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Void {
    /// Every SVID of this workload.
    Workload(SpiffeId),
    /// Every SVID that this authority, root or intermediate, has a part in.
    Authority(KeyDigest),
}

impl Void {
    /// What it is remembered by: all are of one length, and none is another's.
    fn digest(&self) -> KeyDigest {
        match self {
            Self::Workload(id) => workload_digest(id),
            Self::Authority(key) => *key,
        }
    }
}

/// No key's digest is this: it is of a text.
fn workload_digest(id: &SpiffeId) -> KeyDigest {
    x509::digest(id.as_str().as_bytes())
}

/// Who is trusted.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    domains: BTreeMap<TrustDomain, Arc<[Anchor]>>,
    /// By [`Void::digest`], with the time until which it must be remembered, in seconds since 1970.
    void: BTreeMap<KeyDigest, u64>,
}

/// An authority of a trust bundle.
#[derive(Clone, Debug)]
struct Anchor {
    anchor: TrustAnchor<'static>,
    digest: KeyDigest,
}

impl Trust {
    /// Nobody is.
    pub const fn nobody() -> Self {
        Self {
            domains: BTreeMap::new(),
            void: BTreeMap::new(),
        }
    }

    /// The same, with these authorities for `domain` and no others. They speak for that domain
    /// and for no other. None at all: nobody speaks for it any more.
    ///
    /// # Errors
    /// When a certificate cannot be read, or there are too many domains.
    pub fn with_bundle<'a>(
        &self,
        domain: TrustDomain,
        authorities: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, TlsError> {
        let anchors = authorities
            .into_iter()
            .map(Anchor::new)
            .collect::<Result<Arc<[Anchor]>, _>>()?;
        let mut trust = self.clone();
        if anchors.is_empty() {
            trust.domains.remove(&domain);
            return Ok(trust);
        }
        trust.domains.insert(domain, anchors);
        if trust.domains.len() > MAX_DOMAINS {
            return Err(TlsError::Limit("trust domains"));
        }
        Ok(trust)
    }

    /// The same, with `what` void until that time, in seconds since 1970; 0 takes it back. When there
    /// is no room, what must not be remembered at `now` any more is forgotten, and not before: the
    /// clock may be wrong.
    ///
    /// # Errors
    /// When there is too much of it.
    pub fn with_void(&self, what: &Void, until: u64, now: u64) -> Result<Self, TlsError> {
        let mut trust = self.clone();
        if until == 0 {
            trust.void.remove(&what.digest());
            return Ok(trust);
        }
        trust.void.insert(what.digest(), until);
        if trust.void.len() > MAX_VOID {
            trust.void.retain(|_, until| *until > now);
        }
        if trust.void.len() > MAX_VOID {
            return Err(TlsError::Limit("revocations"));
        }
        Ok(trust)
    }

    /// Whether a peer that was accepted would be still, as far as that is about trust: its domain
    /// has the authority that vouched for it, and nothing of its SVID is void. Who holds a session
    /// asks again once others can find it, for its trust is that of its beginning.
    pub fn stands(&self, peer: &Peer, now: u64) -> bool {
        let vouches = |anchor: &Anchor| anchor.digest == *peer.anchor();
        self.of(peer.id().trust_domain()).iter().any(vouches)
            && !self.is_void(peer.id(), peer.authorities(), now)
    }

    /// Whether nothing may rest on this identity or on one of these authorities.
    pub(crate) fn is_void(&self, id: &SpiffeId, authorities: &[KeyDigest], now: u64) -> bool {
        let void = |what: &KeyDigest| self.void.get(what).is_some_and(|until| *until > now);
        !self.void.is_empty() && (void(&workload_digest(id)) || authorities.iter().any(void))
    }

    /// Who vouches for a domain, as webpki wants them.
    pub(crate) fn anchors(&self, domain: &TrustDomain) -> Vec<TrustAnchor<'_>> {
        let anchors = self.of(domain).iter();
        anchors.map(|anchor| borrowed(&anchor.anchor)).collect()
    }

    fn of(&self, domain: &TrustDomain) -> &[Anchor] {
        self.domains.get(domain).map_or(&[], |anchors| anchors)
    }
}

impl Anchor {
    fn new(der: &[u8]) -> Result<Self, TlsError> {
        let certificate = CertificateDer::from(der);
        let anchor = anchor_from_trusted_cert(&certificate)
            .map_err(|_| TlsError::Certificate("an authority's cannot be read"))?;
        Ok(Self {
            digest: anchor_digest(&anchor)?,
            anchor: anchor.to_owned(),
        })
    }
}

/// Of an authority's name and key: what webpki finds it by, and what it is to a path.
pub(crate) fn anchor_digest(anchor: &TrustAnchor<'_>) -> Result<KeyDigest, TlsError> {
    let wrong = |_| TlsError::Certificate("an authority cannot be encoded");
    let mut parts = x509::in_sequence(&anchor.subject).map_err(wrong)?;
    parts.extend(x509::in_sequence(&anchor.subject_public_key_info).map_err(wrong)?);
    if let Some(constraints) = &anchor.name_constraints {
        parts.extend(x509::in_sequence(constraints).map_err(wrong)?);
    }
    Ok(x509::digest(&parts))
}

/// Of an authority whose key is told without the tag and length around it.
pub(crate) fn key_digest(anchor: &TrustAnchor<'_>) -> Result<KeyDigest, TlsError> {
    let key = x509::in_sequence(&anchor.subject_public_key_info)
        .map_err(|_| TlsError::Certificate("an authority's key cannot be encoded"))?;
    Ok(x509::digest(&key))
}

fn borrowed<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor
            .name_constraints
            .as_ref()
            .map(|der| der.as_ref().into()),
    }
}
