// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A compiled policy, and what it is asked.

use std::net::{IpAddr, Ipv4Addr};

use serde::Serialize;

use crate::{
    bundle::Bundle,
    decision::Decision,
    engine::{Limits, Program},
    error::PolicyError,
    input::{Direction, Endpoint, InodeId, Input, NamespaceIds, Process},
    manifest::Manifest,
};

/// The rule that decides.
pub(crate) const ENTRYPOINT: &str = "data.tidelock.decision";

/// Rules and data that were checked and can be asked. It never changes; share it by `Arc`.
pub struct Policy {
    program: Program,
    revision: String,
    digest: [u8; 32],
}

/// A decision and how it came about, for people.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The decision: the same that [`Policy::decide`] gives.
    pub decision: Decision,
    /// The revision of the policy that decided.
    pub revision: String,
    /// What each rule of `package tidelock` says of this connection.
    pub rules: Vec<RuleValue>,
    /// What the rules printed.
    pub prints: Vec<String>,
    /// Which lines were evaluated on the way to the decision.
    pub files: Vec<CoveredFile>,
}

/// What a rule says.
#[derive(Debug, Serialize)]
pub struct RuleValue {
    /// Its name, such as `data.tidelock.known`.
    pub rule: String,
    /// Its value; none where it is undefined.
    pub value: Option<serde_json::Value>,
}

/// A file of rules, with what was evaluated of it.
#[derive(Debug, Serialize)]
pub struct CoveredFile {
    /// Its name in the bundle.
    pub file: String,
    /// The lines that say something.
    pub lines: Vec<CoveredLine>,
}

/// A line of a file of rules.
#[derive(Debug, Serialize)]
pub struct CoveredLine {
    /// Its number, from 1.
    pub line: u32,
    /// What it says.
    pub text: String,
    /// Whether it was evaluated. That says nothing of the outcome.
    pub evaluated: bool,
}

impl Policy {
    /// Compiles a bundle, and asks it about one connection of each direction, so that what has
    /// no default or cannot work at all is known before it is needed.
    pub fn load(bundle: &Bundle) -> Result<Self, PolicyError> {
        Self::load_with(bundle, Limits::default())
    }

    /// As [`Self::load`], with other limits.
    pub fn load_with(bundle: &Bundle, limits: Limits) -> Result<Self, PolicyError> {
        let manifest = Manifest::of(bundle)?;
        let policy = Self {
            program: Program::compile(bundle, &manifest, limits)?,
            revision: manifest.revision,
            digest: bundle.digest(),
        };
        for direction in [Direction::Connect, Direction::Accept] {
            policy.decide(&probe(direction))?;
        }
        Ok(policy)
    }

    /// What becomes of this connection. An error is never an allow: the caller denies.
    pub fn decide(&self, input: &Input) -> Result<Decision, PolicyError> {
        decision(self.program.evaluate(Some(&document(input)?), ENTRYPOINT)?)
    }

    /// The same, with how it came about. Slow, and for people.
    pub fn explain(&self, input: &Input) -> Result<Explanation, PolicyError> {
        let document = document(input)?;
        let (value, remains) = self.program.trace(&document, ENTRYPOINT)?;
        let decision = decision(value)?;
        let mut names: Vec<&str> = self
            .program
            .rules
            .iter()
            .filter(|rule| rule.path.starts_with("data.tidelock.") && !rule.is_function)
            .filter(|rule| rule.path.matches('.').count() == 2)
            .filter(|rule| !rule.path.contains('[') && !crate::testing::is_test(rule))
            .map(|rule| rule.path.as_str())
            .collect();
        names.dedup();
        let value = |rule: &str| {
            Ok(RuleValue {
                rule: rule.into(),
                value: self.program.evaluate(Some(&document), rule)?,
            })
        };
        let rules = names
            .into_iter()
            .map(value)
            .collect::<Result<_, PolicyError>>()?;
        Ok(Explanation {
            decision,
            revision: self.revision.clone(),
            rules,
            prints: remains.prints,
            files: remains.coverage.files.iter().map(covered).collect(),
        })
    }

    /// What the author calls this state of the policy, or `sha256:` and the beginning of the
    /// digest.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// SHA-256 over the bundle's content: see [`Bundle::digest`].
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("revision", &self.revision)
            .field("digest", &hex::encode(self.digest))
            .finish_non_exhaustive()
    }
}

fn document(input: &Input) -> Result<serde_json::Value, PolicyError> {
    input.check()?;
    serde_json::to_value(input).map_err(|error| PolicyError::Evaluation {
        reason: format!("the input cannot be written: {error}"),
    })
}

fn decision(value: Option<serde_json::Value>) -> Result<Decision, PolicyError> {
    let value = value.ok_or(PolicyError::Undefined)?;
    // The decoder would take the fields in a list, too.
    if !value.is_object() {
        return Err(PolicyError::Shape {
            reason: "it is no object".into(),
        });
    }
    serde_json::from_value(value).map_err(|error| PolicyError::Shape {
        reason: error.to_string(),
    })
}

fn covered(file: &regorus::coverage::File) -> CoveredFile {
    let texts: Vec<&str> = file.code.lines().collect();
    let all = file.covered.union(&file.not_covered);
    CoveredFile {
        file: file.path.clone(),
        lines: all
            .map(|line| CoveredLine {
                line: *line,
                text: usize::try_from(line.saturating_sub(1))
                    .ok()
                    .and_then(|index| texts.get(index))
                    .map_or_else(String::new, |text| (*text).to_owned()),
                evaluated: file.covered.contains(line),
            })
            .collect(),
    }
}

/// A connection of nobody to nowhere, by which a policy is tried out when it is loaded.
fn probe(direction: Direction) -> Input {
    let nowhere = Endpoint {
        ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 0,
    };
    Input {
        direction,
        local: nowhere,
        remote: nowhere,
        process: Process {
            pid: u32::MAX,
            start_time_ns: 0,
            uid: u32::MAX,
            euid: u32::MAX,
            gid: u32::MAX,
            egid: u32::MAX,
            comm: "probe".into(),
            exe: None,
            exe_sha256: None,
            exe_inode: InodeId {
                device: "0:0".into(),
                inode: 0,
                generation: 0,
            },
            cgroup: None,
            cgroup_id: 0,
            systemd_unit: None,
            container: None,
            namespaces: NamespaceIds {
                net: 0,
                mnt: 0,
                pid: 0,
                user: 0,
                cgroup: 0,
            },
        },
    }
}
