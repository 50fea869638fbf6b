// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! What a frame of each kind looks like. A change here is another wire version or ABI.

use std::vec::Vec;

use super::{super::*, encoded, framed, samples};

/// `message` has this kind and this payload.
#[track_caller]
fn assert_bytes<'a>(message: impl Message<'a>, kind: u8, payload: &[&[u8]]) {
    let id = 0x0102_0304_0506_0708;
    let payload = payload.concat();
    assert_eq!(
        encoded(&Frame { id, message }),
        framed(kind, id, &payload),
        "the payload's length should be {}",
        payload.len()
    );
}

const WIDE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

#[test]
fn the_header() {
    let message = Request::SelfTest;
    let id = 0x0102_0304_0506_0708;
    assert_eq!(
        encoded(&Frame { id, message }),
        [b'T', b'D', 2, 1, 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]
    );
}

#[test]
fn requests_without_a_payload() {
    assert_bytes(Request::SelfTest, 0x01, &[]);
    assert_bytes(Request::Status, 0x02, &[]);
    assert_bytes(Request::Fault, 0x7f, &[]);
}

#[test]
fn settings() {
    let message = Request::Configure(samples::settings());
    let ip4 = [10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let ip6 = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_bytes(
        message,
        0x03,
        &[
            // Mode, generation, deadline, how many prefixes.
            &[3],
            &WIDE,
            &[1, 2, 0, 0],
            &[2],
            // Family, address, length.
            &[4],
            &ip4,
            &[16],
            &[6],
            &ip6,
            &[32],
        ],
    );
}

#[test]
fn a_verdict() {
    // Decision, reason, time to live, generation.
    let pieces: &[&[u8]] = &[&[2], &[1, 2, 3, 4], &[1, 2, 3, 0], &WIDE];
    assert_bytes(Request::Verdict(samples::plain()), 0x10, pieces);
    let deny = Verdict {
        decision: Decision::Deny,
        ..samples::plain()
    };
    let mut pieces = pieces.to_vec();
    pieces[0] = &[1];
    assert_bytes(Request::Verdict(deny), 0x10, &pieces);
    pieces[0] = &[3];
    pieces.extend([
        // Scope, own identity.
        [2].as_slice(),
        &[17, 0],
        b"spiffe://a.test/b",
        // How many peers: a workload, a domain.
        &[2],
        &[1, 17, 0],
        b"spiffe://b.test/c",
        &[2, 6, 0],
        b"d.test",
    ]);
    assert_bytes(Request::Verdict(samples::verdict()), 0x10, &pieces);
    let terms = Terms {
        scope: Scope::Process,
        ..samples::terms()
    };
    let verdict = Verdict {
        decision: Decision::Mtls(terms),
        ..samples::verdict()
    };
    pieces[4] = &[1];
    assert_bytes(Request::Verdict(verdict), 0x10, &pieces);
}

/// How many, and each with its length.
const CERTIFICATES: [&[u8]; 5] = [&[2], &[4, 0], b"leaf", &[6, 0], b"issuer"];

#[test]
fn what_came_of_a_request_for_an_svid() {
    let svid = Issued::Svid(samples::certificates());
    let pieces = [[[1].as_slice()].as_slice(), &CERTIFICATES].concat();
    assert_bytes(Request::Issued(svid), 0x11, &pieces);
    let refused = Issued::Refused(0x0403_0201);
    assert_bytes(Request::Issued(refused), 0x11, &[&[2], &[1, 2, 3, 4]]);
}

#[test]
fn a_bundle() {
    let domain: [&[u8]; 2] = [&[6, 0], b"a.test"];
    let pieces = [domain.as_slice(), &CERTIFICATES].concat();
    assert_bytes(Request::Bundle(samples::bundle()), 0x12, &pieces);
    let pieces = [domain.as_slice(), &[&[0]]].concat();
    assert_bytes(Request::Bundle(samples::withdrawn()), 0x12, &pieces);
}

#[test]
fn a_revocation() {
    let message = |what| Request::Revoke(samples::revocation(what));
    // Until when, what.
    let pieces: &[&[u8]] = &[&WIDE, &[1], &[17, 0], b"spiffe://a.test/b"];
    assert_bytes(message(samples::workload()), 0x13, pieces);
    let key: Vec<u8> = (100..132).collect();
    assert_bytes(message(samples::authority()), 0x13, &[&WIDE, &[2], &key]);
}

#[test]
fn a_hello() {
    assert_bytes(
        Answer::Hello(samples::hello()),
        0x81,
        &[
            // ABI, version, capabilities, state.
            &[1, 0, 0, 0],
            &[2, 0, 3, 0, 4, 0],
            &[0x21, 0, 0, 0],
            &[2, 0, 0, 0],
            // Panics, frames refused.
            &[5, 0, 0, 0, 0, 0, 0, 0],
            &[6, 0, 0, 0, 0, 0, 0, 0],
        ],
    );
}

#[test]
fn a_self_test() {
    let stack = StackUse {
        size: 0x0403_0201,
        high_water: 5,
    };
    let passed = Passed {
        cipher_suite: 0x1301,
        group: 29,
        rounds: 3,
        handshake_bytes: 0x0201,
        data_bytes: 4,
    };
    let report = |outcome| Answer::SelfTest(SelfTestReport { outcome, stack });
    let measured: &[u8] = &[1, 0x13, 29, 0, 3, 0, 0, 0, 1, 2, 0, 0, 4, 0, 0, 0];
    let stack: &[u8] = &[1, 2, 3, 4, 5, 0, 0, 0];
    let passed = report(SelfTestOutcome::Passed(passed));
    assert_bytes(passed, 0x82, &[&[0], measured, stack]);
    for (step, number) in SelfTestStep::ALL.into_iter().zip(1..) {
        let failed = report(SelfTestOutcome::Failed(step));
        assert_bytes(failed, 0x82, &[&[number], &[0; 16], stack]);
    }
}

#[test]
fn a_refusal() {
    for (refusal, number) in Refusal::ALL.into_iter().zip(1..) {
        assert_bytes(Answer::Refused(refusal), 0x83, &[&[number, 0, 0, 0]]);
    }
}

#[test]
fn that_something_is_done() {
    assert_bytes(Answer::Done, 0x85, &[]);
}

#[test]
fn a_status() {
    let counters: Vec<u8> = (21..33_u64).flat_map(u64::to_le_bytes).collect();
    assert_bytes(
        Answer::Status(samples::status()),
        0x84,
        &[
            // Mode, generation, deadline, waiting, kept, counters.
            &[2],
            &WIDE,
            &[10, 0, 0, 0],
            &[11, 0, 0, 0],
            &[12, 0, 0, 0],
            &counters,
        ],
    );
}

#[test]
fn an_ask() {
    let four = |number: u8| [number, 0, 0, 0];
    let eight = |number: u8| [number, 0, 0, 0, 0, 0, 0, 0];
    let pieces: &[&[u8]] = &[
        // Direction; family, address and port of this end and the other.
        &[1],
        &[4, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[2, 1],
        &[6, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[4, 3],
        // Process, users, groups.
        &four(1),
        &eight(2),
        &[four(3), four(4), four(5), four(6)].concat(),
        // Executable: device, inode, generation, change.
        &[four(7), four(8)].concat(),
        &eight(9),
        &four(10),
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        // Control group, namespaces.
        &eight(11),
        &[four(12), four(13), four(14), four(15), four(16)].concat(),
        // Names.
        b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        &[9, 0],
        b"/bin/curl",
        &[1, 0],
        b"/",
    ];
    assert_bytes(Answer::Ask(samples::ask()), 0x90, pieces);
    let signed = [pieces, &[&[7, 0], b"request"]].concat();
    assert_bytes(Answer::Sign(samples::sign()), 0x91, &signed);
    let task = Task {
        executable_path: Text::Unknown,
        cgroup_path: Text::Whole(b""),
        ..samples::ask().task
    };
    let ask = Ask {
        direction: Direction::Accept,
        task,
        ..samples::ask()
    };
    let mut pieces = pieces.to_vec();
    pieces[0] = &[2];
    pieces.truncate(pieces.len() - 4);
    pieces.extend([[0xff, 0xff].as_slice(), &[0, 0]]);
    assert_bytes(Answer::Ask(ask), 0x90, &pieces);
}
