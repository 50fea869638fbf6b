// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Questions, many at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tidelock_api::Mode;
use tidelock_authority::Svid;
use tidelock_policy::Decision;
use tidelock_wire::{Certificate, Certificates, EncodeError, Issued, MAX_LIST, Scope, Settings};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::{
    attest::Attestors,
    audit::{Audit, Event, Line, rfc3339},
    authority::{Authority, CertifyError},
    decide::{JudgeError, Judgement, Ruling, judge_in_time, name, verdict},
    denied::{Refused, Table},
    device::{Asked, Question, Session, SessionError},
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
    scope: Scope,
    authority: Arc<Authority>,
    reasons: Arc<Reasons>,
    denied: Arc<Table>,
    audit: Audit,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    signing: Semaphore,
    tasks: TaskTracker,
}

/// What a [`Server`] is made of.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is documented as a type")]
pub struct Parts {
    pub attestors: Attestors,
    pub rulings: watch::Receiver<Arc<Ruling>>,
    pub settings: watch::Receiver<Settings>,
    /// Who shares the key of an SVID.
    pub scope: Scope,
    pub authority: Arc<Authority>,
    pub reasons: Arc<Reasons>,
    pub denied: Arc<Table>,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
    /// How many questions are answered side by side; beside them a quarter of that are signed for.
    pub concurrent: usize,
}

impl Server {
    /// Of these parts.
    pub fn new(parts: Parts) -> Self {
        Self {
            attestors: parts.attestors,
            rulings: parts.rulings,
            settings: parts.settings,
            scope: parts.scope,
            authority: parts.authority,
            reasons: parts.reasons,
            denied: parts.denied,
            audit: parts.audit,
            metrics: parts.metrics,
            places: Arc::new(Semaphore::new(parts.concurrent)),
            signing: Semaphore::new(parts.concurrent.div_ceil(4)),
            tasks: TaskTracker::new(),
        }
    }

    /// Takes on what the kernel asks. Waits while too many questions are being answered: the rest
    /// waits in the kernel, which bounds it. SVIDs have places of their own, so that no question
    /// waits for them.
    pub async fn take(self: &Arc<Self>, session: &Arc<Session>, asked: Asked) {
        let since = Instant::now();
        let (server, session) = (Arc::clone(self), Arc::clone(session));
        match asked {
            Asked::Verdict(question) => {
                let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                    // Only a closed semaphore has no places, and nobody closes it.
                    return;
                };
                self.tasks.spawn(async move {
                    server.answer(&session, question, since).await;
                    drop(place);
                });
            }
            Asked::Svid { question, csr } => {
                self.tasks.spawn(async move {
                    let _place = server.signing.acquire().await;
                    server.certify(&session, question, &csr, since).await;
                });
            }
        }
    }

    /// Waits until every question that was taken on is answered, which each is before its
    /// deadline.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// What is to be in force, and what it makes of a question.
    async fn judge(&self, question: Question, since: Instant) -> Case {
        let ruling = Arc::clone(&self.rulings.borrow());
        let settings = *self.settings.borrow();
        let connection = Connection {
            direction: question.direction,
            local: question.local,
            remote: question.remote,
        };
        let deadline = since + patience(settings.deadline_ms);
        let (attestors, facts) = (self.attestors.clone(), question.facts);
        let judgement =
            judge_in_time(attestors, Arc::clone(&ruling), connection, facts, deadline).await;
        Case {
            ruling,
            mode: mode(settings.mode),
            connection,
            judgement,
            since,
            deadline,
        }
    }

    async fn answer(&self, session: &Session, question: Question, since: Instant) {
        let _busy = self.metrics.busy();
        let id = question.id;
        let case = self.judge(question, since).await;
        let (decision, mut buffer) = (&case.judgement.decision, Vec::new());
        let number = |text: &str| self.reasons.number(text);
        let generation = case.ruling.generation;
        let verdict = verdict(decision, generation, self.scope, &mut buffer, number);
        // First of all: somebody waits for it.
        if let Err(error) = session.answer(id, verdict).await {
            tracing::warn!(id, "a verdict could not be given: {error}");
        }
        let direction = case.connection.direction;
        self.metrics
            .answered(direction, decision.as_ref().ok(), since.elapsed());
        if let Err(error) = decision {
            tracing::debug!(pid = case.judgement.facts.pid, "refused: {error}");
        }
        let line = case.line(verdict.reason);
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

    /// The process is looked at and decided on anew: what was true for a verdict need not be so now.
    async fn certify(&self, session: &Session, question: Question, csr: &[u8], since: Instant) {
        let _busy = self.metrics.busy();
        let id = question.id;
        let case = self.judge(question, since).await;
        let (decision, now) = (&case.judgement.decision, SystemTime::now());
        let outcome = self.authority.certify(decision, csr, now, case.deadline);
        let outcome = match outcome.await {
            // A verdict of another policy is known by its number; an SVID has none.
            Ok(_) if self.rulings.borrow().generation != case.ruling.generation => {
                Err(CertifyError::Superseded)
            }
            outcome => outcome,
        };
        let reason = match (&outcome, decision) {
            (Err(error), _) => error.reason(),
            (Ok(_), Ok(decision)) => &decision.reason,
            // Nothing is certified without a decision.
            (Ok(_), Err(error)) => error.reason(),
        };
        self.metrics.certified(outcome.is_ok());
        let number = self.reasons.number(reason);
        if let Err(error) = tell(session, id, outcome.as_ref().ok(), number).await {
            tracing::warn!(id, "a request for an SVID could not be answered: {error}");
        }
        let line = Line {
            reason: reason.to_owned(),
            ..case.line(number)
        };
        self.audit.write(line.certified(&outcome));
    }
}

