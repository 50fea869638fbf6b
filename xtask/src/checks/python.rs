// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tools that come from PyPI: pinned by hash, installed once into the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tidelock_host::{
    files, process,
    tools::{self, Install, Tool},
};
use tidelock_model::KeyBuilder;

const HOST_TOOLS: &[Tool] = &[
    Tool {
        program: "python3",
        package: "python3",
    },
    // The module that makes environments with pip in them is a package of its own.
    Tool {
        program: "/usr/share/python-wheels",
        package: "python3-venv",
    },
];

/// The folder of the programs of `requirements`, a file with hashes as pip reads it.
///
/// # Errors
/// When python is missing and may not be installed, or a hash does not match.
pub(crate) fn programs(requirements: &Path, install: Install) -> Result<PathBuf> {
    let text = files::read(requirements)?;
    let key = KeyBuilder::new("python-tools", 1)
        .bytes("requirements", &text)
        .finish();
    let dir = files::cache_dir()?.join("python").join(key.to_hex());
    let complete = dir.join("complete");
    if complete.exists() {
        return Ok(dir.join("bin"));
    }
    // With pyenv or another python of its own, the module is there without the package.
    if !venv_works() {
        tools::require(HOST_TOOLS, install)?;
    }
    // An environment cannot be moved, so a marker tells a whole one from a half-made one.
    let mut venv = process::command("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&dir);
    process::run(venv, None)?;
    let mut pip = process::command(dir.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "--quiet",
        "install",
        "--require-hashes",
        "--no-deps",
        "-r",
    ])
    .arg(requirements);
    process::run(pip, None).with_context(|| format!("installing {}", requirements.display()))?;
    files::write_atomic(&complete, &text)?;
    Ok(dir.join("bin"))
}

fn venv_works() -> bool {
    let mut python = process::command("python3");
    python.args(["-c", "import ensurepip, venv"]);
    process::run(python, None).is_ok()
}
