// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Attestation: what is true of the process that asks.
//!
//! The kernel's facts come first and are never contradicted. What else is wanted is looked up
//! while the process is held ([`pin`]), by a list of [`Attestor`]s; each adds what it knows, or
//! refuses the process. All of it blocks and belongs on a thread that may.

mod builtin;
pub mod cgroup;
mod error;
pub mod executable;
mod facts;
pub mod hasher;
pub mod pin;
pub mod procfs;
mod survey;

use std::{sync::Arc, time::Instant};

pub use self::{
    builtin::{ControlGroup, ExecutableDigest},
    cgroup::Container,
    error::AttestError,
    facts::{ExecutableId, Facts, Started},
    hasher::Hasher,
    pin::Pinned,
    survey::survey,
};

/// What the look-ups add to the kernel's facts.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Attributes {
    /// The executable's SHA-256, in hexadecimal.
    pub exe_sha256: Option<String>,
    /// The systemd unit.
    pub systemd_unit: Option<String>,
    /// The container.
    pub container: Option<Container>,
}

/// A process that an [`Attestor`] looks at.
#[derive(Debug)]
pub struct Subject<'a> {
    /// What the kernel said.
    pub facts: &'a Facts,
    /// The process, held.
    pub process: &'a Pinned,
    /// When the answer must be there.
    pub deadline: Instant,
}

/// A source of attributes. What it reads of the process it reads through [`Subject::process`],
/// so that it is of the same process.
pub trait Attestor: Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Adds what it knows to `found`.
    ///
    /// # Errors
    /// When the process must be refused.
    fn attest(&self, subject: &Subject<'_>, found: &mut Attributes) -> Result<(), AttestError>;
}

/// A process that is shown to be what the kernel saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attestation {
    /// What the kernel said.
    pub facts: Facts,
    /// What was looked up.
    pub attributes: Attributes,
}

/// Attests processes by a list of attestors, each in its turn.
#[derive(Clone)]
pub struct Attestors(Arc<[Box<dyn Attestor>]>);

impl Attestors {
    /// Those that are built in, with room for more.
    pub fn built_in(hasher: Arc<Hasher>) -> Vec<Box<dyn Attestor>> {
        vec![
            Box::new(ExecutableDigest::new(hasher)),
            Box::new(ControlGroup),
        ]
    }

    /// These.
    pub fn new(list: Vec<Box<dyn Attestor>>) -> Self {
        Self(list.into())
    }

    /// Attests the process that the kernel saw. Blocks.
    ///
    /// # Errors
    /// When it is not there, is another, or an attestor refuses it.
    pub fn attest(&self, facts: Facts, deadline: Instant) -> Result<Attestation, AttestError> {
        let process = Pinned::open(facts.pid, facts.started)?;
        let looked = self.look(facts, &process, deadline);
        // Before anything that was read is believed, errors included: a process that ended or
        // whose number was reused reads as something else.
        process.verify()?;
        looked
    }

    fn look(
        &self,
        mut facts: Facts,
        process: &Pinned,
        deadline: Instant,
    ) -> Result<Attestation, AttestError> {
        // No kernel lets a module tell it.
        if facts.namespaces.mount == 0 {
            facts.namespaces.mount = survey::namespace(process, "ns/mnt")?;
        }
        let attributes = self.look_up(&facts, process, deadline)?;
        Ok(Attestation { facts, attributes })
    }

    fn look_up(
        &self,
        facts: &Facts,
        process: &Pinned,
        deadline: Instant,
    ) -> Result<Attributes, AttestError> {
        let subject = Subject {
            facts,
            process,
            deadline,
        };
        let mut found = Attributes::default();
        for attestor in self.0.iter() {
            attestor.attest(&subject, &mut found)?;
        }
        Ok(found)
    }
}

impl std::fmt::Debug for Attestors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.0.iter().map(|attestor| attestor.name());
        f.debug_list().entries(names).finish()
    }
}
