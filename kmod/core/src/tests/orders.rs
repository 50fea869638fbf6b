// SPDX-License-Identifier: GPL-2.0-only
//! Requests that are for the shim.

use std::net::IpAddr;

use tidelock_wire::{
    Answer, Bundle, Certificates, Counters, Decision, Exempt, Frame, Issued, MAX_EXEMPT, MAX_FRAME,
    Mode, Peer, Peers, Prefix, Request, Revocation, Revoked, Scope, Settings, SpiffeIdRef, Terms,
    TrustDomainRef, Verdict,
};

use super::{request, written};
use crate::{
    facts::StatusFacts,
    order::{Kind, Order, PrefixOrder},
    serve::{self, Errno},
};

/// The order that `message` becomes; there is no answer yet.
fn order(message: &Request<'_>) -> Order {
    let mut out = [0xa5; MAX_FRAME];
    let mut order = Order::NONE;
    let len = serve::frame(&request(message), &mut out, &mut order);
    assert_eq!(len, Ok(0));
    assert_eq!(out, [0xa5; MAX_FRAME], "nothing is written");
    order
}

fn prefix(address: &str, length: u8) -> Prefix {
    Prefix::new(address.parse::<IpAddr>().unwrap(), length).unwrap()
}

#[test]
fn for_the_status() {
    let expected = Order {
        id: 7,
        kind: Kind::Status,
        ..Order::NONE
    };
    assert_eq!(order(&Request::Status), expected);
}

