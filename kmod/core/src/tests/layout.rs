// SPDX-License-Identifier: GPL-2.0-only
//! What C must lay out alike (`kmod/include/tidelock_core.h`). A change here changes it there.

use core::mem::{align_of, offset_of, size_of};

use tidelock_wire::{Counters, MAX_ANSWER, MAX_FRAME};

use crate::{
    facts::{AddressFacts, AskFacts, HelloFacts, StatusFacts, TextFacts},
    order::{Kind, Order, PrefixOrder},
    tls::{RecordsFacts, TrafficFacts},
};

type Facts = AskFacts<'static>;

/// The size and alignment of a struct, and the offset of each of its fields, all of which are
/// named: nothing is left but the padding that C has too.
macro_rules! layout {
    ($type:ident { $($field:ident: $at:expr),* $(,)? } $size:expr, $align:expr) => {{
        fn all_named(value: &$type) {
            let $type { $($field: _),* } = value;
        }
        let _ = all_named;
        $(
            let what = concat!(stringify!($type), ".", stringify!($field));
            assert_eq!(offset_of!($type, $field), $at, "{what}");
        )*
        let of = (size_of::<$type>(), align_of::<$type>());
        assert_eq!(of, ($size, $align), stringify!($type));
    }};
}

/// `TDL_FRAME_MAX` and `TDL_ANSWER_MAX`.
#[test]
fn of_frames() {
    assert_eq!((MAX_FRAME, MAX_ANSWER), (16 * 1024, 256));
}

#[test]
fn of_hello() {
    layout!(HelloFacts { capabilities: 0, engine_state: 4, panics: 8, frames_refused: 16 } 24, 8);
}

#[test]
fn of_status() {
    layout!(Counters {
        connects: 0,
        accepts: 8,
        hits: 16,
        asks: 24,
        allowed: 32,
        denied: 40,
        would_deny: 48,
        timeouts: 56,
        overflows: 64,
        late: 72,
        stale: 80,
        dropped: 88,
    } 96, 8);
    layout!(StatusFacts {
        generation: 0,
        counters: 8,
        mode: 104,
        deadline_ms: 108,
        waiting: 112,
        kept: 116,
    } 120, 8);
}

#[test]
fn of_a_question() {
    assert_eq!(TextFacts::OFFSETS, [0, 8]);
    let text = (size_of::<TextFacts<'_>>(), align_of::<TextFacts<'_>>());
    assert_eq!(text, (16, 8));
    layout!(AddressFacts { bytes: 0, family: 16, port: 18 } 20, 2);
    layout!(Facts {
        started: 0,
        inode: 8,
        changed: 16,
        cgroup: 24,
        executable_path: 32,
        cgroup_path: 48,
        local: 64,
        remote: 84,
        direction: 104,
        tgid: 108,
        uid: 112,
        euid: 116,
        gid: 120,
        egid: 124,
        major: 128,
        minor: 132,
        generation: 136,
        network: 140,
        mount: 144,
        pid: 148,
        user: 152,
        cgroup_namespace: 156,
        comm: 160,
    } 176, 8);
}

#[test]
fn of_records() {
    layout!(TrafficFacts { sequence: 0, key: 8, iv: 40, zero: 52 } 56, 8);
    layout!(RecordsFacts {
        tx: 0,
        rx: 56,
        until: 112,
        cipher: 120,
        suite: 124,
        group: 126,
        peer_len: 128,
        zero: 132,
        peer: 136,
    } 2184, 8);
}

#[test]
fn of_an_order() {
    layout!(PrefixOrder { bytes: 0, family: 16, length: 17 } 18, 1);
    layout!(Order {
        id: 0,
        generation: 8,
        kind: 16,
        decision: 20,
        reason: 24,
        ttl_ms: 28,
        mode: 32,
        deadline_ms: 36,
        exempt_count: 40,
        scope: 44,
        terms_len: 48,
        own_len: 52,
        exempt: 56,
    } 632, 8);
    assert_eq!((size_of::<Kind>(), align_of::<Kind>()), (4, 4));
    let kinds = [
        Kind::None,
        Kind::Status,
        Kind::Configure,
        Kind::Verdict,
        Kind::Issued,
        Kind::NotIssued,
        Kind::Trust,
    ];
    assert_eq!(kinds.map(|kind| kind as u32), [0, 1, 2, 3, 4, 5, 6]);
}
