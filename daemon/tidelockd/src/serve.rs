// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions, many at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tidelock_api::Mode;
use tidelock_policy::Decision;
use tidelock_wire::Settings;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::{
    attest::Attestors,
    audit::{Audit, Event, Line, rfc3339},
    decide::{JudgeError, Judgement, Ruling, judge_in_time, name, verdict},
    denied::{Refused, Table},
    device::{Question, Session},
    input::Connection,
    metrics::Metrics,
    reasons::Reasons,
};

/// What answers are made with.
#[derive(Debug)]
pub struct Server {
    attestors: Attestors,
    rulings: watch::Receiver<Arc<Ruling>>,
    settings: watch::Receiver<Settings>,
    reasons: Arc<Reasons>,
    denied: Arc<Table>,
    audit: Audit,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
}

/// What a [`Server`] is made of.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is documented as a type")]
pub struct Parts {
    pub attestors: Attestors,
    pub rulings: watch::Receiver<Arc<Ruling>>,
    pub settings: watch::Receiver<Settings>,
    pub reasons: Arc<Reasons>,
    pub denied: Arc<Table>,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
    /// How many questions are answered side by side.
    pub concurrent: usize,
}

impl Server {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            attestors: parts.attestors,
            rulings: parts.rulings,
            settings: parts.settings,
            reasons: parts.reasons,
            denied: parts.denied,
            audit: parts.audit,
            metrics: parts.metrics,
            places: Arc::new(Semaphore::new(parts.concurrent)),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes a question on. Waits while too many are being answered: the rest wait in the kernel,
    /// which bounds them.
    pub async fn take(self: &Arc<Self>, session: &Arc<Session>, question: Question) {
        let asked = Instant::now();
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            // Only a closed semaphore has no places, and nobody closes it.
            return;
        };
        let (server, session) = (Arc::clone(self), Arc::clone(session));
        self.tasks.spawn(async move {
            server.answer(&session, question, asked).await;
            drop(place);
        });
    }

    /// Waits until every question that was taken on is answered, which each is before its
    /// deadline.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    async fn answer(&self, session: &Session, question: Question, asked: Instant) {
        let _busy = self.metrics.busy();
        let ruling = Arc::clone(&self.rulings.borrow());
        let settings = *self.settings.borrow();
        let connection = Connection {
            direction: question.direction,
            local: question.local,
            remote: question.remote,
        };
        let deadline = asked + patience(settings.deadline_ms);
        let attestors = self.attestors.clone();
        let judgement = judge_in_time(
            attestors,
            Arc::clone(&ruling),
            connection,
            question.facts,
            deadline,
        )
        .await;
        let verdict = verdict(&judgement.decision, ruling.generation, |text| {
            self.reasons.number(text)
        });
        // First of all: somebody waits for it.
        if let Err(error) = session.answer(question.id, verdict).await {
            tracing::warn!(id = question.id, "a verdict could not be given: {error}");
        }
        let took = asked.elapsed();
        self.metrics
            .answered(connection.direction, judgement.decision.as_ref().ok(), took);
        if let Err(error) = &judgement.decision {
            tracing::debug!(pid = judgement.facts.pid, "refused: {error}");
        }
        let line = line(
            connection,
            &judgement,
            &ruling,
            verdict.reason,
            mode(settings.mode),
            took,
        );
        if line.event != Event::Allowed {
            self.denied.count(Refused {
                who: line.exe.clone().unwrap_or_else(|| line.comm.clone()),
                uid: line.uid,
                direction: line.direction,
                remote: line.remote.to_string(),
                reason: line.reason.clone(),
            });
        }
        self.audit.write(line);
    }
}

/// A little less than the kernel's, so that the reason arrives before it gives up.
fn patience(deadline_ms: u32) -> Duration {
    Duration::from_millis((deadline_ms - deadline_ms / 10).into())
}

/// The mode, as the interface words it.
pub const fn mode(of: tidelock_wire::Mode) -> Mode {
    match of {
        tidelock_wire::Mode::Off => Mode::Off,
        tidelock_wire::Mode::Permissive => Mode::Permissive,
        tidelock_wire::Mode::Enforce => Mode::Enforce,
    }
}

fn line(
    connection: Connection,
    judgement: &Judgement,
    ruling: &Ruling,
    reason_number: u32,
    mode: Mode,
    took: Duration,
) -> Line {
    let facts = &judgement.facts;
    let attributes = judgement.attestation.as_ref().map(|of| &of.attributes);
    let container = attributes.and_then(|of| of.container.as_ref());
    let decision = judgement.decision.as_ref();
    let event = |decision: &Decision| match decision.mode {
        tidelock_policy::DecisionMode::Deny => Event::Denied,
        _ => Event::Allowed,
    };
    Line {
        time: rfc3339(SystemTime::now()),
        event: decision.map_or(Event::Error, event),
        direction: direction(connection.direction),
        local: connection.local,
        remote: connection.remote,
        pid: facts.pid,
        uid: facts.uid,
        comm: facts.comm.clone(),
        exe: facts.exe.clone(),
        exe_sha256: attributes.and_then(|of| of.exe_sha256.clone()),
        systemd_unit: attributes.and_then(|of| of.systemd_unit.clone()),
        container: container.map(|of| of.id.clone()),
        pod: container.and_then(|of| of.pod.clone()),
        decision: decision.map_or("deny", |decision| name(decision.mode)),
        reason: decision.map_or_else(
            |error: &JudgeError| error.reason().to_owned(),
            |decision| decision.reason.clone(),
        ),
        reason_number,
        detail: decision.err().map(ToString::to_string),
        spiffe_id: decision
            .ok()
            .and_then(|decision| decision.spiffe_id.as_ref())
            .map(|id| id.as_str().to_owned()),
        ttl_seconds: decision.map_or(0, |decision| decision.ttl_seconds),
        generation: ruling.generation,
        policy: ruling.revision.clone(),
        mode,
        micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
    }
}

/// The direction, as the interface words it.
pub const fn direction(of: tidelock_wire::Direction) -> tidelock_api::Direction {
    match of {
        tidelock_wire::Direction::Connect => tidelock_api::Direction::Connect,
        tidelock_wire::Direction::Accept => tidelock_api::Direction::Accept,
    }
}
