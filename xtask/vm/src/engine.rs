// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What executes guests on this host: which QEMU, which accelerator and why.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tidelock_host::files;
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    boot,
    machine::qemu::{Accel, Qemu},
    spec::CellSpec,
    watch::End,
};

/// How long the canary may take. A kernel that KVM can run is up in one.
const CANARY: Duration = Duration::from_secs(5);
/// Raise it when the canary changes.
const VERSION: u32 = 1;
const KVM: &str = "/dev/kvm";

/// The accelerator that works here, and how that is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accelerator {
    /// Which.
    pub kind: Accel,
    /// Why that one.
    pub reason: String,
}

/// All that is needed to run cells.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The QEMU.
    pub qemu: Qemu,
    /// What it runs guests on.
    pub accelerator: Accelerator,
    /// Where kernels and states are kept.
    pub cache: PathBuf,
    /// How much the saved states may take on disk.
    pub state_budget: u64,
}

impl Engine {
    /// For the report: `tcg (QEMU 10.0.2, cpu max): reason`.
    pub fn describe(&self) -> String {
        let Accelerator { kind, reason } = &self.accelerator;
        let cpu = crate::machine::qemu::cpu(*kind, self.qemu.version);
        format!(
            "{} (QEMU {}, cpu {}: {}): {reason}",
            kind.as_str(),
            self.qemu.version,
            cpu.model,
            cpu.reason
        )
    }
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    works: bool,
    reason: String,
}

/// Finds out whether KVM runs kernels here, by booting one: `/dev/kvm` can open, and a machine
/// be made, where no stock kernel ever comes up. The answer is kept per host kernel and QEMU.
///
/// `canary` is any cell; its logs get a folder `canary`.
pub async fn probe(qemu: &Qemu, canary: &CellSpec, cache: &Path) -> Accelerator {
    match known(qemu, cache) {
        Some(answer) => answer,
        None => remember(fly(qemu, canary).await, &place(qemu, cache)).into(),
    }
}

/// The answer, as far as it can be told without booting anything.
pub fn known(qemu: &Qemu, cache: &Path) -> Option<Accelerator> {
    if let Err(error) = std::fs::File::options().read(true).write(true).open(KVM) {
        return Some(tcg(format!("{KVM} does not open: {error}")));
    }
    let text = std::fs::read(place(qemu, cache)).ok()?;
    let answer: Remembered = serde_json::from_slice(&text).ok()?;
    Some(answer.into())
}

/// What to run on where no kernel could be had to find out with.
pub fn unprobed(why: &str) -> Accelerator {
    tcg(format!(
        "{KVM} opens, and whether it runs a kernel was not found out: {why}"
    ))
}

fn tcg(reason: String) -> Accelerator {
    Accelerator {
        kind: Accel::Tcg,
        reason,
    }
}

impl From<Remembered> for Accelerator {
    fn from(answer: Remembered) -> Self {
        Self {
            kind: if answer.works { Accel::Kvm } else { Accel::Tcg },
            reason: answer.reason,
        }
    }
}

fn place(qemu: &Qemu, cache: &Path) -> PathBuf {
    cache
        .join("accelerator")
        .join(format!("{}.json", host_key(qemu)))
}

fn remember(answer: Remembered, path: &Path) -> Remembered {
    if let Ok(text) = serde_json::to_vec_pretty(&answer) {
        // Not remembered, it is found out again the next time.
        let _ = files::write_atomic(path, &text);
    }
    answer
}

fn host_key(qemu: &Qemu) -> Sha256 {
    let uname = rustix::system::uname();
    KeyBuilder::new("accelerator", VERSION)
        .digest("qemu", &qemu.digest)
        .bytes("release", uname.release().to_bytes())
        .bytes("version", uname.version().to_bytes())
        .bytes("machine", uname.nodename().to_bytes())
        .finish()
}

async fn fly(qemu: &Qemu, canary: &CellSpec) -> Remembered {
    let mut canary = canary.clone();
    canary.logs = canary.logs.join("canary");
    canary.limits.boot = CANARY;
    let answer = |works, reason: String| Remembered { works, reason };
    match boot::once(qemu, Accel::Kvm, &canary).await {
        Ok(End::Said(_)) => answer(true, "a kernel came up under KVM".into()),
        Ok(End::Silent(_) | End::Overtime(_)) => answer(
            false,
            format!(
                "{KVM} opens, but a kernel did not come up under KVM in {} s",
                CANARY.as_secs()
            ),
        ),
        Ok(other) => answer(
            false,
            format!("{KVM} opens, but a kernel did not come up under KVM: {other:?}"),
        ),
        Err(error) => answer(
            false,
            format!("{KVM} opens, but QEMU does not run under KVM: {error}"),
        ),
    }
}
