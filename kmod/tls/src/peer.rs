// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The other end of a session: who may be there, and who is.

use alloc::boxed::Box;

use crate::{SpiffeId, TrustDomain, trust::KeyDigest, verify::Vouched};

/// One workload, or many.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allowed {
    /// This workload alone.
    Workload(SpiffeId),
    /// Any workload of this trust domain.
    Domain(TrustDomain),
}

/// Who may be at the other end: any of these. Nobody is never anyone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected(Box<[Allowed]>);

impl Expected {
    /// Any of these.
    pub fn any_of(allowed: impl IntoIterator<Item = Allowed>) -> Self {
        Self(allowed.into_iter().collect())
    }

    pub(crate) fn allows(&self, id: &SpiffeId) -> bool {
        id.has_path()
            && self.0.iter().any(|allowed| match allowed {
                Allowed::Workload(allowed) => allowed == id,
                Allowed::Domain(domain) => domain == id.trust_domain(),
            })
    }
}

/// Who is at the other end, as its certificates showed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    id: SpiffeId,
    vouched: Vouched,
    until: u64,
}

impl Peer {
    pub(crate) const fn new(id: SpiffeId, vouched: Vouched, until: u64) -> Self {
        Self { id, vouched, until }
    }

    /// Its identity.
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The keys that its SVID rests on: of who signed it first, of an authority of the trust
    /// bundle last.
    pub fn authorities(&self) -> &[KeyDigest] {
        &self.vouched.keys
    }

    /// The authority of the trust bundle that it rests on: of its name and its key.
    pub(crate) const fn anchor(&self) -> &KeyDigest {
        &self.vouched.anchor
    }

    /// Until when its SVID is valid, and who vouches for it, in seconds since 1970.
    pub const fn until(&self) -> u64 {
        self.until
    }
}
