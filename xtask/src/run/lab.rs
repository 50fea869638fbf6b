// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What all cells of a run share.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result};
use tidelock_archive::Fetcher;
use tidelock_core_build::{CoreRequest, Variant};
use tidelock_host::{files, tools::Tool};
use tidelock_kbuild::Sources;
use tidelock_matrix::Cell;
use tidelock_model::{Release, Sha256, Tier};
use tidelock_report::{Live, PlannedCell};
use tidelock_vm::{
    engine::{self, Engine},
    guest::{self, Guest},
    machine::qemu::{Accel, Qemu},
    spec::{CellSpec, Disk},
};
use tokio::sync::OnceCell;

use super::{
    cell,
    core::{self, Core},
    programs::{self, Programs},
    results::Results,
    selection,
    sources::{self, Plans},
    userland::{self, Recipe},
};

/// Disk that saved states of guests may take before the oldest go.
const STATE_BUDGET: u64 = 8 << 30;

/// The host programs that a run needs.
pub(crate) fn host_tools() -> Vec<Tool> {
    let mut tools = tidelock_vm::machine::qemu::TOOLS.to_vec();
    tools.extend([
        tidelock_kbuild::PACKER,
        Tool {
            program: "bwrap",
            package: "bubblewrap",
        },
        Tool {
            program: "ld",
            package: "binutils",
        },
        Tool {
            program: "setpriv",
            package: "util-linux",
        },
        Tool {
            program: "/usr/share/keyrings/debian-archive-keyring.gpg",
            package: "debian-archive-keyring",
        },
    ]);
    tools
}

/// What all cells of a run share.
pub(crate) struct Lab {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// The user's cache folder.
    pub(crate) cache: PathBuf,
    /// The folder of this run.
    pub(crate) run_dir: PathBuf,
    /// The support policy and its lock.
    pub(crate) plans: Plans,
    /// What was asked for.
    pub(crate) tier: Tier,
    /// The tests to run, in order.
    pub(crate) tests: Vec<String>,
    /// Whether tests that take long are left to the kernels that `matrix.toml` names for them.
    pub(super) sparing: bool,
    /// Those of the guest's that may follow another in one machine.
    pub(crate) sharing: BTreeSet<String>,
    /// Those of them that run the project's own programs.
    running: BTreeSet<String>,
    /// Whether every kernel of the tier, and every test, is to be run.
    pub(crate) complete: bool,
    /// Kernels that are listed and not served, for a run that tells of all.
    pub(crate) missing: Vec<Release>,
    /// Whether kept verdicts are passed over.
    pub(crate) rerun: bool,
    /// What shows the run.
    pub(crate) live: Arc<Live>,
    /// Where packages come from.
    pub(crate) fetcher: Fetcher,
    /// The C shim.
    pub(crate) sources: Sources,
    /// The key of the Rust core, known before it is built.
    pub(crate) core_key: Sha256,
    /// PID 1 of the guests.
    pub(crate) guest: Guest,
    /// What the guests' disks are made of.
    pub(crate) userlands: Vec<Recipe>,
    /// Programs of ours that run in guests.
    programs: Programs,
    /// QEMU and its accelerator.
    pub(crate) engine: Engine,
    /// Kept verdicts.
    pub(crate) results: Results,
    core_request: CoreRequest,
    core: OnceCell<Arc<Core>>,
    disks: OnceCell<Vec<Disk>>,
}

/// What to run, and how.
pub(crate) struct LabRequest {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// The folder of this run.
    pub(crate) run_dir: PathBuf,
    /// What was asked for.
    pub(crate) tier: Tier,
    /// Whether the cells are all of the tier, or chosen from it by a pattern.
    pub(crate) all_kernels: bool,
    /// Patterns of names of tests; none for all.
    pub(crate) tests: Vec<String>,
    /// Whether kept verdicts are passed over.
    pub(crate) rerun: bool,
    /// Whether each kernel has every test, however long it takes.
    pub(crate) thorough: bool,
    /// What shows the run.
    pub(crate) live: Arc<Live>,
}

