// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The decision engine of the daemon: who may talk to whom, in Rego.
//!
//! A [`Bundle`] of rules and data becomes a [`Policy`], which answers one question about one
//! connection: an [`Input`] becomes a [`Decision`]. Whatever goes wrong on the way is a
//! [`PolicyError`] and never a decision, so that a mistake in a policy opens nothing. What rules
//! may rely on is said in `docs/policy.md`.

#![forbid(unsafe_code)]

mod bundle;
mod data;
mod decision;
mod embedded;
mod engine;
mod error;
mod input;
mod manifest;
mod peer;
mod policy;
mod recursion;
pub mod remote;
mod store;
mod testing;
#[cfg(test)]
mod tests;
mod turns;

pub use bundle::{Bundle, BundleError};
pub use decision::{
    DEFAULT_TTL_SECONDS, Decision, DecisionError, DecisionMode, MAX_PEERS, MAX_PEERS_BYTES,
    MAX_TTL_SECONDS,
};
pub use embedded::{EMBEDDED, Embedded};
pub use engine::Limits;
pub use error::PolicyError;
pub use input::{
    Container, Direction, Endpoint, InodeId, Input, InputError, NamespaceIds, Process,
};
pub use peer::{PeerPattern, PeerPatternError};
pub use policy::{CoveredFile, CoveredLine, Explanation, Policy, RuleValue};
pub use store::{Activation, Store, StoreError};
pub use testing::{Location, TestCase, TestOutcome, TestReport, test};
pub use tidelock_tls::{SpiffeId, SpiffeIdError, TrustDomain};
