// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stand-in for the daemon that does nothing but answer: what a question costs at the least.

use std::thread::{self, JoinHandle};

use tidelock_wire::{Answer, Decision, Frame, Request, Verdict};

use crate::{
    device::Device,
    failure::{Checked, Failure},
};

/// How every question is answered.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) decision: Decision<'static>,
    /// 0: the kernel keeps nothing, and asks each time.
    pub(super) ttl_ms: u32,
}

/// A thread that has the device open, sleeps in read(2), and answers so many questions.
pub(super) struct Answers(JoinHandle<Checked<()>>);

impl Answers {
    /// Begins, with the device open and greeted.
    pub(super) fn start(rule: Rule, count: u64) -> Checked<Self> {
        let (device, _) = Device::greet()?;
        Ok(Self(thread::spawn(move || {
            (0..count).try_for_each(|_| answer(&device, rule))
        })))
    }

    /// Waits until all were asked and answered, and closes the device.
    pub(super) fn end(self) -> Checked<()> {
        let panicked = |_| Err(Failure::Assertion("who answers panicked".into()));
        self.0.join().unwrap_or_else(panicked)
    }
}

fn answer(device: &Device, rule: Rule) -> Checked<()> {
    let said = device.answer()?;
    let Frame { id, message } = said.frame()?;
    let Answer::Ask(_) = message else {
        return Err(Failure::Assertion(format!(
            "a question was due and {message:?} came"
        )));
    };
    let verdict = Request::Verdict(Verdict {
        decision: rule.decision,
        reason: 7,
        ttl_ms: rule.ttl_ms,
        generation: 1,
    });
    device
        .try_ask(id, verdict)?
        .map_err(Failure::system("write a verdict"))
}
