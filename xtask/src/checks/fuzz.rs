// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The fuzzer on the frames between kernel and daemon (`kmod/wire/fuzz`), for a bounded number of
//! runs.
//!
//! The targets are laid out for `cargo fuzz`, which is not needed here: the stable compiler has
//! the instrumentation, and without unsafe code there is nothing for a sanitizer to see.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use tidelock_host::tools::{self, Tool};

use super::{Context, Tally, passes, source::cargo};

/// libFuzzer comes as C++ source.
const COMPILER: Tool = Tool {
    program: "c++",
    package: "g++",
};

pub(super) const PACKAGE: &str = "kmod/wire/fuzz";

/// What `cargo fuzz` gives the compiler, but for the sanitizer.
const RUSTFLAGS: &str = "-Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares \
     --cfg=fuzzing";

/// Of each target: seconds, not minutes. Each call tries other inputs; one that fails is kept.
const RUNS: u32 = 4_000_000;

/// A little more than a frame may have (`tidelock_wire::MAX_FRAME`).
const LONGEST: u32 = 16_388;

pub(super) fn run(context: &Context) -> Result<Tally> {
    tools::require(&[COMPILER], context.install)?;
    let built = passes(instrumented("build", context), context)?;
    if !built.green() {
        return Ok(built);
    }
    let targets = targets(&context.root.join(PACKAGE))?;
    targets.iter().map(|target| fuzz(target, context)).sum()
}

/// Runs one target from its seeds and from nothing else.
fn fuzz(target: &str, context: &Context) -> Result<Tally> {
    let corpus = empty(&work(context).join("corpus").join(target))?;
    let ran = passes(fuzzer(target, &corpus, context)?, context)?;
    // A fuzzer that sees nothing of the code says so, and succeeds.
    if ran.green() && is_empty(&corpus)? {
        println!("{target}: no input led anywhere new: is it built with coverage?");
        return Ok(Tally::one(false));
    }
    Ok(ran)
}

/// The names of all targets, in order.
fn targets(package: &Path) -> Result<Vec<String>> {
    let dir = package.join("fuzz_targets");
    let entries = fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("listing {}", dir.display()))?
            .path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        names.push(name.into_owned());
    }
    names.sort();
    Ok(names)
}

/// cargo on the fuzzer's package. With a target named, flags reach no build script.
fn instrumented(command: &str, context: &Context) -> Command {
    let mut cargo = cargo(&[
        command,
        "--quiet",
        "--release",
        "--locked",
        "--target",
        "host-tuple",
    ]);
    cargo
        .arg("--manifest-path")
        .arg(context.root.join(PACKAGE).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(work(context))
        .env("RUSTFLAGS", RUSTFLAGS);
    cargo
}

/// The fuzzer on one target; what leads somewhere new goes to `corpus`.
fn fuzzer(target: &str, corpus: &Path, context: &Context) -> Result<Command> {
    let artifacts = work(context).join("artifacts");
    fs::create_dir_all(&artifacts).with_context(|| format!("making {}", artifacts.display()))?;
    let mut command = instrumented("run", context);
    command
        .args(["--bin", target, "--", "-verbosity=0"])
        .arg(format!("-runs={RUNS}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!(
            "-artifact_prefix={}/{target}-",
            artifacts.display()
        ))
        .arg(corpus)
        .arg(context.root.join(PACKAGE).join("seeds").join(target));
    Ok(command)
}

fn is_empty(dir: &Path) -> Result<bool> {
    let mut entries = fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))?;
    Ok(entries.next().is_none())
}

fn work(context: &Context) -> PathBuf {
    context.root.join("target/fuzz")
}

/// `dir`, with nothing in it.
fn empty(dir: &Path) -> Result<PathBuf> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::create_dir_all(dir),
    }
    .with_context(|| format!("emptying {}", dir.display()))?;
    Ok(dir.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_known_to_cargo_and_has_seeds() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(PACKAGE);
        let manifest = fs::read_to_string(package.join("Cargo.toml")).unwrap();
        let targets = targets(&package).unwrap();
        assert_eq!(targets.len(), manifest.matches("[[bin]]").count());
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")));
            let seeds = fs::read_dir(package.join("seeds").join(&target)).unwrap();
            assert!(seeds.count() > 0, "{target} has no seeds");
        }
    }
}
