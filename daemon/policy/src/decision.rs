// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a policy answers.

use serde::{Deserialize, Serialize, Serializer};
use tidelock_tls::{SpiffeId, SpiffeIdError};

use crate::{PeerPattern, PeerPatternError};

/// How long a decision holds when it does not say.
pub const DEFAULT_TTL_SECONDS: u32 = 60;
/// The longest that a decision may hold: a day, as in the frames to the module.
pub const MAX_TTL_SECONDS: u32 = 24 * 60 * 60;
/// The most patterns of peers in one decision, as in the frames to the module.
pub const MAX_PEERS: usize = 64;
/// The longest that they may be together, in bytes.
pub const MAX_PEERS_BYTES: usize = 12_000;
/// The longest reason, in bytes.
const MAX_REASON: usize = 256;

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionMode {
    /// It is refused.
    Deny,
    /// It is left as it is.
    Plain,
    /// It becomes mutual TLS, or is refused where that cannot be had.
    Mtls,
}

/// The answer to an [`crate::Input`]: the rule `data.tidelock.decision`.
///
/// Only what [`Decision::check`] accepts is ever made from a policy's answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Decision {
    /// What becomes of the connection.
    pub mode: DecisionMode,
    /// Who the process is. Always there for [`DecisionMode::Mtls`].
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub spiffe_id: Option<SpiffeId>,
    /// Who may be at the other end: any of these. Never empty for [`DecisionMode::Mtls`], and
    /// always empty otherwise, for then nobody looks at them.
    pub peers: Vec<PeerPattern>,
    /// How long it holds for the same identity and the same connection. 0: this time alone.
    pub ttl_seconds: u32,
    /// Why, for people.
    pub reason: String,
}

/// A policy's answer is no decision.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecisionError {
    /// The process's own identity is not valid.
    #[error("spiffe_id: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// The process's own identity is that of the trust domain itself.
    #[error("spiffe_id names no workload: give it a path, as in spiffe://example.org/db")]
    NoPath,
    /// A peer is not valid.
    #[error("peers[{index}]: {source}")]
    Peer {
        /// Which one, from 0.
        index: usize,
        /// Why not.
        source: PeerPatternError,
    },
    /// mTLS without an identity.
    #[error("mode is mtls and there is no spiffe_id: say who the process is")]
    NoIdentity,
    /// mTLS with nobody.
    #[error("mode is mtls and peers is empty: name whom it may talk to; nobody is never anyone")]
    NoPeers,
    /// Peers that nobody would check.
    #[error("peers without mode mtls would not be checked by anybody: leave them out")]
    UncheckedPeers,
    /// Too many peers.
    #[error("peers has {0} entries, {MAX_PEERS} are allowed")]
    TooManyPeers(usize),
    /// Too long peers.
    #[error("peers has {0} bytes, {MAX_PEERS_BYTES} are allowed: name their trust domain")]
    PeersTooLong(usize),
    /// Too long a time to live.
    #[error("ttl_seconds is {0}, {MAX_TTL_SECONDS} is allowed")]
    Ttl(u32),
    /// Too long a reason.
    #[error("reason has {0} bytes, {MAX_REASON} are allowed")]
    ReasonTooLong(usize),
    /// A reason that would break a line of a log.
    #[error("reason is empty or holds a control character: say in one line why")]
    Reason,
}

/// A decision as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    mode: DecisionMode,
    #[serde(default)]
    spiffe_id: Option<String>,
    #[serde(default)]
    peers: Vec<String>,
    #[serde(default = "default_ttl")]
    ttl_seconds: u32,
    reason: String,
}

fn default_ttl() -> u32 {
    DEFAULT_TTL_SECONDS
}

impl TryFrom<Raw> for Decision {
    type Error = DecisionError;

    fn try_from(raw: Raw) -> Result<Self, DecisionError> {
        // Before the loop: what is too much is not parsed.
        if raw.peers.len() > MAX_PEERS {
            return Err(DecisionError::TooManyPeers(raw.peers.len()));
        }
        let peer = |(index, text): (usize, &String)| {
            text.parse()
                .map_err(|source| DecisionError::Peer { index, source })
        };
        let decision = Self {
            mode: raw.mode,
            spiffe_id: raw.spiffe_id.as_deref().map(SpiffeId::parse).transpose()?,
            peers: raw
                .peers
                .iter()
                .enumerate()
                .map(peer)
                .collect::<Result<_, _>>()?,
            ttl_seconds: raw.ttl_seconds,
            reason: raw.reason,
        };
        decision.check()?;
        Ok(decision)
    }
}

impl Decision {
    /// Whether the parts fit together.
    pub fn check(&self) -> Result<(), DecisionError> {
        if self.spiffe_id.as_ref().is_some_and(|id| !id.has_path()) {
            return Err(DecisionError::NoPath);
        }
        if self.peers.len() > MAX_PEERS {
            return Err(DecisionError::TooManyPeers(self.peers.len()));
        }
        let bytes = self.peers.iter().map(PeerPattern::bytes).sum();
        if bytes > MAX_PEERS_BYTES {
            return Err(DecisionError::PeersTooLong(bytes));
        }
        if self.mode == DecisionMode::Mtls {
            if self.spiffe_id.is_none() {
                return Err(DecisionError::NoIdentity);
            }
            if self.peers.is_empty() {
                return Err(DecisionError::NoPeers);
            }
        } else if !self.peers.is_empty() {
            return Err(DecisionError::UncheckedPeers);
        }
        if self.ttl_seconds > MAX_TTL_SECONDS {
            return Err(DecisionError::Ttl(self.ttl_seconds));
        }
        if self.reason.len() > MAX_REASON {
            return Err(DecisionError::ReasonTooLong(self.reason.len()));
        }
        if self.reason.is_empty() || self.reason.chars().any(char::is_control) {
            return Err(DecisionError::Reason);
        }
        Ok(())
    }

    /// Whether this workload may be at the other end.
    pub fn allows_peer(&self, id: &SpiffeId) -> bool {
        self.peers.iter().any(|pattern| pattern.matches(id))
    }
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn as_text<S: Serializer>(id: &Option<SpiffeId>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.serialize_str(id.as_str()),
        None => serializer.serialize_none(),
    }
}
