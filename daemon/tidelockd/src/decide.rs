// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One question, one verdict: attest, ask the policy, say what becomes of the connection.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tidelock_policy::{Decision, DecisionMode, Policy, PolicyError};
use tidelock_wire::{MAX_TTL_MS, Verdict};

use crate::{
    attest::{AttestError, Attestation, Attestors, Facts},
    input::{Connection, input},
};

/// The policy in force, and the number that the kernel knows it by.
pub struct Ruling {
    /// The policy; none where not one could be had: then everything is refused.
    pub policy: Option<Arc<Policy>>,
    /// Its number.
    pub generation: u64,
    /// Its revision, as its maker says.
    pub revision: String,
    /// The digest of its files.
    pub digest: String,
    /// Where it came from.
    pub source: String,
}

impl fmt::Debug for Ruling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ruling")
            .field("generation", &self.generation)
            .field("revision", &self.revision)
            .field("digest", &self.digest)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Why there is no decision. The connection is refused.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The process is not shown to be what the kernel saw.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// The policy has no answer.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no policy.
    #[error("no policy is in force")]
    NoPolicy,
    /// There was no time.
    #[error("the decision took longer than the kernel waits")]
    Timeout,
    /// The daemon itself failed.
    #[error("the decision was given up: {0}")]
    Internal(String),
}

impl JudgeError {
    /// The reason that the verdict carries: one of a few.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Attest(error) => error.reason(),
            Self::Policy(_) => "policy: it failed on this question",
            Self::NoPolicy => "policy: none is in force",
            Self::Timeout => "daemon: the decision took too long",
            Self::Internal(_) => "daemon: the decision was given up",
        }
    }
}

/// What came of a question.
#[derive(Debug)]
pub struct Judgement {
    /// What the kernel said.
    pub facts: Facts,
    /// What was looked up; none where the process could not be attested.
    pub attestation: Option<Attestation>,
    /// The decision.
    pub decision: Result<Decision, JudgeError>,
}

/// Attests and decides. Blocks.
pub fn judge(
    attestors: &Attestors,
    ruling: &Ruling,
    connection: Connection,
    facts: Facts,
    deadline: Instant,
) -> Judgement {
    let attestation = match attestors.attest(facts.clone(), deadline) {
        Ok(attestation) => attestation,
        Err(error) => {
            return Judgement {
                facts,
                attestation: None,
                decision: Err(error.into()),
            };
        }
    };
    let decision = match &ruling.policy {
        Some(policy) => policy
            .decide(&input(connection, &attestation))
            .map_err(JudgeError::from),
        None => Err(JudgeError::NoPolicy),
    };
    Judgement {
        facts,
        attestation: Some(attestation),
        decision,
    }
}

/// Like [`judge`], on a thread that may block, and no longer than until `deadline`: what is not
/// decided by then is refused.
pub async fn judge_in_time(
    attestors: Attestors,
    ruling: Arc<Ruling>,
    connection: Connection,
    facts: Facts,
    deadline: Instant,
) -> Judgement {
    let asked = facts.clone();
    let failed = |error| Judgement {
        facts: asked,
        attestation: None,
        decision: Err(error),
    };
    let work = tokio::task::spawn_blocking(move || {
        judge(&attestors, &ruling, connection, facts, deadline)
    });
    match tokio::time::timeout_at(deadline.into(), work).await {
        Ok(Ok(judgement)) => judgement,
        Ok(Err(error)) => failed(JudgeError::Internal(error.to_string())),
        Err(_) => failed(JudgeError::Timeout),
    }
}

/// The verdict for the kernel. What failed is refused and not kept: it may be otherwise the next
/// time.
pub fn verdict(
    decision: &Result<Decision, JudgeError>,
    generation: u64,
    number: impl FnOnce(&str) -> u32,
) -> Verdict {
    let (mode, ttl_ms, reason) = match decision {
        Ok(decision) => {
            let ttl = Duration::from_secs(decision.ttl_seconds.into()).as_millis();
            let ttl = u32::try_from(ttl).unwrap_or(MAX_TTL_MS).min(MAX_TTL_MS);
            (decision.mode, ttl, decision.reason.as_str())
        }
        Err(error) => (DecisionMode::Deny, 0, error.reason()),
    };
    Verdict {
        decision: match mode {
            DecisionMode::Deny => tidelock_wire::Decision::Deny,
            DecisionMode::Plain => tidelock_wire::Decision::Plain,
            DecisionMode::Mtls => tidelock_wire::Decision::Mtls,
        },
        reason: number(reason),
        ttl_ms,
        generation,
    }
}

/// The word for a mode.
pub const fn name(mode: DecisionMode) -> &'static str {
    match mode {
        DecisionMode::Deny => "deny",
        DecisionMode::Plain => "plain",
        DecisionMode::Mtls => "mtls",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(mode: DecisionMode, ttl_seconds: u32) -> Decision {
        Decision {
            mode,
            spiffe_id: None,
            peers: Vec::new(),
            ttl_seconds,
            reason: "because".into(),
        }
    }

    #[test]
    fn a_verdict_says_what_was_decided() {
        for (mode, expected) in [
            (DecisionMode::Deny, tidelock_wire::Decision::Deny),
            (DecisionMode::Plain, tidelock_wire::Decision::Plain),
            (DecisionMode::Mtls, tidelock_wire::Decision::Mtls),
        ] {
            let verdict = verdict(&Ok(decided(mode, 5)), 9, |text| {
                assert_eq!(text, "because");
                77
            });
            let expected = Verdict {
                decision: expected,
                reason: 77,
                ttl_ms: 5000,
                generation: 9,
            };
            assert_eq!(verdict, expected);
        }
        let longest = verdict(&Ok(decided(DecisionMode::Plain, u32::MAX)), 9, |_| 1);
        assert_eq!(longest.ttl_ms, MAX_TTL_MS);
    }

    #[test]
    fn what_failed_is_refused_and_not_kept() {
        for error in [
            JudgeError::NoPolicy,
            JudgeError::Timeout,
            JudgeError::Internal("x".into()),
            AttestError::Gone { pid: 1 }.into(),
        ] {
            let reason = error.reason();
            let verdict = verdict(&Err(error), 9, |text| {
                assert_eq!(text, reason);
                3
            });
            assert_eq!(verdict.decision, tidelock_wire::Decision::Deny);
            assert_eq!(
                (verdict.ttl_ms, verdict.generation, verdict.reason),
                (0, 9, 3)
            );
        }
    }
}
