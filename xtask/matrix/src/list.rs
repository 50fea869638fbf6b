// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The locked kernels, for people and scripts.

use serde::Serialize;
use tidelock_archive::Store;
use tidelock_model::{Arch, Flavour, Release, Series, Tier};

use crate::{
    lock::{Lock, LockedKernel},
    plan::{PlanError, plan},
    spec::Matrix,
};

/// A locked kernel at a glance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Listed {
    /// What `uname -r` says.
    #[serde(rename = "kernel")]
    pub release: Release,
    /// Its series.
    pub series: Series,
    /// Its flavour.
    pub flavour: Flavour,
    /// Its architecture.
    pub arch: Arch,
    /// Its suite.
    pub suite: String,
    /// The version of its packages.
    pub version: String,
    /// Its build root.
    pub root: String,
    /// The tiers that take it.
    pub tiers: Vec<Tier>,
    /// What its packages come to.
    pub bytes: u64,
    /// Whether all of them are in the store.
    pub cached: bool,
}

/// The kernels that [`plan`] would take, with what there is to know of them.
pub fn list(
    matrix: &Matrix,
    lock: &Lock,
    store: &Store,
    tier: Option<Tier>,
    globs: &[String],
) -> Result<Vec<Listed>, PlanError> {
    let mut tiers = Vec::new();
    for tier in Tier::ALL {
        let cells = plan(matrix, lock, Some(*tier), &[])?;
        let releases: Vec<Release> = cells.into_iter().map(|cell| cell.kernel.release).collect();
        tiers.push((*tier, releases));
    }
    let of = |kernel: &LockedKernel| {
        let takes = tiers
            .iter()
            .filter(|(_, releases)| releases.contains(&kernel.release));
        takes.map(|(tier, _)| *tier).collect()
    };
    // Without a wish, everything is listed, where a run would take the quick tier.
    let cells = plan(
        matrix,
        lock,
        tier.or(globs.is_empty().then_some(Tier::Full)),
        globs,
    )?;
    Ok(cells
        .into_iter()
        .map(|cell| cell.kernel)
        .map(|kernel| {
            let files = kernel.files();
            Listed {
                tiers: of(&kernel),
                bytes: files.iter().map(|file| file.size).sum(),
                cached: files.iter().all(|file| store.seems_to_hold(file)),
                release: kernel.release,
                series: kernel.series,
                flavour: kernel.flavour,
                arch: kernel.arch,
                suite: kernel.suite,
                version: kernel.version,
                root: kernel.root,
            }
        })
        .collect())
}
