// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! SHA-2, HMAC over it, and HKDF over that.

use alloc::boxed::Box;
use core::marker::PhantomData;

use hmac::{EagerHash, Hmac, KeyInit as _, Mac};
use rustls::crypto::{
    hash::{Context, Hash, HashAlgorithm, Output},
    hmac::{Hmac as RustlsHmac, Key, Tag},
    tls13::HkdfUsingHmac,
};
use sha2::{Digest, Sha256, Sha384};

/// rustls' hash, HMAC and HKDF over one of RustCrypto's hashes.
struct Sha2<D>(PhantomData<D>);

pub(super) static SHA256: &dyn Hash = &Sha2::<Sha256>(PhantomData);
pub(super) static SHA384: &dyn Hash = &Sha2::<Sha384>(PhantomData);
pub(super) static HKDF_SHA256: HkdfUsingHmac<'_> = HkdfUsingHmac(&Sha2::<Sha256>(PhantomData));
pub(super) static HKDF_SHA384: HkdfUsingHmac<'_> = HkdfUsingHmac(&Sha2::<Sha384>(PhantomData));

trait Named: Digest + Clone + Send + Sync + 'static {
    const ALGORITHM: HashAlgorithm;
}

impl Named for Sha256 {
    const ALGORITHM: HashAlgorithm = HashAlgorithm::SHA256;
}

impl Named for Sha384 {
    const ALGORITHM: HashAlgorithm = HashAlgorithm::SHA384;
}

impl<D: Named> Hash for Sha2<D> {
    fn start(&self) -> Box<dyn Context> {
        Box::new(Running(D::new()))
    }

    fn hash(&self, data: &[u8]) -> Output {
        Output::new(&D::digest(data))
    }

    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn algorithm(&self) -> HashAlgorithm {
        D::ALGORITHM
    }
}

struct Running<D>(D);

impl<D: Named> Context for Running<D> {
    fn fork_finish(&self) -> Output {
        Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> Output {
        Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl<D> RustlsHmac for Sha2<D>
where
    D: Named + EagerHash,
    Hmac<D>: Mac + Clone + Send + Sync,
{
    fn with_key(&self, key: &[u8]) -> Box<dyn Key> {
        // HMAC takes keys of any length (RFC 2104); rustls gives no way to say otherwise.
        #[expect(clippy::expect_used, reason = "the error cannot occur")]
        let hmac = Hmac::<D>::new_from_slice(key).expect("any length is a key's");
        Box::new(Keyed(hmac))
    }

    fn hash_output_len(&self) -> usize {
        <D as Digest>::output_size()
    }
}

struct Keyed<M>(M);

impl<M: Mac + Clone + Send + Sync> Key for Keyed<M> {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        for part in middle {
            mac.update(part);
        }
        mac.update(last);
        Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        M::output_size()
    }
}
