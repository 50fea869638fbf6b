// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! Any message, and what is nearly one.

use std::{net::IpAddr, net::SocketAddr, ops::RangeInclusive, vec::Vec};

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{super::*, encoded, framed, samples};

fn hello() -> impl Strategy<Value = Hello> {
    let version = any::<(u16, u16, u16)>().prop_map(|(major, minor, patch)| Version {
        major,
        minor,
        patch,
    });
    let engine = prop_oneof![Just(EngineState::Ready), Just(EngineState::Dead)];
    (any::<(u32, u32, u64, u64)>(), version, engine).prop_map(
        |((abi, flags, panics, frames_refused), module, engine)| Hello {
            abi,
            module,
            capabilities: Capabilities::from_bits_retain(flags),
            engine,
            panics,
            frames_refused,
        },
    )
}

fn report() -> impl Strategy<Value = SelfTestReport> {
    let passed = any::<(u16, u16, u32, u32, u32)>().prop_map(
        |(cipher_suite, group, rounds, handshake_bytes, data_bytes)| {
            SelfTestOutcome::Passed(Passed {
                cipher_suite,
                group,
                rounds,
                handshake_bytes,
                data_bytes,
            })
        },
    );
    let failed = prop::sample::select(&SelfTestStep::ALL).prop_map(SelfTestOutcome::Failed);
    (prop_oneof![passed, failed], any::<(u32, u32)>()).prop_map(|(outcome, (size, high_water))| {
        SelfTestReport {
            outcome,
            stack: StackUse { size, high_water },
        }
    })
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(&[Mode::Off, Mode::Permissive, Mode::Enforce])
}

/// Any address in its one spelling.
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ]
    .prop_map(|ip| ip.to_canonical())
}

/// Any address and any length up to its width, with what is behind the length cut off.
fn prefix() -> impl Strategy<Value = Prefix> {
    (ip(), any::<Index>()).prop_map(|(ip, length)| {
        let (ip, length): (IpAddr, usize) = match ip {
            IpAddr::V4(ip) => {
                let length = length.index(33);
                let mask = u32::MAX.unbounded_shl(32 - u32::try_from(length).unwrap());
                (IpAddr::V4((ip.to_bits() & mask).into()), length)
            }
            IpAddr::V6(ip) => {
                let length = length.index(129);
                let mask = u128::MAX.unbounded_shl(128 - u32::try_from(length).unwrap());
                (IpAddr::V6((ip.to_bits() & mask).into()), length)
            }
        };
        Prefix::new(ip, length.try_into().unwrap()).unwrap()
    })
}

fn settings() -> impl Strategy<Value = Settings> {
    let exempt = vec(prefix(), 0..=MAX_EXEMPT).prop_map(|list| Exempt::new(&list).unwrap());
    (mode(), any::<u64>(), DEADLINE_MS, exempt).prop_map(
        |(mode, generation, deadline_ms, exempt)| Settings {
            mode,
            generation,
            deadline_ms,
            exempt,
        },
    )
}

/// Leaked, so that a message may be passed on: a test's process is short.
fn leaked(text: &str) -> &'static [u8] {
    Vec::from(text).leak()
}

fn workload() -> impl Strategy<Value = SpiffeIdRef<'static>> {
    "spiffe://[a-z0-9._-]{1,9}(/[a-z][a-zA-Z0-9._-]{0,9}){1,3}"
        .prop_map(|text| SpiffeIdRef::workload(leaked(&text)).unwrap())
}

fn domain() -> impl Strategy<Value = TrustDomainRef<'static>> {
    "[a-z0-9._-]{1,20}".prop_map(|text| TrustDomainRef::parse(leaked(&text)).unwrap())
}

fn peer() -> impl Strategy<Value = Peer<'static>> {
    prop_oneof![
        workload().prop_map(Peer::Workload),
        domain().prop_map(Peer::Domain),
    ]
}

fn terms() -> impl Strategy<Value = Terms<'static>> {
    let scope = prop::sample::select(&[Scope::Process, Scope::Workload]);
    let peers = vec(peer(), 1..=usize::from(MAX_PEERS));
    (scope, workload(), peers).prop_map(|(scope, own, peers)| Terms {
        scope,
        own,
        peers: samples::list(&peers),
    })
}

fn certificates(count: RangeInclusive<usize>) -> impl Strategy<Value = Certificates<'static>> {
    let der = prop_oneof![9 => 1..40_usize, 1 => 700..=700_usize]
        .prop_flat_map(|len| vec(any::<u8>(), len));
    vec(der, count).prop_map(|list| {
        let list: Vec<_> = list
            .iter()
            .map(|der| Certificate::new(der).unwrap())
            .collect();
        samples::list(&list)
    })
}

fn issued() -> impl Strategy<Value = Issued<'static>> {
    prop_oneof![
        certificates(1..=4).prop_map(Issued::Svid),
        (0..Verdict::KERNEL_REASONS).prop_map(Issued::Refused),
    ]
}

fn bundle() -> impl Strategy<Value = Bundle<'static>> {
    let authorities = certificates(0..=usize::from(MAX_AUTHORITIES));
    (domain(), authorities).prop_map(|(domain, authorities)| Bundle {
        domain,
        authorities,
    })
}

fn revocation() -> impl Strategy<Value = Revocation<'static>> {
    let what = prop_oneof![
        workload().prop_map(Revoked::Workload),
        any::<[u8; 32]>().prop_map(Revoked::Authority),
    ];
    (what, any::<u64>()).prop_map(|(what, until)| Revocation { what, until })
}

