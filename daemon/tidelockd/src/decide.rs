// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One question, one verdict: attest, ask the policy, say what becomes of the connection.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tidelock_policy::{Decision, DecisionMode, PeerPattern, Policy, PolicyError};
use tidelock_wire::{
    EncodeError, MAX_LIST, MAX_TTL_MS, Peer, Peers, Scope, SpiffeIdRef, Terms, TrustDomainRef,
    Verdict,
};

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

/// A verdict as far as it says nothing of identities, and what it says of them.
struct Said<'a> {
    decision: tidelock_wire::Decision<'a>,
    ttl_ms: u32,
    reason: &'a str,
}

/// The verdict for the kernel. What failed is refused and not kept: it may be otherwise the next
/// time. `buffer` is for what the verdict says of peers.
pub fn verdict<'a>(
    decision: &'a Result<Decision, JudgeError>,
    generation: u64,
    scope: Scope,
    buffer: &'a mut Vec<u8>,
    number: impl FnOnce(&str) -> u32,
) -> Verdict<'a> {
    let refused = |reason| Said {
        decision: tidelock_wire::Decision::Deny,
        ttl_ms: 0,
        reason,
    };
    let said = match decision {
        Ok(decision) => said(decision, scope, buffer).unwrap_or_else(|error| {
            tracing::error!("a decision cannot be told to the kernel: {error}");
            refused("daemon: the decision cannot be told to the kernel")
        }),
        Err(error) => refused(error.reason()),
    };
    Verdict {
        decision: said.decision,
        reason: number(said.reason),
        ttl_ms: said.ttl_ms,
        generation,
    }
}

fn said<'a>(
    decision: &'a Decision,
    scope: Scope,
    buffer: &'a mut Vec<u8>,
) -> Result<Said<'a>, EncodeError> {
    let ttl = Duration::from_secs(decision.ttl_seconds.into()).as_millis();
    Ok(Said {
        decision: match (decision.mode, &decision.spiffe_id) {
            (DecisionMode::Plain, _) => tidelock_wire::Decision::Plain,
            (DecisionMode::Mtls, Some(own)) => {
                buffer.resize(MAX_LIST, 0);
                tidelock_wire::Decision::Mtls(Terms {
                    scope,
                    own: SpiffeIdRef::parse(own.as_str().as_bytes())?,
                    peers: peers(&decision.peers, buffer)?,
                })
            }
            // No decision is for mTLS without an identity.
            (DecisionMode::Deny | DecisionMode::Mtls, _) => tidelock_wire::Decision::Deny,
        },
        ttl_ms: u32::try_from(ttl).unwrap_or(MAX_TTL_MS).min(MAX_TTL_MS),
        reason: &decision.reason,
    })
}

fn peers<'a>(patterns: &[PeerPattern], buffer: &'a mut [u8]) -> Result<Peers<'a>, EncodeError> {
    let peers = patterns.iter().map(|pattern| {
        Ok(match pattern {
            PeerPattern::Id(id) => Peer::Workload(SpiffeIdRef::parse(id.as_str().as_bytes())?),
            PeerPattern::TrustDomain(domain) => {
                Peer::Domain(TrustDomainRef::parse(domain.as_str().as_bytes())?)
            }
        })
    });
    let peers: Vec<Peer<'_>> = peers.collect::<Result<_, EncodeError>>()?;
    Peers::encode(peers, buffer)
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
    use tidelock_policy::SpiffeId;

    use super::*;

    fn decided(mode: DecisionMode, ttl_seconds: u32) -> Decision {
        let mtls = mode == DecisionMode::Mtls;
        let own = mtls.then(|| SpiffeId::parse("spiffe://a.test/b").unwrap());
        let peers = ["spiffe://c.test/d", "spiffe://e.test/*"].map(|text| text.parse().unwrap());
        Decision {
            mode,
            spiffe_id: own,
            peers: if mtls { peers.into() } else { Vec::new() },
            ttl_seconds,
            reason: "because".into(),
        }
    }

    const SCOPE: Scope = Scope::Workload;

    #[test]
    fn a_verdict_says_what_was_decided() {
        for (mode, number) in [
            (DecisionMode::Deny, 1),
            (DecisionMode::Plain, 2),
            (DecisionMode::Mtls, 3),
        ] {
            let (decision, mut buffer) = (Ok(decided(mode, 5)), Vec::new());
            let verdict = verdict(&decision, 9, SCOPE, &mut buffer, |text| {
                assert_eq!(text, "because");
                77
            });
            assert_eq!(verdict.decision.number(), number);
            let rest = (verdict.reason, verdict.ttl_ms, verdict.generation);
            assert_eq!(rest, (77, 5000, 9));
        }
        let (decision, mut buffer) = (Ok(decided(DecisionMode::Plain, u32::MAX)), Vec::new());
        let longest = verdict(&decision, 9, SCOPE, &mut buffer, |_| 1);
        assert_eq!(longest.ttl_ms, MAX_TTL_MS);
    }

    #[test]
    fn a_verdict_names_who_it_is_and_whom_it_may_speak_with() {
        let (decision, mut buffer) = (Ok(decided(DecisionMode::Mtls, 5)), Vec::new());
        let verdict = verdict(&decision, 9, SCOPE, &mut buffer, |_| 1);
        let tidelock_wire::Decision::Mtls(terms) = verdict.decision else {
            panic!("{verdict:?}");
        };
        assert_eq!(
            (terms.scope, terms.own.as_str()),
            (SCOPE, "spiffe://a.test/b")
        );
        let peers: Vec<Peer<'_>> = terms.peers.iter().collect();
        let expected = [
            Peer::Workload(SpiffeIdRef::parse(b"spiffe://c.test/d").unwrap()),
            Peer::Domain(TrustDomainRef::parse(b"e.test").unwrap()),
        ];
        assert_eq!(peers, expected);
    }

    /// The most that a policy may say is what the kernel takes.
    #[test]
    fn limits_are_the_kernels() {
        assert_eq!(
            tidelock_policy::MAX_PEERS,
            usize::from(tidelock_wire::MAX_PEERS)
        );
        assert_eq!(tidelock_policy::MAX_TTL_SECONDS * 1000, MAX_TTL_MS);
        // Each has a kind and a length in front of it.
        let peers = tidelock_policy::MAX_PEERS_BYTES + 3 * tidelock_policy::MAX_PEERS;
        assert!(peers <= MAX_LIST);
        let chain = tidelock_authority::MAX_CHAIN_BYTES + 2 * tidelock_authority::MAX_CHAIN;
        assert!(chain <= MAX_LIST);
        assert_eq!(tidelock_authority::MAX_CHAIN, 4);
        assert_eq!(tidelock_authority::MAX_REQUEST, tidelock_wire::MAX_CSR);
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
            let (decision, mut buffer) = (Err(error), Vec::new());
            let verdict = verdict(&decision, 9, SCOPE, &mut buffer, |text| {
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
