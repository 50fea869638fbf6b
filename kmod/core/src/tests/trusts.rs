// SPDX-License-Identifier: GPL-2.0-only
//! Who is trusted, as C holds it.

use std::{ptr::null_mut, sync::Arc};

use tidelock_tls::{TrustDomain, testing::TestAuthority};
use tidelock_wire::{
    Answer, Bundle, Certificate, Certificates, Frame, MAX_ANSWER, MAX_LIST, Refusal, Request,
    Revocation, Revoked, SpiffeIdRef, TrustDomainRef,
};

use super::request;
use crate::{
    exports_held::{tdl_core_free, tdl_core_trust},
    platform::Kernel,
};

type Held = *mut Arc<tidelock_tls::Trust>;

/// What a frame makes of a trust, and its answer.
fn change(old: Held, message: &Request<'_>) -> (Option<Answer<'static>>, Held) {
    let (mut out, mut new) = ([0; MAX_ANSWER], null_mut());
    let input = request(message);
    // SAFETY: old is held or null, the rest is live and nobody else's.
    let len = unsafe {
        tdl_core_trust(
            old,
            input.as_ptr(),
            input.len(),
            out.as_mut_ptr(),
            out.len(),
            &raw mut new,
        )
    };
    let Ok(len) = usize::try_from(len) else {
        assert_eq!(len, -22);
        return (None, new);
    };
    let frame = Frame::<Answer<'_>>::decode(out[..len].to_vec().leak()).unwrap();
    assert_eq!(frame.id, 7);
    (Some(frame.message), new)
}

fn free(trust: Held) {
    // SAFETY: it is held, and used no more.
    assert_eq!(unsafe { tdl_core_free(3, trust.cast()) }, 0);
}

fn bundle<'a>(der: &[u8], buffer: &'a mut [u8]) -> Request<'a> {
    Request::Bundle(Bundle {
        domain: TrustDomainRef::parse(b"a.test").unwrap(),
        authorities: Certificates::encode([Certificate::new(der).unwrap()], buffer).unwrap(),
    })
}

#[test]
fn each_change_makes_another_and_leaves_the_one_before() {
    let authority = TestAuthority::new::<Kernel>(TrustDomain::parse("a.test").unwrap()).unwrap();
    let mut buffer = [0; MAX_LIST];
    let (answer, first) = change(null_mut(), &bundle(authority.root(), &mut buffer));
    assert_eq!(answer, Some(Answer::Done));
    assert!(!first.is_null());
    let revocation = Revocation {
        what: Revoked::Workload(SpiffeIdRef::parse(b"spiffe://a.test/b").unwrap()),
        until: u64::MAX,
    };
    let (answer, second) = change(first, &Request::Revoke(revocation));
    assert_eq!(answer, Some(Answer::Done));
    assert!(!second.is_null() && second != first);
    free(first);
    free(second);
}

#[test]
fn a_refusal_makes_none() {
    let mut buffer = [0; 100];
    let (answer, new) = change(null_mut(), &bundle(&[0x30, 0], &mut buffer));
    assert_eq!(answer, Some(Answer::Refused(Refusal::Certificate)));
    assert!(new.is_null());
    let (answer, new) = change(null_mut(), &Request::Status);
    assert_eq!((answer, new), (None, null_mut()));
}

#[test]
fn there_are_so_many_domains_and_no_more() {
    let authority = TestAuthority::new::<Kernel>(TrustDomain::parse("a.test").unwrap()).unwrap();
    let mut held: Held = null_mut();
    for number in 0..=tidelock_tls::MAX_DOMAINS {
        let mut buffer = [0; MAX_LIST];
        let domain = format!("d{number}.test");
        let root = Certificate::new(authority.root()).unwrap();
        let message = Request::Bundle(Bundle {
            domain: TrustDomainRef::parse(domain.as_bytes()).unwrap(),
            authorities: Certificates::encode([root], &mut buffer).unwrap(),
        });
        let (answer, new) = change(held, &message);
        if number == tidelock_tls::MAX_DOMAINS {
            assert_eq!(answer, Some(Answer::Refused(Refusal::Limit)));
            assert!(new.is_null());
            break;
        }
        assert_eq!(answer, Some(Answer::Done), "{number}");
        if !held.is_null() {
            free(held);
        }
        held = new;
    }
    free(held);
}