#[test]
fn for_settings() {
    let exempt = [prefix("10.1.0.0", 16), prefix("fd00:102::", 32)];
    let settings = Settings {
        mode: Mode::Permissive,
        generation: u64::MAX - 1,
        deadline_ms: 250,
        exempt: Exempt::new(&exempt).unwrap(),
    };
    let mut expected = Order {
        id: 7,
        kind: Kind::Configure,
        generation: u64::MAX - 1,
        mode: 2,
        deadline_ms: 250,
        exempt_count: 2,
        ..Order::NONE
    };
    expected.exempt[0] = PrefixOrder {
        bytes: [10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        family: 4,
        length: 16,
    };
    expected.exempt[1] = PrefixOrder {
        bytes: [0xfd, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        family: 6,
        length: 32,
    };
    assert_eq!(order(&Request::Configure(settings)), expected);
}

#[test]
fn for_as_many_or_as_few_prefixes_as_there_may_be() {
    let settings = |mode, exempt: &[Prefix]| {
        Request::Configure(Settings {
            mode,
            generation: 1,
            deadline_ms: 10,
            exempt: Exempt::new(exempt).unwrap(),
        })
    };
    let full = order(&settings(Mode::Off, &[prefix("::1", 128); MAX_EXEMPT]));
    assert_eq!((full.exempt_count, full.mode), (32, 1));
    assert!(full.exempt.iter().all(|one| one.length == 128));
    let none = order(&settings(Mode::Enforce, &[]));
    assert_eq!((none.exempt_count, none.mode), (0, 3));
    assert_eq!(none.exempt, Order::NONE.exempt);
}

#[test]
fn for_verdicts() {
    let mut buffer = [0; 100];
    let own = SpiffeIdRef::parse(b"spiffe://a.test/b").unwrap();
    let terms = Terms {
        scope: Scope::Process,
        own,
        peers: Peers::encode([Peer::Workload(own)], &mut buffer).unwrap(),
    };
    let decisions = [Decision::Deny, Decision::Plain, Decision::Mtls(terms)];
    for (decision, number) in decisions.into_iter().zip(1..) {
        let verdict = Verdict {
            decision,
            reason: 41,
            ttl_ms: 42,
            generation: 43,
        };
        let mut expected = Order {
            id: 7,
            kind: Kind::Verdict,
            decision: number,
            reason: 41,
            ttl_ms: 42,
            generation: 43,
            ..Order::NONE
        };
        if number == 3 {
            (expected.scope, expected.terms_len, expected.own_len) = (1, 41, 20);
        }
        assert_eq!(order(&Request::Verdict(verdict)), expected);
    }
}

#[test]
fn terms_are_told_by_where_they_lie() {
    let mut buffer = [0; 100];
    let own = SpiffeIdRef::parse(b"spiffe://a.test/b").unwrap();
    let terms = Terms {
        scope: Scope::Workload,
        own,
        peers: Peers::encode([Peer::Domain(own.trust_domain())], &mut buffer).unwrap(),
    };
    let message = Request::Verdict(Verdict {
        decision: Decision::Mtls(terms),
        reason: 1,
        ttl_ms: 2,
        generation: 3,
    });
    let order = order(&message);
    let frame = request(&message);
    let told = &frame[frame.len() - order.terms_len as usize..];
    assert_eq!(Terms::decode(told), Ok(terms));
    assert_eq!(order.scope, 2);
    let (who, peers) = told.split_at(order.own_len as usize);
    assert_eq!(who, b"\x02\x11\0spiffe://a.test/b");
    assert_eq!(peers, b"\x01\x02\x06\0a.test");
    for cut in [&told[1..], &told[..told.len() - 1], &[told, b"x"].concat()] {
        Terms::decode(cut).unwrap_err();
    }
}

#[test]
fn for_svids() {
    let der = [0x30, 0];
    let mut buffer = [0; 100];
    let chain = [tidelock_wire::Certificate::new(&der).unwrap()];
    let chain = Certificates::encode(chain, &mut buffer).unwrap();
    let expected = Order {
        id: 7,
        kind: Kind::Issued,
        ..Order::NONE
    };
    assert_eq!(order(&Request::Issued(Issued::Svid(chain))), expected);
    let expected = Order {
        kind: Kind::NotIssued,
        reason: 41,
        ..expected
    };
    assert_eq!(order(&Request::Issued(Issued::Refused(41))), expected);
}

#[test]
fn for_who_is_trusted() {
    let bundle = Bundle {
        domain: TrustDomainRef::parse(b"a.test").unwrap(),
        authorities: Certificates::NONE,
    };
    let revocation = Revocation {
        what: Revoked::Authority([1; 32]),
        until: 0,
    };
    let expected = Order {
        id: 7,
        kind: Kind::Trust,
        ..Order::NONE
    };
    for message in [Request::Bundle(bundle), Request::Revoke(revocation)] {
        assert_eq!(order(&message), expected);
    }
}

fn facts() -> StatusFacts {
    StatusFacts {
        generation: 5,
        counters: Counters {
            connects: 21,
            dropped: 32,
            ..Counters::default()
        },
        mode: 3,
        deadline_ms: 10,
        waiting: 11,
        kept: 12,
    }
}

#[test]
fn a_status_is_told_as_the_shim_knows_it() {
    let bytes = written(|out| serve::status(9, &facts(), out));
    let Ok(Frame {
        id: 9,
        message: Answer::Status(status),
    }) = Frame::decode(&bytes)
    else {
        panic!("{bytes:?}");
    };
    assert_eq!((status.mode, status.generation), (Mode::Enforce, 5));
    assert_eq!(
        (status.deadline_ms, status.waiting, status.kept),
        (10, 11, 12)
    );
    assert_eq!(status.counters, facts().counters);
}

#[test]
fn a_status_in_no_mode_is_an_error() {
    for mode in [0, 4, 256 + 1, u32::MAX] {
        let facts = StatusFacts { mode, ..facts() };
        let status = serve::status(9, &facts, &mut [0; MAX_FRAME]);
        assert_eq!(status, Err(Errno::Invalid), "{mode}");
    }
    assert_eq!(
        serve::status(9, &facts(), &mut [0; 132]),
        Err(Errno::NoSpace)
    );
}