fn sign() -> impl Strategy<Value = Sign<'static>> {
    let csr = prop_oneof![1..40_usize, MAX_CSR..=MAX_CSR]
        .prop_flat_map(|len| vec(any::<u8>(), len))
        .prop_map(|bytes| &*bytes.leak());
    (ask(), csr).prop_map(|(ask, csr)| Sign { ask, csr })
}

fn verdict() -> impl Strategy<Value = Verdict<'static>> {
    let decision = prop_oneof![
        Just(Decision::Deny),
        Just(Decision::Plain),
        terms().prop_map(Decision::Mtls),
    ];
    let reason = 0..Verdict::KERNEL_REASONS;
    (decision, reason, 0..=MAX_TTL_MS, any::<u64>()).prop_map(
        |(decision, reason, ttl_ms, generation)| Verdict {
            decision,
            reason,
            ttl_ms,
            generation,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    (mode(), any::<u64>(), any::<[u32; 3]>(), any::<[u64; 12]>()).prop_map(
        |(mode, generation, [deadline_ms, waiting, kept], n)| Status {
            mode,
            generation,
            deadline_ms,
            waiting,
            kept,
            counters: Counters {
                connects: n[0],
                accepts: n[1],
                hits: n[2],
                asks: n[3],
                allowed: n[4],
                denied: n[5],
                would_deny: n[6],
                timeouts: n[7],
                overflows: n[8],
                late: n[9],
                stale: n[10],
                dropped: n[11],
            },
        },
    )
}

fn text() -> impl Strategy<Value = Text<'static>> {
    let whole = |len| {
        // Leaked, so that a message may be passed on: a test's process is short.
        vec(any::<u8>(), len).prop_map(|bytes| Text::Whole(bytes.leak()))
    };
    prop_oneof![
        Just(Text::Unknown),
        whole(0..=40),
        whole(MAX_PATH..=MAX_PATH)
    ]
}

fn task() -> impl Strategy<Value = Task<'static>> {
    let numbers = any::<([u32; 13], [u64; 3], i64, [u8; 16])>();
    (numbers, text(), text()).prop_map(|((n, w, changed, comm), executable_path, cgroup_path)| {
        Task {
            tgid: n[0],
            started: w[0],
            uid: n[1],
            euid: n[2],
            gid: n[3],
            egid: n[4],
            executable: FileId {
                major: n[5],
                minor: n[6],
                inode: w[1],
                generation: n[7],
                changed,
            },
            cgroup: w[2],
            namespaces: Namespaces {
                network: n[8],
                mount: n[9],
                pid: n[10],
                user: n[11],
                cgroup: n[12],
            },
            comm,
            executable_path,
            cgroup_path,
        }
    })
}

fn ask() -> impl Strategy<Value = Ask<'static>> {
    let direction = prop::sample::select(&[Direction::Connect, Direction::Accept]);
    let address = || (ip(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    (direction, address(), address(), task()).prop_map(|(direction, local, remote, task)| Ask {
        direction,
        local,
        remote,
        task,
    })
}

pub(super) fn answer() -> impl Strategy<Value = Frame<Answer<'static>>> {
    let message = prop_oneof![
        hello().prop_map(Answer::Hello),
        report().prop_map(Answer::SelfTest),
        prop::sample::select(&Refusal::ALL).prop_map(Answer::Refused),
        Just(Answer::Done),
        status().prop_map(Answer::Status),
        ask().prop_map(Answer::Ask),
        sign().prop_map(Answer::Sign),
    ];
    (any::<u64>(), message).prop_map(|(id, message)| Frame { id, message })
}

pub(super) fn request() -> impl Strategy<Value = Frame<Request<'static>>> {
    let message = prop_oneof![
        Just(Request::SelfTest),
        Just(Request::Status),
        settings().prop_map(Request::Configure),
        verdict().prop_map(Request::Verdict),
        issued().prop_map(Request::Issued),
        bundle().prop_map(Request::Bundle),
        revocation().prop_map(Request::Revoke),
        Just(Request::Fault),
    ];
    (any::<u64>(), message).prop_map(|(id, message)| Frame { id, message })
}

/// Any frame of either direction, as bytes.
pub(super) fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        answer().prop_map(|frame| encoded(&frame)),
        request().prop_map(|frame| encoded(&frame)),
    ]
}

/// A true header, mostly of a kind there is, and a payload of bytes that mostly mean something.
pub(super) fn near_frame() -> impl Strategy<Value = Vec<u8>> {
    let kinds: Vec<u8> = [samples::requests(), samples::answers()]
        .concat()
        .iter()
        .map(|(_, bytes)| bytes[3])
        .collect();
    let kind = prop_oneof![9 => prop::sample::select(kinds), 1 => any::<u8>()];
    let byte = prop_oneof![3 => Just(0), 3 => 1..8_u8, 1 => any::<u8>()];
    (kind, any::<u64>(), vec(byte, 0..180)).prop_map(|(kind, id, payload)| {
        // Longer payloads are cut to the one length that the kind has, where it has one.
        let len = match kind {
            0x01 | 0x02 | 0x7f | 0x85 => 0,
            0x81 => 34,
            0x82 => 25,
            0x83 => 4,
            0x84 => 117,
            _ => payload.len(),
        };
        framed(kind, id, &payload[..len.min(payload.len())])
    })
}

/// A true frame with bytes changed, put in or taken out; its header says the new length.
pub(super) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let change = (0..3_u8, any::<Index>(), any::<u8>());
    (any_frame(), vec(change, 1..4)).prop_map(|(mut bytes, changes)| {
        for (what, at, byte) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Some(payload) = bytes.len().checked_sub(HEADER_LEN) {
            let declared = u32::try_from(payload).unwrap().to_le_bytes();
            bytes[4..8].copy_from_slice(&declared);
        }
        bytes
    })
}
