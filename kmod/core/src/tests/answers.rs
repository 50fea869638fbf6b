// SPDX-License-Identifier: GPL-2.0-only
//! What the core answers by itself.

use tidelock_wire::{
    Answer, Capabilities, EngineState, Frame, HEADER_LEN, Hello, MAX_ANSWER, MAX_FRAME, Passed,
    Refusal, Request, SelfTestOutcome, SelfTestReport, StackUse,
};

use super::{answer, request, written};
use crate::{
    facts::HelloFacts,
    order::Order,
    serve::{self, Errno},
};

#[test]
fn hello_tells_what_the_shim_knows() {
    let facts = |engine_state| HelloFacts {
        capabilities: 0x8000_0001,
        engine_state,
        panics: 2,
        frames_refused: 3,
    };
    let hello = |engine_state| {
        let bytes = written(|out| serve::hello(&facts(engine_state), out));
        match Frame::<Answer<'_>>::decode(&bytes).unwrap().message {
            Answer::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    };
    let ready: Hello = hello(1);
    assert_eq!(
        ready.capabilities,
        Capabilities::from_bits_retain(0x8000_0001)
    );
    assert_eq!((ready.panics, ready.frames_refused), (2, 3));
    assert_eq!(ready.engine, EngineState::Ready);
    assert_eq!(hello(2).engine, EngineState::Dead);
    assert_eq!(
        hello(77).engine,
        EngineState::Dead,
        "an unknown state is dead"
    );
}

#[test]
fn what_is_no_request_is_refused_by_its_errno() {
    let mut out = [0; MAX_FRAME];
    let mut refused = |input: &[u8]| {
        let mut order = Order::status(99);
        let errno = serve::frame(input, &mut out, &mut order).unwrap_err();
        assert_eq!(order, Order::NONE, "no order without a request");
        assert_eq!(serve::request(input), Err(errno));
        errno
    };
    assert_eq!(refused(&vec![0; MAX_FRAME + 1]), Errno::MessageSize);
    assert_eq!(refused(&[]), Errno::Protocol);
    assert_eq!(refused(&[0xff; MAX_FRAME]), Errno::Protocol);
    assert_eq!(
        refused(&request(&Request::SelfTest)[..HEADER_LEN - 1]),
        Errno::Protocol
    );
    let mut order = Order::status(99);
    let out = &mut [0; MAX_ANSWER - 1];
    let short = serve::frame(&request(&Request::SelfTest), out, &mut order);
    assert_eq!((short, order), (Err(Errno::NoSpace), Order::NONE));
}

#[test]
fn the_self_test_passes_over_the_shims_randomness_and_time() {
    let answer = answer(&Request::SelfTest);
    let Answer::SelfTest(report) = answer.message else {
        panic!("{answer:?}");
    };
    let SelfTestOutcome::Passed(passed) = report.outcome else {
        panic!("{report:?}");
    };
    assert_eq!(passed.cipher_suite, 0x1301, "TLS_AES_128_GCM_SHA256");
    assert_eq!(passed.group, 29, "X25519");
    assert!(passed.handshake_bytes > 1000 && passed.data_bytes > 0);
    assert_eq!(report.stack, StackUse::default(), "the shim measures");
}

#[test]
#[cfg(not(feature = "fault-injection"))]
fn a_module_that_ships_has_no_fault_to_inject() {
    assert_eq!(
        answer(&Request::Fault),
        Frame {
            id: 7,
            message: Answer::Refused(Refusal::Unsupported)
        }
    );
}

#[test]
#[cfg(feature = "fault-injection")]
#[should_panic(expected = "on purpose")]
fn the_fault_is_a_panic() {
    answer(&Request::Fault);
}

#[test]
fn the_stamp_reaches_a_self_test_report_and_nothing_else() {
    let stack = StackUse {
        size: 65536,
        high_water: 20000,
    };
    let passed = Passed {
        cipher_suite: 0x1301,
        group: 29,
        rounds: 3,
        handshake_bytes: 2000,
        data_bytes: 10,
    };
    let report = |stack| SelfTestReport {
        outcome: SelfTestOutcome::Passed(passed),
        stack,
    };
    let stamped = |message| {
        let mut frame = [0; MAX_FRAME];
        let len = Frame { id: 9, message }.encode(&mut frame).unwrap();
        serve::stamp(&mut frame[..len], stack).unwrap();
        let stamped: Frame<Answer<'_>> = Frame::decode(&frame[..len]).unwrap();
        match stamped.message {
            Answer::SelfTest(report) => Answer::SelfTest(report),
            Answer::Refused(refusal) => Answer::Refused(refusal),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        stamped(Answer::SelfTest(report(StackUse::default()))),
        Answer::SelfTest(report(stack))
    );
    let refused = Answer::Refused(Refusal::Unsupported);
    assert_eq!(stamped(refused), refused);
    assert_eq!(serve::stamp(&mut [0; 99], stack), Err(Errno::Protocol));
}

#[test]
fn each_errno_is_linuxs() {
    let errnos = [
        Errno::Invalid,
        Errno::NoSpace,
        Errno::Protocol,
        Errno::MessageSize,
    ];
    assert_eq!(errnos.map(Errno::to_negative), [-22, -28, -71, -90]);
}