impl Lab {
    /// Makes ready what all cells share; `first` is booted to find the accelerator out, unless
    /// that is known.
    pub(crate) async fn new(
        request: LabRequest,
        plans: Plans,
        fetcher: Fetcher,
        first: &Cell,
    ) -> Result<Self> {
        let cache = files::cache_dir()?;
        let (root, target) = (request.root.clone(), request.root.join("target"));
        let complete = request.all_kernels && request.tests.is_empty();
        let profile = programs::Profile::of(complete, request.thorough, request.tier);
        let built = tokio::task::spawn_blocking(move || {
            let programs = programs::build(&root, &target, programs::PACKAGES, profile)?;
            anyhow::Ok((guest::build(&root, &target)?, programs))
        });
        let (guest, programs) = built.await??;
        let offer = selection::offered(&guest.path)?;
        offer.knows(&plans.matrix.test.heavy)?;
        let offer = offer.chosen(&request.tests)?;
        let sources = Sources::read(&request.root.join("kmod"))?;
        let userlands = Recipe::read(&request.root, &plans.matrix, &plans.lock)?;
        let package = &plans.lock.rust_src;
        let core_request =
            core::request(&request.root, &cache, package, &fetcher, &request.live).await?;
        let missing = complete.then(|| plans.missing(request.tier)).transpose()?;
        let qemu = Qemu::find().context("finding QEMU")?;
        let unknown = engine::Accelerator {
            kind: Accel::Tcg,
            reason: String::new(),
        };
        let mut lab = Self {
            engine: Engine {
                qemu,
                accelerator: unknown,
                cache: cache.clone(),
                state_budget: STATE_BUDGET,
            },
            root: request.root,
            cache,
            run_dir: request.run_dir,
            plans,
            tier: request.tier,
            tests: offer.tests,
            sparing: complete && !request.thorough,
            sharing: offer.sharing,
            running: offer.running,
            complete,
            missing: missing.unwrap_or_default(),
            rerun: request.rerun,
            live: request.live,
            fetcher,
            sources,
            core_key: core_request.key()?,
            core_request,
            userlands,
            programs,
            guest,
            results: Results::of_user()?,
            core: OnceCell::new(),
            disks: OnceCell::new(),
        };
        lab.find_accelerator(first).await;
        Ok(lab)
    }

    /// The project's own programs, where one of these tests runs them: other guests do without, and
    /// their verdicts do not hang on them.
    pub(crate) fn programs_for(&self, tests: &[String]) -> Option<&Programs> {
        let runs = |test: &String| self.running.contains(test);
        tests.iter().any(runs).then_some(&self.programs)
    }

    async fn find_accelerator(&mut self, first: &Cell) {
        let known = engine::known(&self.engine.qemu, &self.cache);
        let answer = match known {
            Some(answer) => answer,
            None => match self.canary(first).await {
                Ok(canary) => engine::probe(&self.engine.qemu, &canary, &self.cache).await,
                // The cell itself tells what it lacks. What always works is slow, and no less true.
                Err(why) => engine::unprobed(&why),
            },
        };
        self.engine.accelerator = answer;
    }

    /// The kernel of `first`, ready to be booted without the module.
    async fn canary(&self, first: &Cell) -> Result<CellSpec, String> {
        let files = first.kernel.image_files();
        let fetched = self
            .fetcher
            .fetch(
                &files,
                sources::shown(&self.live, first.kernel.release.as_str()),
            )
            .await;
        fetched.map_err(|errors| errors.to_string())?;
        let kernel = cell::unpack(self, &first.kernel).map_err(|ending| ending.reason)?;
        let logs = self.run_dir.join("canary");
        let mut canary = cell::spec(self, kernel, PathBuf::new(), &logs);
        canary.module = None;
        Ok(canary)
    }

    /// The Rust core: built once a run, by the first cell that wants it.
    pub(crate) async fn core(&self) -> Result<Arc<Core>> {
        let build = || core::build(self.core_request.clone());
        self.core.get_or_try_init(build).await.cloned()
    }

    /// The disks of guests: packed once a run, by the first cell that wants them.
    pub(crate) async fn disks(&self) -> Result<Vec<Disk>> {
        let pack = || userland::disks(&self.cache, &self.userlands, &self.fetcher, &self.live);
        self.disks.get_or_try_init(pack).await.cloned()
    }

    /// Another variant of the core, for tests of the factory.
    pub(crate) async fn core_variant(&self, variant: Variant) -> Result<Arc<Core>> {
        core::build(CoreRequest {
            variant,
            ..self.core_request.clone()
        })
        .await
    }

    /// A cell as reports plan it.
    pub(crate) fn planned(&self, cell: &Cell) -> PlannedCell {
        PlannedCell {
            kernel: cell.kernel.release.clone(),
            flavour: cell.kernel.flavour,
            arch: cell.kernel.arch,
            suite: cell.kernel.suite.clone(),
            version: cell.kernel.version.clone(),
            tests: self.tests.clone(),
        }
    }
}
