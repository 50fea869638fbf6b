// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests of the stage crates that need real kernels: they get them by the environment.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use tidelock_archive::NoProgress;
use tidelock_host::{files, process};
use tidelock_matrix::{LockedKernel, LockedPackage};
use tidelock_model::Tier;

use super::{Context, Tally, module, passes};
use crate::run::{
    build, cell,
    lab::{Lab, LabRequest},
    runtime,
    sources::{self, Plans},
};

pub(super) fn run(context: &Context) -> Result<Tally> {
    module::host(context)?;
    let dir = context.root.join("target/real");
    let (lab, booted) = runtime::block_on(prepare(context, &dir))?;
    let lab_json = dir.join("lab.json");
    files::write_atomic(&lab_json, &serde_json::to_vec_pretty(&lab)?)?;
    let packages = std::env::join_paths(&booted.packages)?;
    let cache = files::cache_dir()?;
    // The tests that boot look at this process's children: they run one after another.
    let crates = [("tidelock-kbuild", "2"), ("tidelock-vm", "1")];
    let test = |(name, threads): (&str, &str)| {
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cargo = process::command(program);
        cargo.args(["test", "--locked", "--package", name, "--features", "real"]);
        cargo.args(["--test", "real", "--", "--test-threads", threads]);
        cargo.env("TIDELOCK_LAB", &lab_json);
        cargo.env("TIDELOCK_TEST_RELEASE", &booted.release);
        cargo.env("TIDELOCK_TEST_PACKAGES", &packages);
        cargo.env("TIDELOCK_TEST_GUEST", &booted.guest);
        cargo.env("TIDELOCK_TEST_CACHE", &cache);
        passes(cargo, context)
    };
    crates.into_iter().map(test).sum()
}

/// The kernel that the tests of `tidelock-vm` boot.
struct Booted {
    release: String,
    packages: Vec<PathBuf>,
    guest: PathBuf,
}

/// What the tests of `tidelock-kbuild` build for, as they read it, and what is booted.
async fn prepare(
    context: &Context,
    dir: &std::path::Path,
) -> Result<(Vec<serde_json::Value>, Booted)> {
    let plans = Plans::read(&context.root)?;
    let cells = tidelock_matrix::plan(&plans.matrix, &plans.lock, Some(Tier::Quick), &[])
        .map_err(sources::unplannable)?;
    let one = |series: &str| {
        let fits = |cell: &&tidelock_matrix::Cell| {
            cell.kernel.series.to_string() == series && cell.kernel.flavour.as_str() == "standard"
        };
        cells
            .iter()
            .find(fits)
            .with_context(|| format!("the quick tier has no standard {series}"))
    };
    let wanted = [one("5.10")?, one("6.1")?, one("7.3")?];
    let request = LabRequest {
        live: Arc::new(tidelock_report::Live::plain()),
        all_kernels: false,
        run_dir: dir.to_owned(),
        root: context.root.clone(),
        tier: Tier::Quick,
        tests: Vec::new(),
        rerun: true,
    };
    let fetcher = sources::fetcher(&context.source)?;
    let lab = Lab::new(request, plans, fetcher, wanted[1]).await?;
    let mut kernels = Vec::new();
    for cell in wanted {
        cell::fetch(&lab, cell)
            .await
            .map_err(|ending| anyhow!(ending.reason))?;
        lab.fetcher
            .fetch(&cell.kernel.files(), Arc::new(NoProgress))
            .await?;
        kernels.push(described(&lab, &cell.kernel)?);
    }
    let kernel = &wanted[1].kernel;
    let booted = Booted {
        release: kernel.release.to_string(),
        packages: cell::image_packages(&lab, kernel)
            .into_iter()
            .map(|package| package.path)
            .collect(),
        guest: lab.guest.path.clone(),
    };
    Ok((kernels, booted))
}

fn described(lab: &Lab, kernel: &LockedKernel) -> Result<serde_json::Value> {
    let image = cell::unpack(lab, kernel).map_err(|ending| anyhow!(ending.reason))?;
    let sibling = image.modules.first().context("the kernel has no module")?;
    let vermagic = tidelock_kbuild::vermagic_of(&files::read(&sibling.path)?)?;
    let packages = |locked: &[LockedPackage]| -> Vec<serde_json::Value> {
        build::packages(locked, lab.fetcher.store())
            .into_iter()
            .map(|package| {
                serde_json::json!({
                    "name": package.name,
                    "path": package.path,
                    "sha256": package.sha256,
                })
            })
            .collect()
    };
    let root = lab
        .plans
        .lock
        .root(&kernel.root)
        .context("no such build root")?;
    Ok(serde_json::json!({
        "release": kernel.release,
        "vermagic": vermagic,
        "root": packages(&root.packages),
        "headers": packages(&kernel.headers),
    }))
}
