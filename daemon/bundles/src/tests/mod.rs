// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests share: trust domains of real authorities.

mod bundle;
mod endpoint;
mod serve;
mod store;

use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType, string::Ia5String};
use rustls_pki_types::CertificateDer;
use tidelock_authority::{Embedded, Lifetimes, Request};
use tidelock_tls::{SpiffeId, TrustDomain};

use crate::Bundle;

/// A trust domain with an authority, in a folder that goes with it.
struct Domain {
    authority: Embedded,
    _dir: tempfile::TempDir,
}

fn name(text: &str) -> TrustDomain {
    TrustDomain::parse(text).unwrap()
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

impl Domain {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority");
        let now = SystemTime::now();
        let authority = Embedded::open(&path, name(text), Lifetimes::default(), now).unwrap();
        Self {
            authority,
            _dir: dir,
        }
    }

    fn bundle(&self, sequence: u64) -> Bundle {
        Bundle {
            sequence: Some(sequence),
            refresh_hint: Some(Duration::from_mins(5)),
            authorities: self.authority.trust().authorities,
        }
    }

    /// An SVID and its key.
    fn svid(&self, id: &SpiffeId) -> (Vec<CertificateDer<'static>>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uri = Ia5String::try_from(id.as_str()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        let csr = params.serialize_request(&key).unwrap();
        let request = Request::check(csr.der(), id).unwrap();
        let chain = self.authority.sign(&request, SystemTime::now()).unwrap();
        (chain, key)
    }
}
