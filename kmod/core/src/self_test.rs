// SPDX-License-Identifier: GPL-2.0-only
//! The self-test of `tidelock_tls` over the kernel's randomness and time, as a report.

use tidelock_tls::{SelfTestPassed, Step, selftest};
use tidelock_wire::{Passed, SelfTestOutcome, SelfTestReport, SelfTestStep, StackUse};

use crate::platform::Kernel;

/// Runs it. The stack is measured by the shim, afterwards.
#[inline(never)]
pub(crate) fn run() -> SelfTestReport {
    let outcome = match selftest::<Kernel>() {
        Ok(passed) => SelfTestOutcome::Passed(measures(&passed)),
        Err(error) => SelfTestOutcome::Failed(wire_step(error.step)),
    };
    SelfTestReport {
        outcome,
        stack: StackUse::default(),
    }
}

fn measures(passed: &SelfTestPassed) -> Passed {
    let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Passed {
        cipher_suite: passed.negotiated.cipher_suite,
        group: passed.negotiated.group,
        rounds: passed.rounds,
        handshake_bytes: bytes(passed.handshake_bytes),
        data_bytes: bytes(passed.data_bytes),
    }
}

fn wire_step(step: Step) -> SelfTestStep {
    match step {
        Step::Certificates => SelfTestStep::Certificates,
        Step::Handshake => SelfTestStep::Handshake,
        Step::Identity => SelfTestStep::Identity,
        Step::Data => SelfTestStep::Data,
        Step::ForeignServer => SelfTestStep::ForeignServer,
        Step::ForeignClient => SelfTestStep::ForeignClient,
        Step::WrongIdentity => SelfTestStep::WrongIdentity,
    }
}
