// SPDX-License-Identifier: GPL-2.0-only
//! Handshakes as C moves their bytes: record by record, between two of them.

use std::{
    mem::MaybeUninit,
    ptr::{null, null_mut},
    sync::Arc,
};

use tidelock_tls::{Identity, SpiffeId, Trust, TrustDomain, testing::TestAuthority};
use tidelock_wire::{Decision, Peer, Peers, Request, Scope, SpiffeIdRef, Terms, Verdict};

use super::request;
use crate::{
    exports_held::tdl_core_free,
    exports_tls::{tdl_core_output, tdl_core_receive, tdl_core_records, tdl_core_shake},
    platform::Kernel,
    tls::{RecordsFacts, Tls},
};

const CLIENT: &str = "spiffe://a.test/client";
const SERVER: &str = "spiffe://a.test/server";
const CONNECT: u32 = 1;
const ACCEPT: u32 = 2;

struct World {
    authority: TestAuthority,
    trust: Arc<Trust>,
}

impl World {
    fn new() -> Self {
        let domain = TrustDomain::parse("a.test").unwrap();
        let authority = TestAuthority::new::<Kernel>(domain.clone()).unwrap();
        let trust = Trust::nobody().with_bundle(domain, [authority.root()]);
        Self {
            trust: Arc::new(trust.unwrap()),
            authority,
        }
    }

    fn identity(&self, id: &str) -> Identity {
        let id = SpiffeId::parse(id).unwrap();
        self.authority.issue::<Kernel>(&id).unwrap()
    }
}

/// Terms as C keeps them: who speaks, and with whom.
fn terms(own: &str, peer: &str) -> Vec<u8> {
    let mut buffer = [0; 100];
    let parsed = |id: &'static str| SpiffeIdRef::parse(id.as_bytes()).unwrap();
    let peer = Peer::Workload(parsed(peer.to_owned().leak()));
    let terms = Terms {
        scope: Scope::Process,
        own: parsed(own.to_owned().leak()),
        peers: Peers::encode([peer], &mut buffer).unwrap(),
    };
    let frame = request(&Request::Verdict(Verdict {
        decision: Decision::Mtls(terms),
        reason: 1,
        ttl_ms: 2,
        generation: 3,
    }));
    frame[frame.len() - terms.encoded_len()..].to_vec()
}

/// One end, as C has it.
struct End(*mut Tls);

impl End {
    fn new(direction: u32, identity: &Identity, trust: *const Arc<Trust>, terms: &[u8]) -> Self {
        let mut tls = null_mut();
        // SAFETY: all of it is live, or null where it may be.
        let ret = unsafe {
            tdl_core_shake(
                direction,
                identity,
                trust,
                terms.as_ptr(),
                terms.len(),
                &raw mut tls,
            )
        };
        assert_eq!(ret, 0);
        Self(tls)
    }

    /// All that is to be sent, taken in pieces.
    fn output(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut out = [0; 100];
        loop {
            // SAFETY: both are live and nobody else's.
            let len = unsafe { tdl_core_output(self.0, out.as_mut_ptr(), out.len()) };
            match usize::try_from(len).unwrap() {
                0 => return all,
                len => all.extend_from_slice(&out[..len]),
            }
        }
    }

    fn receive(&self, bytes: &[u8]) -> isize {
        // SAFETY: it is live and nobody else's, as the bytes are.
        unsafe { tdl_core_receive(self.0, bytes.as_ptr(), bytes.len()) }
    }

    fn records(self) -> Result<RecordsFacts, isize> {
        let mut records = MaybeUninit::<RecordsFacts>::zeroed();
        // SAFETY: the handshake is used no more; zeroes are records.
        let ret = unsafe { tdl_core_records(self.0, records.as_mut_ptr()) };
        if ret == 0 {
            // SAFETY: it was initialised.
            return Ok(unsafe { records.assume_init() });
        }
        Err(ret)
    }

    fn free(self) {
        // SAFETY: it is used no more.
        assert_eq!(unsafe { tdl_core_free(4, self.0.cast()) }, 0);
    }
}

