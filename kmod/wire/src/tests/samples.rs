// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! One frame of each kind, none of whose numbers is another's.

use std::{vec, vec::Vec};

use super::{super::*, encoded};

/// A frame, by the name of its seed in `fuzz/seeds`.
pub(super) type Sample = (&'static str, Vec<u8>);

pub(super) fn requests() -> Vec<Sample> {
    let sample = |name, message| (name, encoded(&Frame { id: 7, message }));
    let nothing = Settings {
        mode: Mode::Off,
        exempt: Exempt::NONE,
        ..settings()
    };
    vec![
        sample("self-test", Request::SelfTest),
        sample("status", Request::Status),
        sample("configure", Request::Configure(settings())),
        sample("configure-nothing", Request::Configure(nothing)),
        sample("verdict", Request::Verdict(verdict())),
        sample("verdict-plain", Request::Verdict(plain())),
        sample("issued", Request::Issued(Issued::Svid(certificates()))),
        sample(
            "issued-refused",
            Request::Issued(Issued::Refused(0x0403_0201)),
        ),
        sample("bundle", Request::Bundle(bundle())),
        sample("bundle-withdrawn", Request::Bundle(withdrawn())),
        sample("revoke-workload", Request::Revoke(revocation(workload()))),
        sample("revoke-authority", Request::Revoke(revocation(authority()))),
        sample("fault", Request::Fault),
    ]
}

pub(super) fn answers() -> Vec<Sample> {
    let sample = |name, message| (name, encoded(&Frame { id: 7, message }));
    let report = |outcome| SelfTestReport {
        outcome,
        stack: StackUse {
            size: 65536,
            high_water: 20000,
        },
    };
    let passed = SelfTestOutcome::Passed(Passed {
        cipher_suite: 0x1301,
        group: 29,
        rounds: 3,
        handshake_bytes: 2000,
        data_bytes: 10,
    });
    let failed = SelfTestOutcome::Failed(SelfTestStep::Data);
    let nameless = Ask {
        direction: Direction::Accept,
        remote: "192.0.2.1:0".parse().unwrap(),
        local: "192.0.2.2:80".parse().unwrap(),
        task: Task {
            executable_path: Text::Unknown,
            cgroup_path: Text::Unknown,
            ..ask().task
        },
    };
    vec![
        sample("hello", Answer::Hello(hello())),
        sample("self-test-passed", Answer::SelfTest(report(passed))),
        sample("self-test-failed", Answer::SelfTest(report(failed))),
        sample("refused", Answer::Refused(Refusal::Unsupported)),
        sample("status", Answer::Status(status())),
        sample("done", Answer::Done),
        sample("ask", Answer::Ask(ask())),
        sample("ask-nameless", Answer::Ask(nameless)),
        sample("sign", Answer::Sign(sign())),
    ]
}

pub(super) fn hello() -> Hello {
    Hello {
        abi: 1,
        module: Version {
            major: 2,
            minor: 3,
            patch: 4,
        },
        capabilities: Capabilities::KTLS | Capabilities::IPV6,
        engine: EngineState::Dead,
        panics: 5,
        frames_refused: 6,
    }
}

/// Members of a list, for as long as the test runs.
pub(super) fn list<'m, M: Member<'static>, N: Member<'m, Kind = M::Kind>>(
    members: &[N],
) -> List<'static, M> {
    let buffer = vec![0; MAX_LIST + 100].leak();
    List::encode(members.iter().copied(), buffer).unwrap()
}

pub(super) fn id(text: &'static str) -> SpiffeIdRef<'static> {
    SpiffeIdRef::parse(text.as_bytes()).unwrap()
}

pub(super) fn domain(name: &'static str) -> TrustDomainRef<'static> {
    TrustDomainRef::parse(name.as_bytes()).unwrap()
}

pub(super) fn terms() -> Terms<'static> {
    let peers = [
        Peer::Workload(id("spiffe://b.test/c")),
        Peer::Domain(domain("d.test")),
    ];
    Terms {
        scope: Scope::Workload,
        own: id("spiffe://a.test/b"),
        peers: list(&peers),
    }
}

pub(super) fn certificates() -> Certificates<'static> {
    list(&[b"leaf".as_slice(), b"issuer"].map(|der| Certificate::new(der).unwrap()))
}

pub(super) fn bundle() -> Bundle<'static> {
    Bundle {
        domain: domain("a.test"),
        authorities: certificates(),
    }
}

pub(super) fn withdrawn() -> Bundle<'static> {
    Bundle {
        authorities: Certificates::NONE,
        ..bundle()
    }
}

pub(super) fn workload() -> Revoked<'static> {
    Revoked::Workload(id("spiffe://a.test/b"))
}

pub(super) fn authority() -> Revoked<'static> {
    Revoked::Authority(core::array::from_fn(|at| u8::try_from(at + 100).unwrap()))
}

pub(super) fn revocation(what: Revoked<'static>) -> Revocation<'static> {
    Revocation {
        what,
        until: 0x0807_0605_0403_0201,
    }
}

pub(super) fn sign() -> Sign<'static> {
    Sign {
        ask: ask(),
        csr: b"request",
    }
}

pub(super) fn plain() -> Verdict<'static> {
    Verdict {
        decision: Decision::Plain,
        ..verdict()
    }
}

pub(super) fn verdict() -> Verdict<'static> {
    Verdict {
        decision: Decision::Mtls(terms()),
        reason: 0x0403_0201,
        ttl_ms: 0x0003_0201,
        generation: 0x0807_0605_0403_0201,
    }
}

pub(super) fn settings() -> Settings {
    let prefix = |ip: &str, length| Prefix::new(ip.parse().unwrap(), length).unwrap();
    let exempt = [prefix("10.1.0.0", 16), prefix("fd00:1::", 32)];
    Settings {
        mode: Mode::Enforce,
        generation: 0x0807_0605_0403_0201,
        deadline_ms: 0x0201,
        exempt: Exempt::new(&exempt).unwrap(),
    }
}

pub(super) fn status() -> Status {
    Status {
        mode: Mode::Permissive,
        generation: 0x0807_0605_0403_0201,
        deadline_ms: 10,
        waiting: 11,
        kept: 12,
        counters: Counters {
            connects: 21,
            accepts: 22,
            hits: 23,
            asks: 24,
            allowed: 25,
            denied: 26,
            would_deny: 27,
            timeouts: 28,
            overflows: 29,
            late: 30,
            stale: 31,
            dropped: 32,
        },
    }
}

/// Of its payload.
pub(super) fn ask_len() -> usize {
    let message = Answer::Ask(ask());
    encoded(&Frame { id: 7, message }).len() - HEADER_LEN
}

pub(super) fn ask() -> Ask<'static> {
    Ask {
        direction: Direction::Connect,
        local: "10.1.2.3:258".parse().unwrap(),
        remote: "[fd00::1]:772".parse().unwrap(),
        task: Task {
            tgid: 1,
            started: 2,
            uid: 3,
            euid: 4,
            gid: 5,
            egid: 6,
            executable: FileId {
                major: 7,
                minor: 8,
                inode: 9,
                generation: 10,
                changed: -2,
            },
            cgroup: 11,
            namespaces: Namespaces {
                network: 12,
                mount: 13,
                pid: 14,
                user: 15,
                cgroup: 16,
            },
            comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
            executable_path: Text::Whole(b"/bin/curl"),
            cgroup_path: Text::Whole(b"/"),
        },
    }
}
