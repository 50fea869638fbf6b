// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why there is no policy, or no decision. Never a decision itself.

use std::time::Duration;

use crate::{
    bundle::BundleError, decision::DecisionError, input::InputError, store::StoreError,
    testing::TestReport,
};

/// A policy cannot be had, or did not decide.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The files are no bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle's own description is wrong.
    #[error(".manifest: {reason}")]
    Manifest {
        /// What is wrong.
        reason: String,
    },
    /// Data cannot be read.
    #[error("{file}: {reason}")]
    Data {
        /// The file of the bundle.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// Rules or data outside what the manifest claims.
    #[error("{path} lies outside the roots of .manifest: name it there, or move it")]
    OutsideRoots {
        /// Where in `data`.
        path: String,
    },
    /// Data where a rule is. One of them would be passed over.
    #[error("{path} is both a rule and data: rename one of them")]
    Shadowed {
        /// Where in `data`.
        path: String,
    },
    /// A file of rules is not Rego.
    #[error("{file} is not valid Rego:\n{reason}")]
    Rego {
        /// The file of the bundle.
        file: String,
        /// What the compiler said, with line and column.
        reason: String,
    },
    /// The rules do not fit together.
    #[error("the rules do not compile:\n{reason}")]
    Compile {
        /// What the compiler said, with line and column.
        reason: String,
    },
    /// There are too many of them.
    #[error("the bundle has {rules} rules, {limit} are allowed: put lists into data")]
    TooManyRules {
        /// How many there are.
        rules: usize,
        /// How many there may be.
        limit: usize,
    },
    /// There is no decision at all.
    #[error("no rule data.tidelock.decision: define `decision` in `package tidelock`")]
    NoDecisionRule,
    /// A question that no question can be.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The rules say nothing about this connection.
    #[error(
        "data.tidelock.decision is undefined for this connection: \
         give it a default, as in `default decision := {{\"mode\": \"deny\", …}}`"
    )]
    Undefined,
    /// The rules contradict each other, or something in them cannot be computed.
    #[error("the rules cannot be evaluated:\n{reason}")]
    Evaluation {
        /// What the interpreter said, with line and column.
        reason: String,
    },
    /// The rules do not come to an end.
    #[error("the rules took longer than {limit:?}")]
    TimeLimit {
        /// How long they may take.
        limit: Duration,
    },
    /// The interpreter gave up in a way that it should not.
    #[error("the interpreter failed: {reason}")]
    Interpreter {
        /// What is known of it.
        reason: String,
    },
    /// The rules answer with something that is no decision.
    #[error("data.tidelock.decision is not a decision: {reason}")]
    Shape {
        /// What is wrong.
        reason: String,
    },
    /// The same, where the parts do not fit together.
    #[error("data.tidelock.decision is not a decision: {0}")]
    Decision(#[from] DecisionError),
    /// The policy's own tests fail.
    #[error("the policy's own tests fail:\n{0}")]
    Tests(Box<TestReport>),
    /// The folder of the activated policies.
    #[error(transparent)]
    Store(#[from] StoreError),
}
