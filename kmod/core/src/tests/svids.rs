// SPDX-License-Identifier: GPL-2.0-only
//! Keys that C holds, from their request to their end.

use std::{ffi::c_void, ptr::null_mut, time::Duration};

use tidelock_tls::{Identity, Pending, SpiffeId, TrustDomain, testing::TestAuthority};
use tidelock_wire::{
    Answer, Certificate, Certificates, Frame, Issued, MAX_FRAME, MAX_LIST, Peer, Peers, Request,
    Scope, SpiffeIdRef, Terms, Verdict,
};

use super::{questions, request};
use crate::{
    exports_held::{tdl_core_certify, tdl_core_free, tdl_core_sign},
    platform::Kernel,
};

const OWN: &str = "spiffe://a.test/b";

/// What C keeps of terms with a key.
fn own() -> Vec<u8> {
    let mut buffer = [0; 100];
    let own = SpiffeIdRef::parse(OWN.as_bytes()).unwrap();
    let terms = Terms {
        scope: Scope::Process,
        own,
        peers: Peers::encode([Peer::Workload(own)], &mut buffer).unwrap(),
    };
    let frame = request(&Request::Verdict(Verdict {
        decision: tidelock_wire::Decision::Mtls(terms),
        reason: 1,
        ttl_ms: 2,
        generation: 3,
    }));
    let terms_at = frame.len() - terms.encoded_len();
    frame[terms_at..terms_at + terms.own_len()].to_vec()
}

/// What `tdl_core_sign` returns and makes.
fn sign(own: &[u8], capacity: usize) -> (isize, Vec<u8>, *mut Pending) {
    let mut out = vec![0; capacity];
    let mut key = null_mut();
    let facts = questions::facts(Some(b"/bin/curl"), None);
    // SAFETY: facts, texts and slices are live, `out` and `key` are nobody else's.
    let len = unsafe {
        tdl_core_sign(
            9,
            &raw const facts,
            own.as_ptr(),
            own.len(),
            out.as_mut_ptr(),
            out.len(),
            &raw mut key,
        )
    };
    out.truncate(usize::try_from(len).unwrap_or(0));
    (len, out, key)
}

/// A key that waits, and its request.
fn key() -> (*mut Pending, Vec<u8>) {
    let (len, frame, key) = sign(&own(), MAX_FRAME);
    assert!(len > 0 && !key.is_null(), "{len}");
    let Ok(Frame {
        id: 9,
        message: Answer::Sign(sign),
    }) = Frame::decode(&frame)
    else {
        panic!("{frame:?}");
    };
    assert_eq!(sign.ask.task.tgid, 1);
    (key, sign.csr.to_vec())
}

fn certify(key: *mut Pending, answer: &Request<'_>) -> (isize, *mut Identity, u64) {
    let (mut identity, mut until) = (null_mut(), 0);
    let input = request(answer);
    // SAFETY: the key came from `tdl_core_sign` and is used no more; the rest is live.
    let ret = unsafe {
        tdl_core_certify(
            key,
            input.as_ptr(),
            input.len(),
            &raw mut identity,
            &raw mut until,
        )
    };
    (ret, identity, until)
}

/// With an SVID of this SPIFFE ID for the key in `csr`, for ten minutes.
fn with_svid<T>(csr: &[u8], id: &str, act: impl FnOnce(&Request<'_>) -> T) -> T {
    let authority = TestAuthority::new::<Kernel>(TrustDomain::parse("a.test").unwrap()).unwrap();
    let id = SpiffeId::parse(id).unwrap();
    let chain = authority
        .certify::<Kernel>(csr, &id, Duration::from_mins(10))
        .unwrap();
    let mut buffer = [0; MAX_LIST];
    let chain = chain.iter().map(|der| Certificate::new(der).unwrap());
    let chain = Certificates::encode(chain, &mut buffer).unwrap();
    act(&Request::Issued(Issued::Svid(chain)))
}

fn free(kind: u32, what: *mut c_void) -> isize {
    // SAFETY: what came from the core as this kind, or the kind is none.
    unsafe { tdl_core_free(kind, what) }
}

#[test]
fn a_key_and_its_svid_are_put_together_until_it_ends() {
    let (key, csr) = key();
    let (ret, identity, until) = with_svid(&csr, OWN, |answer| certify(key, answer));
    assert_eq!(ret, 0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now + 590..=now + 600).contains(&until), "{until} {now}");
    // SAFETY: it was given a moment ago.
    let id = unsafe { &*identity }.spiffe_id().clone();
    assert_eq!(id.as_str(), OWN);
    assert_eq!(free(2, identity.cast()), 0);
}

#[test]
fn an_svid_for_another_key_or_another_id_is_none() {
    let (other, csr) = key();
    assert_eq!(free(1, other.cast()), 0);
    let (waiting, _) = key();
    let (ret, identity, _) = with_svid(&csr, OWN, |answer| certify(waiting, answer));
    assert_eq!((ret, identity), (-74, null_mut()));
    let (waiting, csr) = key();
    let other = "spiffe://a.test/c";
    let (ret, identity, _) = with_svid(&csr, other, |answer| certify(waiting, answer));
    assert_eq!((ret, identity), (-74, null_mut()));
    let (waiting, _) = key();
    let der = [0x30, 0];
    let mut buffer = [0; 9];
    let chain = Certificates::encode([Certificate::new(&der).unwrap()], &mut buffer).unwrap();
    let answer = Request::Issued(Issued::Svid(chain));
    let (ret, identity, _) = certify(waiting, &answer);
    assert_eq!((ret, identity), (-74, null_mut()));
    let (waiting, _) = key();
    let (ret, identity, _) = certify(waiting, &Request::Issued(Issued::Refused(1)));
    assert_eq!((ret, identity), (-22, null_mut()));
}

#[test]
fn without_terms_or_room_there_is_no_key() {
    let own = own();
    let cut = &own[..own.len() - 1];
    let more = [&own[..], b"x"].concat();
    for (own, capacity, errno) in [
        (cut, MAX_FRAME, -22),
        (&more, MAX_FRAME, -22),
        (&own, 100, -28),
    ] {
        let (len, _, key) = sign(own, capacity);
        assert_eq!((len, key), (errno, null_mut()));
    }
}

#[test]
fn each_key_is_another() {
    let [(one, a), (other, b)] = [key(), key()];
    assert_ne!(a, b);
    assert_eq!([free(1, one.cast()), free(1, other.cast())], [0, 0]);
    assert_eq!(free(0, null_mut()), -22, "no kind");
    assert_eq!(free(5, null_mut()), -22, "no kind");
}
