// SPDX-License-Identifier: GPL-2.0-only OR MIT
//! The rules of single fields.

use std::{collections::BTreeSet, net::IpAddr, vec, vec::Vec};

use super::{super::*, encoded, samples};

#[test]
fn a_prefix_has_no_bits_behind_its_length() {
    let cases = [
        ("0.0.0.0", 0, true),
        ("128.0.0.0", 0, false),
        ("128.0.0.0", 1, true),
        ("10.0.0.0", 7, true),
        ("10.0.0.0", 6, false),
        ("10.1.2.3", 31, false),
        ("10.1.2.3", 32, true),
        ("10.1.2.3", 33, false),
        ("0.0.0.0", 33, false),
        ("0.0.0.0", 128, false),
        ("0.0.0.0", 255, false),
        ("::", 0, true),
        ("::1", 127, false),
        ("::1", 128, true),
        ("::1", 129, false),
        ("::", 129, false),
        ("::", 255, false),
        ("fd00::", 8, true),
        ("fd00::", 7, false),
        ("8000::", 0, false),
        // IPv4 in IPv6: nobody is looked up there.
        ("::ffff:10.0.0.0", 104, false),
        ("::ffff:0.0.0.0", 96, false),
        ("::fffe:0:0", 95, true),
    ];
    for (address, length, is_one) in cases {
        let address: IpAddr = address.parse().unwrap();
        let prefix = Prefix::new(address, length);
        assert_eq!(prefix.is_some(), is_one, "{address}/{length}");
        if let Some(prefix) = prefix {
            assert_eq!((prefix.address(), prefix.length()), (address, length));
        }
    }
}

#[test]
fn as_many_prefixes_are_exempt_as_there_is_room_for() {
    let list: Vec<Prefix> = (0..=MAX_EXEMPT)
        .map(|n| Prefix::new(IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]), 32).unwrap())
        .collect();
    assert_eq!(Exempt::new(&list), None);
    assert_eq!(
        Exempt::new(&list.repeat(8)),
        None,
        "more than a byte counts"
    );
    assert_eq!(Exempt::new(&[]), Some(Exempt::NONE));
    assert_eq!(Exempt::NONE.iter().count(), 0);
    for len in [1, 2, MAX_EXEMPT] {
        let exempt = Exempt::new(&list[..len]).unwrap();
        assert_eq!(exempt.iter().collect::<Vec<_>>(), list[..len]);
        let settings = Settings {
            exempt,
            ..samples::settings()
        };
        let bytes = encoded(&Frame {
            id: 1,
            message: Request::Configure(settings),
        });
        assert_eq!(bytes.len(), HEADER_LEN + 14 + len * 18);
    }
}

/// Both sides are built with these; what is refused changes with them.
#[test]
fn the_limits_are_these() {
    assert_eq!(DEADLINE_MS, 10..=60_000);
    assert_eq!(MAX_TTL_MS, 86_400_000, "a day");
    assert_eq!(Verdict::KERNEL_REASONS, 0xffff_0000);
    assert_eq!((MAX_EXEMPT, MAX_PATH, MAX_FRAME), (32, 1536, 16384));
    assert_eq!((MAX_LIST, MAX_CSR), (12_288, 2560));
    assert_eq!((MAX_PEERS, MAX_AUTHORITIES), (64, 16));
}

#[test]
fn the_modules_own_reasons_are_its_own() {
    let numbers: BTreeSet<u32> = KernelReason::ALL
        .into_iter()
        .map(KernelReason::number)
        .collect();
    assert_eq!(numbers.len(), KernelReason::ALL.len(), "each another");
    assert!(numbers.iter().all(|n| *n > Verdict::KERNEL_REASONS));
    for reason in KernelReason::ALL {
        assert_eq!(KernelReason::from_number(reason.number()), Some(reason));
    }
    for number in [0, Verdict::KERNEL_REASONS, u32::MAX] {
        assert_eq!(KernelReason::from_number(number), None);
    }
}

/// The module's C has these numbers too.
#[test]
fn numbers_mean_one_thing_each() {
    for number in 0..=u8::MAX {
        let direction = Direction::from_number(number).map(Direction::number);
        assert_eq!(direction, (1..=2).contains(&number).then_some(number));
        let scope = Scope::from_number(number).map(Scope::number);
        assert_eq!(scope, (1..=2).contains(&number).then_some(number));
        let mode = Mode::from_number(number).map(Mode::number);
        assert_eq!(mode, (1..=3).contains(&number).then_some(number));
    }
    let numbers = [Direction::Connect.number(), Direction::Accept.number()];
    assert_eq!(numbers, [1, 2]);
    let decisions = [
        Decision::Deny,
        Decision::Plain,
        Decision::Mtls(samples::terms()),
    ];
    assert_eq!(decisions.map(|decision| decision.number()), [1, 2, 3]);
    assert_eq!([Scope::Process, Scope::Workload].map(Scope::number), [1, 2]);
    let modes = [Mode::Off, Mode::Permissive, Mode::Enforce];
    assert_eq!(modes.map(Mode::number), [1, 2, 3]);
    assert_eq!(
        KernelReason::ALL.map(|reason| reason.number() & 0xffff),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    );
}

