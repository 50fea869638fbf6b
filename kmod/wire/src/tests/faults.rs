// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Each thing that can be wrong with a frame has its name.

use std::{string::ToString, vec::Vec};

use super::{super::*, encoded, framed, samples};

fn refused<'a, M: Message<'a> + PartialEq + core::fmt::Debug>(bytes: &'a [u8]) -> DecodeError {
    Frame::<M>::decode(bytes).unwrap_err()
}

/// The payload of `message` with `bytes` at `at`.
#[track_caller]
fn with<'a, M: Message<'a>>(message: M, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = encoded(&Frame { id: 7, message });
    let at = HEADER_LEN + at;
    assert_ne!(&frame[at..at + bytes.len()], bytes, "nothing is changed");
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

fn value(field: &'static str, value: u64) -> DecodeError {
    DecodeError::Value { field, value }
}

#[test]
fn of_the_header() {
    let good = encoded(&Frame {
        id: 7,
        message: Request::SelfTest,
    });
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Frame::<Request<'_>>::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0), DecodeError::Magic { magic: 0x4400 });
    assert_eq!(with(2, 1), DecodeError::Version { version: 1 });
    assert_eq!(with(3, 0x81), DecodeError::Kind { kind: 0x81 });
    let declared = DecodeError::Length {
        declared: 9,
        actual: 0,
    };
    assert_eq!(with(4, 9), declared);
    let decode = |bytes: &[u8]| Frame::<Request<'_>>::decode(bytes).unwrap_err();
    assert_eq!(decode(&good[..15]), DecodeError::Truncated { len: 15 });
    assert_eq!(
        decode(&std::vec![0; MAX_FRAME + 1]),
        DecodeError::TooLong { len: MAX_FRAME + 1 }
    );
}

/// One byte less and one more than a frame of each kind has, well declared.
#[test]
fn of_the_payloads_length() {
    for (name, bytes) in [samples::requests(), samples::answers()].concat() {
        let (kind, payload) = (bytes[3], &bytes[HEADER_LEN..]);
        let longer = [payload, &[0]].concat();
        let shorter = payload.split_last().map(|(_, rest)| rest);
        for payload in shorter.into_iter().chain([longer.as_slice()]) {
            let frame = framed(kind, 7, payload);
            let error = if kind < 0x80 {
                refused::<Request<'_>>(&frame)
            } else {
                refused::<Answer<'_>>(&frame)
            };
            assert_eq!(error, DecodeError::Payload { kind }, "{name}");
        }
    }
}

/// Which kinds there are, of all 256.
#[test]
fn of_the_kind() {
    for kind in 0..=u8::MAX {
        let frame = framed(kind, 7, &[]);
        let request = Frame::<Request<'_>>::decode(&frame);
        let answer = Frame::<Answer<'_>>::decode(&frame);
        let unknown = DecodeError::Kind { kind };
        assert_eq!(
            request != Err(unknown),
            [0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x13, 0x7f].contains(&kind),
            "{kind:#04x}"
        );
        assert_eq!(
            answer != Err(unknown),
            [0x81, 0x82, 0x83, 0x84, 0x85, 0x90, 0x91].contains(&kind),
            "{kind:#04x}"
        );
    }
}

#[test]
fn of_a_verdict() {
    let bad = |at, bytes: &[u8]| {
        refused::<Request<'_>>(&with(Request::Verdict(samples::verdict()), at, bytes))
    };
    assert_eq!(bad(0, &[0]), value("the decision", 0));
    assert_eq!(bad(0, &[4]), value("the decision", 4));
    let reason = Verdict::KERNEL_REASONS;
    let error = value("the reason", reason.into());
    assert_eq!(bad(1, &reason.to_le_bytes()), error);
    let ttl = MAX_TTL_MS + 1;
    let error = value("the time to live", ttl.into());
    assert_eq!(bad(5, &ttl.to_le_bytes()), error);
    // A decision that has terms and one that has none.
    assert_eq!(bad(0, &[1]), DecodeError::Payload { kind: 0x10 });
    let plain = with(Request::Verdict(samples::plain()), 0, &[3]);
    let error = DecodeError::Payload { kind: 0x10 };
    assert_eq!(refused::<Request<'_>>(&plain), error);
    // The scope, the own identity, how many peers, a workload, a domain.
    assert_eq!(bad(17, &[0]), value("the scope of an SVID", 0));
    assert_eq!(bad(17, &[3]), value("the scope of an SVID", 3));
    assert_eq!(bad(20, b"S"), SpiffeIdError::Scheme.into());
    assert_eq!(bad(35, b"x"), SpiffeIdError::NoWorkload.into());
    assert_eq!(bad(36, b"\xe4"), SpiffeIdError::Path.into());
    for count in [0, MAX_PEERS + 1] {
        assert_eq!(
            bad(37, &[count]),
            value("the number of peers", count.into())
        );
    }
    assert_eq!(bad(37, &[1]), DecodeError::Payload { kind: 0x10 });
    assert_eq!(bad(37, &[3]), DecodeError::Payload { kind: 0x10 });
    assert_eq!(bad(38, &[0]), value("the kind of a peer", 0));
    assert_eq!(bad(38, &[3]), value("the kind of a peer", 3));
    assert_eq!(bad(56, b"x"), SpiffeIdError::NoWorkload.into());
    assert_eq!(bad(61, b"D"), SpiffeIdError::Domain.into());
}

#[test]
fn of_an_svid_a_bundle_and_a_revocation() {
    let bad = |message, at, bytes: &[u8]| refused::<Request<'_>>(&with(message, at, bytes));
    let svid = Request::Issued(Issued::Svid(samples::certificates()));
    let what = "what became of a request for an SVID";
    assert_eq!(bad(svid, 0, &[0]), value(what, 0));
    assert_eq!(bad(svid, 0, &[3]), value(what, 3));
    for count in [0, 5] {
        let error = value("the number of certificates of an SVID", count.into());
        assert_eq!(bad(svid, 1, &[count]), error);
    }
    assert_eq!(bad(svid, 1, &[3]), DecodeError::Payload { kind: 0x11 });
    // What was its first certificate is in the second one's way then.
    assert_eq!(bad(svid, 2, &[0]), value("the length of a certificate", 0));
    let refusal = Request::Issued(Issued::Refused(1));
    let reason = Verdict::KERNEL_REASONS;
    let error = value("the reason", reason.into());
    assert_eq!(bad(refusal, 1, &reason.to_le_bytes()), error);
    let bundle = Request::Bundle(samples::bundle());
    assert_eq!(bad(bundle, 2, b"A"), SpiffeIdError::Domain.into());
    assert_eq!(bad(bundle, 0, &[0]), SpiffeIdError::Domain.into());
    let count = MAX_AUTHORITIES + 1;
    let error = value("the number of authorities", count.into());
    assert_eq!(bad(bundle, 8, &[count]), error);
    let revoke = |what| Request::Revoke(samples::revocation(what));
    let workload = revoke(samples::workload());
    assert_eq!(bad(workload, 8, &[0]), value("the kind of a revocation", 0));
    assert_eq!(bad(workload, 8, &[3]), value("the kind of a revocation", 3));
    assert_eq!(bad(workload, 26, b"x"), SpiffeIdError::NoWorkload.into());
    let authority = revoke(samples::authority());
    assert_eq!(bad(authority, 8, &[1]), DecodeError::Payload { kind: 0x13 });
}

#[test]
fn of_settings() {
    let bad = |at, bytes: &[u8]| {
        refused::<Request<'_>>(&with(Request::Configure(samples::settings()), at, bytes))
    };
    assert_eq!(bad(0, &[0]), value("the mode", 0));
    assert_eq!(bad(0, &[4]), value("the mode", 4));
    for deadline in [DEADLINE_MS.start() - 1, DEADLINE_MS.end() + 1] {
        let error = value("the deadline", deadline.into());
        assert_eq!(bad(9, &deadline.to_le_bytes()), error);
    }
    assert_eq!(bad(13, &[33]), value("the number of exempt prefixes", 33));
    assert_eq!(bad(13, &[255]), value("the number of exempt prefixes", 255));
    // One prefix more or less than there are.
    assert_eq!(bad(13, &[1]), DecodeError::Payload { kind: 3 });
    assert_eq!(bad(13, &[3]), DecodeError::Payload { kind: 3 });
    // The first prefix is 10.1.0.0/16, the second fd00:1::/32.
    assert_eq!(bad(14, &[5]), value("the address family", 5));
    assert_eq!(bad(30, &[9]), value("the rest of an IPv4 address", 9));
    assert_eq!(bad(31, &[33]), value("the length of a prefix", 33));
    assert_eq!(bad(31, &[15]), value("the length of a prefix", 15));
    assert_eq!(bad(49, &[129]), value("the length of a prefix", 129));
    assert_eq!(bad(48, &[1]), value("the length of a prefix", 32));
    assert_eq!(bad(33, &MAPPED), value("the family of an IPv4 address", 6));
}

/// 192.0.2.1, spelled as IPv6.
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];

#[test]
fn of_a_status() {
    let bad = |at, bytes: &[u8]| {
        refused::<Answer<'_>>(&with(Answer::Status(samples::status()), at, bytes))
    };
    assert_eq!(bad(0, &[0]), value("the mode", 0));
    assert_eq!(bad(0, &[9]), value("the mode", 9));
}

#[test]
fn of_an_ask() {
    fn bad(at: usize, bytes: &[u8]) -> DecodeError {
        let frame = with(Answer::Ask(samples::ask()), at, bytes);
        Frame::<Answer<'_>>::decode(&frame).unwrap_err()
    }
    assert_eq!(bad(0, &[0]), value("the direction", 0));
    assert_eq!(bad(0, &[3]), value("the direction", 3));
    // This end is an IPv4 address, the other IPv6.
    assert_eq!(bad(1, &[0]), value("the address family", 0));
    assert_eq!(bad(17, &[1]), value("the rest of an IPv4 address", 1));
    assert_eq!(bad(20, &[10]), value("the address family", 10));
    assert_eq!(bad(21, &MAPPED), value("the family of an IPv4 address", 6));
    let too_long = u16::try_from(MAX_PATH).unwrap() + 1;
    let error = value("the length of a path", too_long.into());
    for at in [139, 150] {
        assert_eq!(bad(at, &too_long.to_le_bytes()), error);
        assert_eq!(
            bad(at, &[0xfe, 0xff]),
            value("the length of a path", 0xfffe)
        );
        // Longer than the frame.
        assert_eq!(bad(at, &[100, 0]), DecodeError::Payload { kind: 0x90 });
    }
}

#[test]
fn of_a_request_for_an_svid() {
    let at = samples::ask_len();
    let bad = |bytes: &[u8]| refused::<Answer<'_>>(&with(Answer::Sign(samples::sign()), at, bytes));
    assert_eq!(bad(&[0, 0]), value(CSR, 0));
    let mut payload = encoded(&Frame {
        id: 7,
        message: Answer::Ask(samples::ask()),
    });
    payload.drain(..HEADER_LEN);
    let too_long = u16::try_from(MAX_CSR).unwrap() + 1;
    payload.extend(too_long.to_le_bytes());
    payload.extend(std::vec![0; too_long.into()]);
    let error = refused::<Answer<'_>>(&framed(0x91, 7, &payload));
    assert_eq!(error, value(CSR, too_long.into()));
}

const CSR: &str = "the length of a request for a certificate";

/// A list is too long before any of its members is: the frame would hold it.
#[test]
fn of_a_list_that_is_too_long() {
    let der = std::vec![1; MAX_LIST / 2];
    let one = Certificate::new(&der).unwrap();
    let authorities: Certificates<'_> = samples::list(&[one; 2]);
    let error = (LIST, (MAX_LIST + 4) as u64);
    let bundle = Bundle {
        authorities,
        ..samples::bundle()
    };
    let frame = Frame {
        id: 7,
        message: Request::Bundle(bundle),
    };
    let unwritten = frame.encode(&mut [0; MAX_FRAME]).unwrap_err();
    let (field, value) = error;
    assert_eq!(unwritten, EncodeError::Value { field, value });
    let len = u16::try_from(der.len()).unwrap().to_le_bytes();
    let pieces: [&[u8]; 7] = [&[6, 0], b"a.test", &[2], &len, &der, &len, &der];
    let error = refused::<Request<'_>>(&framed(0x12, 7, &pieces.concat()));
    assert_eq!(error, DecodeError::Value { field, value });
}

const LIST: &str = "the length of a list";

#[test]
fn of_a_hello_a_refusal_and_a_self_test() {
    let hello = with(Answer::Hello(samples::hello()), 14, &[3]);
    assert_eq!(
        refused::<Answer<'_>>(&hello),
        value("the engine's state", 3)
    );
    for number in [0, 4] {
        let refusal = with(Answer::Refused(Refusal::Unsupported), 0, &[number]);
        let error = value("the refusal's reason", number.into());
        assert_eq!(refused::<Answer<'_>>(&refusal), error);
    }
    let failed = Answer::SelfTest(SelfTestReport {
        outcome: SelfTestOutcome::Failed(SelfTestStep::Data),
        stack: StackUse::default(),
    });
    let step = with(failed, 0, &[8]);
    assert_eq!(
        refused::<Answer<'_>>(&step),
        value("the self-test's step", 8)
    );
    let measure = with(failed, 5, &[9]);
    let error = value("a measure of a failed self-test", 9);
    assert_eq!(refused::<Answer<'_>>(&measure), error);
}

fn unwritten<'a>(message: impl Message<'a>) -> EncodeError {
    let frame = Frame { id: 7, message };
    frame.encode(&mut [0; MAX_FRAME]).unwrap_err()
}

fn unfit(field: &'static str, value: u64) -> EncodeError {
    EncodeError::Value { field, value }
}

/// What is refused when it is read is refused when it is written.
#[test]
fn of_what_is_to_be_written() {
    let verdict = samples::verdict();
    let reason = Verdict::KERNEL_REASONS;
    let error = unwritten(Request::Verdict(Verdict { reason, ..verdict }));
    assert_eq!(error, unfit("the reason", reason.into()));
    let ttl_ms = MAX_TTL_MS + 1;
    let error = unwritten(Request::Verdict(Verdict { ttl_ms, ..verdict }));
    assert_eq!(error, unfit("the time to live", ttl_ms.into()));
    for deadline_ms in [DEADLINE_MS.start() - 1, DEADLINE_MS.end() + 1] {
        let error = unwritten(Request::Configure(Settings {
            deadline_ms,
            ..samples::settings()
        }));
        assert_eq!(error, unfit("the deadline", deadline_ms.into()));
    }
    let addressed = |remote: &str| {
        unwritten(Answer::Ask(Ask {
            remote: remote.parse().unwrap(),
            ..samples::ask()
        }))
    };
    let error = unfit("the family of an IPv4 address", 6);
    assert_eq!(addressed("[::ffff:192.0.2.1]:80"), error);
    let error = unfit("the scope or flow label of an address", 2);
    assert_eq!(addressed("[fe80::1%2]:80"), error);
    for len in [MAX_PATH + 1, 0xffff, 0x1_0000] {
        let path = std::vec![b'a'; len];
        let task = Task {
            cgroup_path: Text::Whole(&path),
            ..samples::ask().task
        };
        let error = unwritten(Answer::Ask(Ask {
            task,
            ..samples::ask()
        }));
        assert_eq!(error, unfit("the length of a path", len as u64));
    }
}

/// The same, of identities.
#[test]
fn of_what_is_to_be_written_about_identities() {
    let (verdict, reason) = (samples::verdict(), Verdict::KERNEL_REASONS);
    for len in [0, MAX_CSR + 1, 0x1_0000] {
        let csr = std::vec![1; len];
        let error = unwritten(Answer::Sign(Sign {
            csr: &csr,
            ..samples::sign()
        }));
        assert_eq!(error, unfit(CSR, len as u64));
    }
    let decided = |terms| {
        unwritten(Request::Verdict(Verdict {
            decision: Decision::Mtls(terms),
            ..verdict
        }))
    };
    let error = decided(Terms {
        own: samples::id("spiffe://a.test"),
        ..samples::terms()
    });
    assert_eq!(error, SpiffeIdError::NoWorkload.into());
    let peer = Peer::Domain(samples::domain("d.test"));
    for count in [0, usize::from(MAX_PEERS) + 1] {
        let error = decided(Terms {
            peers: samples::list(&std::vec![peer; count]),
            ..samples::terms()
        });
        assert_eq!(error, unfit("the number of peers", count as u64));
    }
    let error = unwritten(Request::Issued(Issued::Svid(Certificates::NONE)));
    assert_eq!(error, unfit("the number of certificates of an SVID", 0));
    let error = unwritten(Request::Issued(Issued::Refused(reason)));
    assert_eq!(error, unfit("the reason", reason.into()));
    let revoked = Revoked::Workload(samples::id("spiffe://a.test"));
    let error = unwritten(Request::Revoke(samples::revocation(revoked)));
    assert_eq!(error, SpiffeIdError::NoWorkload.into());
}

#[test]
fn errors_are_told_in_words() {
    let told = value("the mode", 9).to_string();
    assert_eq!(told, "the mode cannot be 9");
    let told = EncodeError::Capacity { capacity: 3 }.to_string();
    assert_eq!(told, "the frame does not fit into 3 bytes");
}
