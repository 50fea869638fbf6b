// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the tests share.

mod embedded;
mod est;
mod request;
mod svid;
mod vault;

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom as _, SystemRandom};
use tidelock_tls::{NoEntropy, Platform, SecretKey, SpiffeId, TrustDomain};

use crate::{AuthorityError, Embedded, Lifetimes, Request, Svid};

/// What the kernel gives to the module's core.
#[derive(Debug)]
struct Host;

impl Platform for Host {
    fn unix_time() -> u64 {
        NOW
    }

    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy> {
        SystemRandom::new().fill(out).map_err(|_| NoEntropy)
    }
}

/// The tests' clock, in seconds since 1970: in 2027.
const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn domain() -> TrustDomain {
    TrustDomain::parse("example.org").unwrap()
}

fn id() -> SpiffeId {
    SpiffeId::parse("spiffe://example.org/db").unwrap()
}

fn open(dir: &Path, now: u64) -> Result<Embedded, AuthorityError> {
    Embedded::open(dir, domain(), Lifetimes::default(), at(now))
}

/// A request as the module makes it.
fn request() -> Request {
    let key = SecretKey::generate::<Host>().unwrap();
    Request::check(&key.request(&id()).unwrap(), &id()).unwrap()
}

fn issue(authority: &Embedded, now: u64) -> Svid {
    let request = request();
    let chain = authority.sign(&request, at(now)).unwrap();
    Svid::take(&chain, &request, &authority.trust(), at(now)).unwrap()
}