fn pair(world: &World, expected: &str) -> (End, End) {
    let (client, server) = (world.identity(CLIENT), world.identity(SERVER));
    let trust = &raw const world.trust;
    (
        End::new(CONNECT, &client, trust, &terms(CLIENT, expected)),
        End::new(ACCEPT, &server, trust, &terms(SERVER, CLIENT)),
    )
}

/// Hands a flight over record by record, as long as that is good; what the last one came to.
fn carry(from: &End, to: &End) -> isize {
    let flight = from.output();
    let mut rest = &flight[..];
    let mut last = 0;
    while let [_, _, _, high, low, ..] = rest {
        let (record, after) = rest.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
        last = to.receive(record);
        if last < 0 {
            break;
        }
        rest = after;
    }
    last
}

#[test]
fn both_ends_come_to_the_same_records() {
    let world = World::new();
    let (client, server) = pair(&world, SERVER);
    assert_eq!(carry(&client, &server), 0);
    assert_eq!(carry(&server, &client), 1, "the client is done");
    assert_eq!(carry(&client, &server), 1, "and so is the server");
    assert_eq!(server.output(), b"", "no tickets");
    let (client, server) = (client.records().unwrap(), server.records().unwrap());
    let named = |records: &RecordsFacts| {
        let id = &records.peer[..records.peer_len as usize];
        String::from_utf8(id.to_vec()).unwrap()
    };
    assert_eq!(named(&client), SERVER);
    assert_eq!(named(&server), CLIENT);
    let of = |traffic: &crate::tls::TrafficFacts| (traffic.key, traffic.iv, traffic.sequence);
    assert_eq!(of(&client.tx), of(&server.rx));
    assert_eq!(of(&client.rx), of(&server.tx));
    assert_ne!(client.tx.key, client.rx.key);
    assert_eq!(client.tx.sequence, 0);
    let agreed = |records: &RecordsFacts| (records.cipher, records.suite, records.group);
    assert_eq!(agreed(&client), agreed(&server));
    assert!((1..=3).contains(&client.cipher));
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(client.until > now);
}

#[test]
fn who_is_not_expected_is_refused_and_told() {
    let world = World::new();
    let (client, server) = pair(&world, "spiffe://a.test/other");
    assert_eq!(carry(&client, &server), 0);
    assert_eq!(carry(&server, &client), -129);
    // An alert, which ends the other.
    assert!(carry(&client, &server) < 0);
    assert_eq!(client.records().err(), Some(-22));
    server.free();
}

#[test]
fn without_trust_nobody_is_trusted() {
    let world = World::new();
    let client = world.identity(CLIENT);
    let client = End::new(CONNECT, &client, null(), &terms(CLIENT, SERVER));
    let (other, server) = pair(&world, SERVER);
    other.free();
    assert_eq!(carry(&client, &server), 0);
    assert_eq!(carry(&server, &client), -129);
    client.free();
    server.free();
}

#[test]
fn what_is_no_handshake_fails() {
    let world = World::new();
    let (client, server) = pair(&world, SERVER);
    assert_eq!(server.receive(b"GET / HTTP/1.1\r\n\r\n"), -71);
    assert_eq!(server.receive(b"x"), -71, "and stays failed");
    client.free();
    server.free();
}

#[test]
fn there_are_no_records_before_the_end() {
    let world = World::new();
    let (client, server) = pair(&world, SERVER);
    assert_eq!(carry(&client, &server), 0);
    assert_eq!(carry(&server, &client), 1);
    // Its last flight is still to be sent.
    assert_eq!(client.records().err(), Some(-22));
    server.free();
}

#[test]
fn without_terms_or_a_side_there_is_none() {
    let world = World::new();
    let identity = world.identity(CLIENT);
    let terms = terms(CLIENT, SERVER);
    for (direction, terms) in [
        (CONNECT, &terms[1..]),
        (0, &terms[..]),
        (3, &terms),
        (256 + 1, &terms),
    ] {
        let mut tls = null_mut();
        // SAFETY: all of it is live.
        let ret = unsafe {
            tdl_core_shake(
                direction,
                &raw const identity,
                null(),
                terms.as_ptr(),
                terms.len(),
                &raw mut tls,
            )
        };
        assert_eq!((ret, tls), (-22, null_mut()), "{direction}");
    }
}
