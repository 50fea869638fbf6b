// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One `RUN`: from the host's word to `DONE`.

use std::time::Duration;

use crate::{
    child,
    control::{Run, Voice},
    failure::{Checked, Failure},
    kmsg::Stream,
    ktap::{Ktap, Verdict},
    procfs::Baseline,
    reseed,
    tests::{self, Act},
};

/// For unloading the module and looking at what is left.
const CHECK_LIMIT: Duration = Duration::from_secs(30);

/// What PID 1 has to speak with.
pub(crate) struct Stage {
    /// The control port.
    pub(crate) voice: Voice,
    /// The verdict's port.
    pub(crate) ktap: Ktap,
    /// The kernel's log.
    pub(crate) stream: Stream,
}

impl Stage {
    /// Runs the test that was asked for. An error is one of the guest itself.
    pub(crate) fn run(&mut self, run: &Run) -> Checked<()> {
        let heart = self.voice.beat();
        let prepared = prepare(run);
        match tests::find(&run.test) {
            Some(test) => match (test.act, prepared) {
                (Act::Machine(misbehave), Ok(_)) => misbehave(self, &heart)?,
                (_, prepared) => self.one(&run.test, test.limit, prepared)?,
            },
            None => self.one(
                &run.test,
                Duration::ZERO,
                Err(Failure::UnknownTest(format!("{:?}; see LIST", run.test))),
            )?,
        }
        self.stream.mark(&end_marker(&run.test))?;
        heart.stop();
        self.say(&format!("DONE {}", run.test))
    }

    fn one(&mut self, name: &str, limit: Duration, prepared: Checked<Baseline>) -> Checked<()> {
        let spoken = Failure::system::<std::io::Error>("write the KTAP port");
        let speak = || -> std::io::Result<()> {
            self.ktap.plan(1)?;
            let verdict = match prepared {
                Ok(before) => alone(judge(name, limit, &before, &mut self.ktap)),
                Err(failure) => failure.into(),
            };
            self.ktap.verdict(name, &verdict)
        };
        speak().map_err(spoken)
    }

    /// One line on the control port.
    pub(crate) fn say(&self, line: &str) -> Checked<()> {
        self.voice
            .say(line)
            .map_err(Failure::system("write the control port"))
    }
}

/// What the log shows when a test and its checks are over.
pub(crate) fn end_marker(test: &str) -> String {
    format!("end of {test}")
}

fn prepare(run: &Run) -> Checked<Baseline> {
    reseed::set_clock(run.nanos)?;
    reseed::reseed(run.entropy)?;
    Baseline::take()
}

fn judge(name: &str, limit: Duration, before: &Baseline, ktap: &mut Ktap) -> Verdict {
    let mut tell = |line: &str| {
        // The verdict that follows on the same port fails, and is told, if this does.
        let _ = ktap.line(line);
    };
    let verdict = child::run(child::TEST, name, limit, &mut tell);
    let checks = child::run(child::CHECK, &before.to_string(), CHECK_LIMIT, &mut tell);
    match (verdict, checks) {
        (Verdict::Passed(_), Verdict::Failed(why)) => Verdict::Failed(why),
        // What the checks find after a failure is its consequence as a rule, but worth telling.
        (Verdict::Failed(why), Verdict::Failed(also)) => {
            Verdict::Failed(format!("{why}; after it: {also}"))
        }
        (verdict, Verdict::Passed(_)) => verdict,
    }
}

/// What is over is buried; who still lives is a fault of the test, for the next one in this
/// machine would meet him.
fn alone(verdict: Verdict) -> Verdict {
    match (child::bury(), verdict) {
        (Ok(()), verdict) => verdict,
        (Err(failure), Verdict::Passed(_)) => failure.into(),
        (Err(failure), Verdict::Failed(why)) => {
            Verdict::Failed(format!("{why}; after it: {failure}"))
        }
    }
}