/// A question, and what came of it.
struct Case {
    ruling: Arc<Ruling>,
    mode: Mode,
    connection: Connection,
    judgement: Judgement,
    since: Instant,
    deadline: Instant,
}

/// Gives the kernel the SVID, or the number of the reason why there is none.
async fn tell(
    session: &Session,
    id: u64,
    svid: Option<&Svid>,
    reason: u32,
) -> Result<(), SessionError> {
    let Some(svid) = svid else {
        return session.issued(id, Issued::Refused(reason)).await;
    };
    let mut buffer = vec![0; MAX_LIST];
    let none = EncodeError::Value {
        field: "the length of a certificate",
        value: 0,
    };
    let chain = svid.chain.iter().map(|der| Certificate::new(der));
    let chain: Vec<Certificate<'_>> = chain.collect::<Option<_>>().ok_or(none)?;
    let chain = Certificates::encode(chain, &mut buffer)?;
    session.issued(id, Issued::Svid(chain)).await
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

impl Case {
    /// What is recorded of it.
    fn line(&self, reason_number: u32) -> Line {
        let facts = &self.judgement.facts;
        let attestation = self.judgement.attestation.as_ref();
        let attributes = attestation.map(|of| &of.attributes);
        let container = attributes.and_then(|of| of.container.as_ref());
        let decision = self.judgement.decision.as_ref();
        let event = |decision: &Decision| match decision.mode {
            tidelock_policy::DecisionMode::Deny => Event::Denied,
            _ => Event::Allowed,
        };
        Line {
            time: rfc3339(SystemTime::now()),
            event: decision.map_or(Event::Error, event),
            direction: direction(self.connection.direction),
            local: self.connection.local,
            remote: self.connection.remote,
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
            svid_serial: None,
            svid_not_after: None,
            ttl_seconds: decision.map_or(0, |decision| decision.ttl_seconds),
            generation: self.ruling.generation,
            policy: self.ruling.revision.clone(),
            mode: self.mode,
            micros: u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Line {
    /// The same question, asked for an SVID.
    fn certified(self, outcome: &Result<Svid, CertifyError>) -> Self {
        match outcome {
            Ok(svid) => Self {
                event: Event::Issued,
                svid_serial: Some(hex::encode(&svid.serial)),
                svid_not_after: Some(rfc3339(svid.validity.to)),
                ..self
            },
            Err(error) => Self {
                event: Event::Unissued,
                detail: Some(error.to_string()),
                ..self
            },
        }
    }
}

/// The direction, as the interface words it.
pub const fn direction(of: tidelock_wire::Direction) -> tidelock_api::Direction {
    match of {
        tidelock_wire::Direction::Connect => tidelock_api::Direction::Connect,
        tidelock_wire::Direction::Accept => tidelock_api::Direction::Accept,
    }
}
