// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The tests of the stage crates that need real kernels: they get them by the environment.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow};
use tidelock_archive::NoProgress;
use tidelock_host::{files, process};
use tidelock_matrix::{LockedKernel, LockedPackage};
use tidelock_model::Tier;

use super::{
    Context, Tally, module, passes,
    source::{REAL, cargo},
};
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
    let programs = programs(context)?;
    let test = |(package, threads): (&str, &str)| {
        let mut test = process::command(program_of(&programs, package)?);
        test.args(["--test-threads", threads]);
        test.env("TIDELOCK_LAB", &lab_json);
        test.env("TIDELOCK_TEST_RELEASE", &booted.release);
        test.env("TIDELOCK_TEST_PACKAGES", &packages);
        test.env("TIDELOCK_TEST_GUEST", &booted.guest);
        test.env("TIDELOCK_TEST_CACHE", &cache);
        passes(test, context)
    };
    // The tests that boot look at this process's children: they run one after another.
    [("tidelock-kbuild", "2"), ("tidelock-vm", "1")]
        .into_iter()
        .map(test)
        .sum()
}

/// Builds the tests. Cargo is asked for all packages, as by the step of the unit tests: asked for
/// two, it would build the libraries anew, with the features that those two want.
fn programs(context: &Context) -> Result<Vec<Artifact>> {
    let mut cargo = cargo(&["test", "--workspace", "--locked", "--no-run", "--quiet"]);
    cargo.args(["--features", REAL, "--test", "real"]);
    cargo.arg("--message-format=json-render-diagnostics");
    context.say(format_args!("$ {}", process::show(&cargo)));
    let said = process::run(cargo, Some(&context.root))?;
    artifacts(&String::from_utf8(said)?)
}

/// What cargo tells of something that it has built, as far as it matters here.
#[derive(serde::Deserialize)]
struct Artifact {
    package_id: String,
    executable: Option<PathBuf>,
}

/// The programs among cargo's messages.
fn artifacts(messages: &str) -> Result<Vec<Artifact>> {
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["reason"] == "compiler-artifact" && !message["executable"].is_null() {
            programs.push(serde_json::from_value(message)?);
        }
    }
    Ok(programs)
}

/// The program of `package`, by the id that cargo has for it: `path+file:///FOLDER#NAME@VERSION`.
fn program_of<'a>(programs: &'a [Artifact], package: &str) -> Result<&'a Path> {
    let is_of = |program: &&Artifact| {
        let name = program.package_id.rsplit('#').next().unwrap_or_default();
        name.split('@').next() == Some(package)
    };
    programs
        .iter()
        .find(is_of)
        .and_then(|program| program.executable.as_deref())
        .with_context(|| format!("cargo built no test `real` of {package}"))
}

/// The kernel that the tests of `tidelock-vm` boot.
struct Booted {
    release: String,
    packages: Vec<PathBuf>,
    guest: PathBuf,
}

/// What the tests of `tidelock-kbuild` build for, as they read it, and what is booted.
async fn prepare(context: &Context, dir: &Path) -> Result<(Vec<serde_json::Value>, Booted)> {
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
        live: context.live(),
        all_kernels: false,
        run_dir: dir.to_owned(),
        root: context.root.clone(),
        tier: Tier::Quick,
        tests: Vec::new(),
        rerun: true,
        thorough: true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_its_package() {
        let messages = concat!(
            r#"{"reason":"build-script-executed","package_id":"path+file:///x/vm#tidelock-vm@0.1.0"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"path+file:///x/vm#tidelock-vm@0.1.0","executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","package_id":"path+file:///x/vm#tidelock-vm@0.1.0","executable":"/t/real-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        let programs = artifacts(messages).unwrap();
        assert_eq!(
            program_of(&programs, "tidelock-vm").unwrap(),
            Path::new("/t/real-1")
        );
        let error = program_of(&programs, "tidelock-kbuild").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cargo built no test `real` of tidelock-kbuild"
        );
        assert!(artifacts("cargo fell over").is_err());
    }
}
