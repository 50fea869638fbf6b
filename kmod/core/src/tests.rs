// SPDX-License-Identifier: GPL-2.0-only
use core::fmt::Write as _;

use tidelock_wire::{
    Answer, Capabilities, EngineState, Frame, HEADER_LEN, Hello, MAX_FRAME, Passed, Refusal,
    Request, SelfTestOutcome, SelfTestReport, StackUse,
};

use crate::{
    serve::{self, Errno, HelloFacts},
    text::BoundedText,
};

/// What the shim would give, from the host's own sources.
mod shim {
    #[unsafe(no_mangle)]
    extern "C" fn tdl_random(out: *mut u8, len: usize) {
        // SAFETY: the core passes a live slice's pointer and length.
        let out = unsafe { core::slice::from_raw_parts_mut(out, len) };
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), out).unwrap();
    }

    #[unsafe(no_mangle)]
    extern "C" fn tdl_unix_time() -> u64 {
        std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()
    }
}

fn request(message: Request) -> Vec<u8> {
    let mut buffer = [0; MAX_FRAME];
    let len = Frame { id: 7, message }.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

fn ask(message: Request) -> Frame<Answer> {
    let mut out = [0; MAX_FRAME];
    let len = serve::frame(&request(message), &mut out).unwrap();
    Frame::decode(&out[..len]).unwrap()
}

#[test]
fn hello_tells_what_the_shim_knows() {
    let facts = |engine_state| HelloFacts {
        capabilities: 0x8000_0001,
        engine_state,
        panics: 2,
        frames_refused: 3,
    };
    let hello = |engine_state| {
        let mut out = [0; 64];
        let len = serve::hello(&facts(engine_state), &mut out).unwrap();
        match Frame::<Answer>::decode(&out[..len]).unwrap().message {
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
    let mut refused = |input: &[u8]| serve::frame(input, &mut out).unwrap_err();
    assert_eq!(refused(&[0; MAX_FRAME + 1]), Errno::MessageSize);
    assert_eq!(refused(&[]), Errno::Protocol);
    assert_eq!(refused(&[0xff; MAX_FRAME]), Errno::Protocol);
    assert_eq!(
        refused(&request(Request::SelfTest)[..HEADER_LEN - 1]),
        Errno::Protocol
    );
    let short = serve::frame(&request(Request::SelfTest), &mut [0; MAX_FRAME - 1]);
    assert_eq!(short, Err(Errno::NoSpace));
}

#[test]
fn the_self_test_passes_over_the_shims_randomness_and_time() {
    let answer = ask(Request::SelfTest);
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
        ask(Request::Fault),
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
    ask(Request::Fault);
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
        Frame::<Answer>::decode(&frame[..len]).unwrap().message
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
fn a_bounded_text_is_cut_at_a_character_and_has_no_controls() {
    let mut text = BoundedText::<8>::new();
    assert!(write!(text, "a\nb\u{1b}[0m").is_ok());
    assert_eq!(text.as_str(), "a b [0m");
    assert!(write!(text, "\u{e9}").is_err());
    assert_eq!(text.as_str(), "a b [0m");
    assert!(write!(text, "xyz").is_err());
    assert_eq!(text.as_str(), "a b [0mx");
}