#[test]
fn the_longest_question_and_settings_fit() {
    let path = vec![b'x'; MAX_PATH];
    let task = Task {
        executable_path: Text::Whole(&path),
        cgroup_path: Text::Whole(&path),
        ..samples::ask().task
    };
    let ask = Ask {
        task,
        ..samples::ask()
    };
    let frame = Frame {
        id: u64::MAX,
        message: Answer::Ask(ask),
    };
    let bytes = encoded(&frame);
    assert_eq!(bytes.len(), 3231);
    assert!(bytes.len() <= MAX_FRAME);
    assert_eq!(Frame::decode(&bytes), Ok(frame));
}

/// Each frame fits, with the longest of all that it holds.
#[test]
fn the_longest_of_each_kind_fit() {
    let path = vec![b'x'; MAX_PATH];
    let csr = vec![1; MAX_CSR];
    let sign = Sign {
        ask: Ask {
            task: Task {
                executable_path: Text::Whole(&path),
                cgroup_path: Text::Whole(&path),
                ..samples::ask().task
            },
            ..samples::ask()
        },
        csr: &csr,
    };
    assert!(encoded(&answer(Answer::Sign(sign))).len() <= MAX_FRAME);
    // The longest list there is, behind the longest name.
    let der = vec![1; MAX_LIST - 2];
    let list = samples::list(&[Certificate::new(&der).unwrap()]);
    let name = [b'a'; 255];
    let bundle = Bundle {
        domain: TrustDomainRef::parse(&name).unwrap(),
        authorities: list,
    };
    assert!(encoded(&request(Request::Bundle(bundle))).len() <= MAX_FRAME);
    let chain = Request::Issued(Issued::Svid(list));
    assert!(encoded(&request(chain)).len() <= MAX_FRAME);
    // Peers have a kind, a length, and 2,048 bytes: five of them, and one that fills up the rest.
    let id = |len: usize| [b"spiffe://a/".as_slice(), &vec![b'b'; len - 11]].concat();
    let (own, last) = (id(2048), id(MAX_LIST - 5 * 2051 - 3));
    let own = SpiffeIdRef::parse(&own).unwrap();
    let mut peers = vec![Peer::Workload(own); 5];
    peers.push(Peer::Workload(SpiffeIdRef::parse(&last).unwrap()));
    let terms = Terms {
        own,
        peers: samples::list(&peers),
        ..samples::terms()
    };
    let verdict = Verdict {
        decision: Decision::Mtls(terms),
        ..samples::verdict()
    };
    let bytes = encoded(&request(Request::Verdict(verdict)));
    assert_eq!(bytes.len(), HEADER_LEN + 17 + 1 + 2 + 2048 + 1 + MAX_LIST);
    assert!(bytes.len() <= MAX_FRAME);
}

fn request<'a>(message: impl Into<Request<'a>>) -> Frame<Request<'a>> {
    Frame {
        id: 1,
        message: message.into(),
    }
}

fn answer(message: Answer<'_>) -> Frame<Answer<'_>> {
    Frame { id: 1, message }
}

/// The module keeps room for the answer before it acts.
#[test]
fn what_is_answered_is_short() {
    for (name, bytes) in samples::answers() {
        // What comes unasked is of another kind.
        if bytes[3] < 0x90 {
            assert!(bytes.len() <= MAX_ANSWER, "{name}");
        }
    }
}

#[test]
fn a_list_is_what_was_put_in() {
    let peers = samples::terms().peers;
    let found: Vec<Peer<'_>> = peers.iter().collect();
    let wanted = [
        Peer::Workload(samples::id("spiffe://b.test/c")),
        Peer::Domain(samples::domain("d.test")),
    ];
    assert_eq!(found, wanted);
    assert_eq!(peers.count(), 2);
    let found: Vec<&[u8]> = samples::certificates()
        .iter()
        .map(Certificate::der)
        .collect();
    assert_eq!(found, [b"leaf".as_slice(), b"issuer"]);
    assert_eq!(Certificates::NONE.iter().count(), 0);
}

#[test]
fn a_list_that_is_too_long_for_its_buffer_or_its_count_is_none() {
    let peer = Peer::Domain(samples::domain("d.test"));
    let mut buffer = [0; 9 * 300];
    let encode = |count, len: usize, buffer: &mut [u8]| {
        Peers::encode(vec![peer; count], &mut buffer[..len]).map(|list| list.count())
    };
    assert_eq!(encode(2, 18, &mut buffer), Ok(2));
    let short = EncodeError::Capacity { capacity: 17 };
    assert_eq!(encode(2, 17, &mut buffer), Err(short));
    assert_eq!(encode(255, 9 * 300, &mut buffer), Ok(255));
    let many = EncodeError::Value {
        field: "the number of a list's members",
        value: 256,
    };
    assert_eq!(encode(256, 9 * 300, &mut buffer), Err(many));
    assert_eq!(Certificate::new(&[]), None);
    assert_eq!(Certificate::new(&vec![0; MAX_LIST + 1]), None);
    assert!(Certificate::new(&vec![0; MAX_LIST]).is_some());
}

#[test]
fn what_is_known_of_a_text_is_all_of_it() {
    assert_eq!(Text::Whole(b"").known(), Some(b"".as_slice()));
    assert_eq!(Text::Whole(b"/a").known(), Some(b"/a".as_slice()));
    assert_eq!(Text::Unknown.known(), None);
}
