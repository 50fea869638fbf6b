// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stand-in for the daemon: answers questions by a rule of the test. The daemon itself has
//! tests of its own.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use tidelock_wire::{
    Answer, Ask, Decision, Direction, EncodeError, Exempt, Frame, Issued, Mode, Peer, Peers,
    Request, Scope, Settings, SpiffeIdRef, Status, Terms, Verdict,
};

use crate::{
    device::{Device, Wait},
    failure::{Checked, Failure, ensure},
};

/// How often the thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);
/// Of all that it says.
const REASON: u32 = 7;
/// Kept for long against any test.
const TTL_MS: u32 = 600_000;

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// Which end.
    pub(crate) direction: Direction,
    /// This end.
    pub(crate) local: SocketAddr,
    /// The other.
    pub(crate) remote: SocketAddr,
    /// Who.
    pub(crate) tgid: u32,
    /// Its executable.
    pub(crate) executable: Option<String>,
}

impl From<&Ask<'_>> for Seen {
    fn from(ask: &Ask<'_>) -> Self {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            direction: ask.direction,
            local: ask.local,
            remote: ask.remote,
            tgid: ask.task.tgid,
            executable: ask.task.executable_path.known().map(text),
        }
    }
}

/// How long a verdict of the rule is kept.
#[derive(Clone, Copy)]
pub(crate) enum Keep {
    /// For the rest of the test.
    Long,
    /// Not at all: each connection is asked about.
    Never,
}

impl Keep {
    const fn ttl_ms(self) -> u32 {
        match self {
            Self::Long => TTL_MS,
            Self::Never => 0,
        }
    }
}

/// Decides; none is to say nothing.
type Rule = dyn Fn(&Seen) -> Option<Decision<'static>> + Send;

/// A thread that has the device open and answers by a rule.
pub(crate) struct Decider {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    thread: Option<JoinHandle<Checked<()>>>,
}

/// A decision for mTLS: as a workload of a domain, with any other of it.
pub(crate) fn mtls() -> Checked<Decision<'static>> {
    let wrong = |error: EncodeError| Failure::Assertion(format!("terms of mTLS: {error}"));
    let own = SpiffeIdRef::parse(b"spiffe://a.test/b").map_err(|error| wrong(error.into()))?;
    // For as long as the guest runs.
    let buffer = Box::leak(Box::new([0; 64]));
    Ok(Decision::Mtls(Terms {
        scope: Scope::Process,
        own,
        peers: Peers::encode([Peer::Domain(own.trust_domain())], buffer).map_err(wrong)?,
    }))
}

/// Puts a mode in force and lets go of the device.
pub(crate) fn configure(mode: Mode, deadline_ms: u32) -> Checked<Status> {
    let (device, _) = Device::greet()?;
    let settings = Settings {
        mode,
        generation: 1,
        deadline_ms,
        exempt: Exempt::NONE,
    };
    let said = device.ask(1, Request::Configure(settings))?;
    match said.frame()?.message {
        Answer::Status(status) => Ok(status),
        other => Err(Failure::Assertion(format!(
            "settings were answered with {other:?}"
        ))),
    }
}

impl Decider {
    /// Begins to decide.
    pub(crate) fn start(
        rule: impl Fn(&Seen) -> Option<Decision<'static>> + Send + 'static,
    ) -> Checked<Self> {
        Self::keeping(Keep::Long, rule)
    }

    /// Begins to decide, with verdicts that are kept for so long.
    pub(crate) fn keeping(
        keep: Keep,
        rule: impl Fn(&Seen) -> Option<Decision<'static>> + Send + 'static,
    ) -> Checked<Self> {
        let device = Device::try_open(Wait::Never).map_err(Failure::system("open the device"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let thread = thread::spawn({
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            move || decide(&device, keep, &rule, &stop, &seen)
        });
        Ok(Self {
            stop,
            seen,
            thread: Some(thread),
        })
    }

    /// All that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Waits until so many were asked.
    pub(crate) fn await_seen(&self, count: usize) -> Checked<Vec<Seen>> {
        let began = Instant::now();
        while self.seen().len() < count {
            ensure(began.elapsed() < PATIENCE, || {
                format!("{} questions of {count} came", self.seen().len())
            })?;
            thread::sleep(LOOK);
        }
        Ok(self.seen())
    }

    /// Ends it, and closes the device.
    pub(crate) fn stop(mut self) -> Checked<Vec<Seen>> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result.map(|()| self.seen()),
            _ => Err(Failure::Assertion("the decider panicked".into())),
        }
    }
}

fn decide(
    device: &Device,
    keep: Keep,
    rule: &Rule,
    stop: &AtomicBool,
    seen: &Mutex<Vec<Seen>>,
) -> Checked<()> {
    while !stop.load(Ordering::Relaxed) {
        if !device.ready(PollFlags::IN, LOOK)?.contains(PollFlags::IN) {
            continue;
        }
        let said = device.answer()?;
        let Frame { id, message } = said.frame()?;
        let ask = match message {
            Answer::Ask(ask) => ask,
            // It has no authority.
            Answer::Sign(_) => {
                say(device, id, Request::Issued(Issued::Refused(REASON)))?;
                continue;
            }
            _ => continue,
        };
        let question = Seen::from(&ask);
        let decision = rule(&question);
        seen.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(question);
        if let Some(decision) = decision {
            answer(device, id, decision, keep)?;
        }
    }
    Ok(())
}

fn answer(device: &Device, id: u64, decision: Decision<'_>, keep: Keep) -> Checked<()> {
    let verdict = Verdict {
        decision,
        reason: REASON,
        ttl_ms: keep.ttl_ms(),
        generation: 1,
    };
    say(device, id, Request::Verdict(verdict))
}

#[expect(clippy::large_types_passed_by_value, reason = "few and far between")]
fn say(device: &Device, id: u64, message: Request<'_>) -> Checked<()> {
    let began = Instant::now();
    loop {
        match device.try_ask(id, message)? {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::AGAIN) if began.elapsed() < PATIENCE => {
                device.ready(PollFlags::OUT, LOOK)?;
            }
            Err(error) => return Err(Failure::system("write an answer")(error)),
        }
    }
}
