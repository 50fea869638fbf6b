// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The attestors that are always there.

use std::sync::Arc;

use super::{
    AttestError, Attestor, Attributes, Hasher, Subject, cgroup, executable::Executable, procfs,
};

/// The executable: that it is the kernel's, and its SHA-256.
#[derive(Debug)]
pub struct ExecutableDigest {
    hasher: Arc<Hasher>,
}

impl ExecutableDigest {
    /// One that computes digests here.
    pub const fn new(hasher: Arc<Hasher>) -> Self {
        Self { hasher }
    }
}

impl Attestor for ExecutableDigest {
    fn name(&self) -> &'static str {
        "executable"
    }

    fn attest(&self, subject: &Subject<'_>, found: &mut Attributes) -> Result<(), AttestError> {
        let executable = Executable::open(subject.process, &subject.facts.executable)?;
        let digest = executable.digest(subject.process, &self.hasher, subject.deadline)?;
        found.exe_sha256 = Some(hex::encode(digest));
        Ok(())
    }
}

/// The control group: unit, container and pod.
#[derive(Debug)]
pub struct ControlGroup;

impl Attestor for ControlGroup {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn attest(&self, subject: &Subject<'_>, found: &mut Attributes) -> Result<(), AttestError> {
        // The kernel names the group of the unified hierarchy. Where everybody is in its root,
        // version 1 is in use, and the groups are told by its hierarchies.
        let unified = subject.facts.cgroup.as_deref().filter(|path| *path != "/");
        let all;
        let paths = if let Some(path) = unified {
            vec![path]
        } else {
            all = subject.process.text("cgroup")?;
            procfs::cgroups(&all)
        };
        found.container = paths.iter().find_map(|path| cgroup::container(path));
        found.systemd_unit = paths.iter().find_map(|path| cgroup::systemd_unit(path));
        Ok(())
    }
}
