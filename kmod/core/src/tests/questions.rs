// SPDX-License-Identifier: GPL-2.0-only
//! Questions for a verdict.

use tidelock_wire::{
    Answer, Ask, Direction, FileId, Frame, MAX_FRAME, MAX_PATH, Namespaces, Task, Text,
};

use super::written;
use crate::{
    facts::{AddressFacts, AskFacts},
    serve::{self, Errno},
};

fn address(family: u16, bytes: [u8; 16]) -> AddressFacts {
    AddressFacts {
        bytes,
        family,
        port: 0x0102,
    }
}

const FOUR: [u8; 16] = [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const SIX: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1];

pub(super) fn facts<'a>(executable: Option<&'a [u8]>, cgroup: Option<&'a [u8]>) -> AskFacts<'a> {
    AskFacts {
        started: 2,
        inode: 9,
        changed: -5,
        cgroup: 11,
        executable_path: executable.into(),
        cgroup_path: cgroup.into(),
        local: address(4, FOUR),
        remote: address(6, SIX),
        direction: 1,
        tgid: 1,
        uid: 3,
        euid: 4,
        gid: 5,
        egid: 6,
        major: 7,
        minor: 8,
        generation: 10,
        network: 12,
        mount: 13,
        pid: 14,
        user: 15,
        cgroup_namespace: 16,
        comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
    }
}

fn asked(facts: &AskFacts<'_>) -> Ask<'static> {
    let bytes = written(|out| serve::ask(77, facts, out));
    match Frame::decode(bytes.leak()) {
        Ok(Frame {
            id: 77,
            message: Answer::Ask(ask),
        }) => ask,
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_that_the_shim_knows_is_told() {
    let ask = asked(&facts(Some(b"/bin/curl"), Some(b"/a.slice")));
    let expected = Ask {
        direction: Direction::Connect,
        local: "192.0.2.1:258".parse().unwrap(),
        remote: "[fd00::1]:258".parse().unwrap(),
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
                changed: -5,
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
            cgroup_path: Text::Whole(b"/a.slice"),
        },
    };
    assert_eq!(ask, expected);
    let accept = AskFacts {
        direction: 2,
        ..facts(None, None)
    };
    assert_eq!(asked(&accept).direction, Direction::Accept);
}

#[test]
fn what_makes_no_sense_is_not_asked() {
    let refused = |facts: AskFacts<'_>| serve::ask(77, &facts, &mut [0; MAX_FRAME]);
    let good = || facts(None, None);
    assert!(refused(good()).is_ok());
    for direction in [0, 3, 256 + 1, u32::MAX] {
        let facts = AskFacts {
            direction,
            ..good()
        };
        assert_eq!(refused(facts), Err(Errno::Invalid), "{direction}");
    }
    // AF_INET6 is 10 in C; here a family is what people call it.
    for family in [0, 2, 5, 10, 256 + 4, u16::MAX] {
        let (local, remote) = (address(family, FOUR), address(family, SIX));
        let facts = AskFacts { local, ..good() };
        assert_eq!(refused(facts), Err(Errno::Invalid), "{family}");
        let facts = AskFacts { remote, ..good() };
        assert_eq!(refused(facts), Err(Errno::Invalid), "{family}");
    }
    assert_eq!(serve::ask(77, &good(), &mut [0; 158]), Err(Errno::NoSpace));
}

#[test]
fn an_ipv4_address_has_one_spelling() {
    let ask = asked(&AskFacts {
        local: address(6, MAPPED),
        remote: address(6, MAPPED),
        ..facts(None, None)
    });
    let four = "192.0.2.1:258".parse().unwrap();
    assert_eq!((ask.local, ask.remote), (four, four));
}

/// What is behind an IPv4 address is nobody's business, and is not told.
#[test]
fn an_ipv4_address_is_four_bytes() {
    let mut bytes = [0xa5; 16];
    bytes[..4].copy_from_slice(&FOUR[..4]);
    let ask = asked(&AskFacts {
        remote: address(4, bytes),
        ..facts(None, None)
    });
    assert_eq!(ask.remote, "192.0.2.1:258".parse().unwrap());
}

#[test]
fn a_path_is_whole_or_unknown() {
    let longest = [b'x'; MAX_PATH];
    let longer = [b'x'; MAX_PATH + 1];
    let paths = |text| {
        let task = asked(&facts(text, None)).task;
        assert_eq!(task.cgroup_path, Text::Unknown);
        let other = asked(&facts(None, text)).task;
        assert_eq!(other.executable_path, Text::Unknown);
        assert_eq!(task.executable_path, other.cgroup_path);
        task.executable_path
    };
    assert_eq!(paths(None), Text::Unknown);
    assert_eq!(paths(Some(b"")), Text::Whole(b""));
    assert_eq!(paths(Some(&longest)), Text::Whole(&longest));
    assert_eq!(paths(Some(&longer)), Text::Unknown);
    let both = asked(&facts(Some(&longest), Some(&longest))).task;
    assert_eq!(both.cgroup_path, Text::Whole(&longest));
}
