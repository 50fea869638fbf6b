// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The rules of the repository that no compiler checks, over every file git tracks.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidelock_host::process;

/// Crates that the module and user space share.
const SHARED: [&str; 3] = ["kmod/spiffe/", "kmod/tls/", "kmod/wire/"];

/// A file git tracks: its path from the root of the checkout, and its text if it is text.
struct Tracked {
    path: String,
    text: Option<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn tracked() -> Vec<Tracked> {
    let mut git = process::command("git");
    git.args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = String::from_utf8(process::run(git, Some(&root())).unwrap()).unwrap();
    let files: Vec<Tracked> = list
        .split_terminator('\0')
        .filter(|path| root().join(path).is_file())
        .map(|path| Tracked {
            path: path.into(),
            text: fs::read_to_string(root().join(path)).ok(),
        })
        .collect();
    assert!(
        files.len() > 50,
        "only {} files: is this a checkout?",
        files.len()
    );
    files
}

fn extension(path: &str) -> &str {
    Path::new(path)
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}

/// Fails with every offence at once.
fn none(rule: &str, offences: &[String]) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

fn offences(files: &[Tracked], offence: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    files
        .iter()
        .filter_map(|file| offence(&file.path, file.text.as_deref()?))
        .collect()
}

#[test]
fn source_files_are_short() {
    let long = offences(&tracked(), |path, text| {
        let lines = text.lines().count();
        (["rs", "c", "h", "S"].contains(&extension(path)) && lines > 500)
            .then(|| format!("{path}: {lines} lines"))
    });
    none(
        "a source file has 500 lines at the most: split it by idea",
        &long,
    );
}

#[test]
fn ci_scripts_are_short() {
    let long = offences(&tracked(), |path, text| {
        let script = path.starts_with("ci/") || path.starts_with(".ci/");
        (script && extension(path) != "md" && text.lines().count() > 30).then(|| path.to_owned())
    });
    none(
        "a CI script has 30 lines at the most: what it does belongs in xtask",
        &long,
    );
}

#[test]
fn every_file_states_its_licence() {
    let code = ["rs", "c", "h", "S", "toml", "sh", "html", "css", "js"];
    let silent = offences(&tracked(), |path, text| {
        let named = code.contains(&extension(path)) || path.ends_with("Kbuild");
        let head: String = text.lines().take(4).collect();
        (named && !head.contains("SPDX-License-Identifier:")).then(|| path.to_owned())
    });
    none(
        "an SPDX tag stands in the first lines of every file",
        &silent,
    );
}

#[test]
fn the_licence_fits_the_folder() {
    let wrong = offences(&tracked(), |path, text| {
        let tag = text
            .lines()
            .take(4)
            .find_map(|line| line.split("SPDX-License-Identifier:").nth(1))?;
        let tag = tag.trim_matches(['*', '/', '-', '>', '#', '}', '"', ',', ' ']);
        let allowed: &[&str] = if SHARED.iter().any(|folder| path.starts_with(folder)) {
            &["GPL-2.0-only OR MIT"]
        } else if path.starts_with("kmod/") {
            &["GPL-2.0-only"]
        } else if path.contains("/corpus/") {
            // Faulty modules are modules: they call what is exported to GPL code only.
            &["GPL-2.0-only", "Apache-2.0 OR MIT"]
        } else {
            &["Apache-2.0 OR MIT"]
        };
        (!allowed.contains(&tag)).then(|| format!("{path}: {tag}"))
    });
    none(
        "kmod is GPL-2.0, what user space shares with it dual, the rest Apache-2.0 OR MIT",
        &wrong,
    );
}

#[test]
fn kernel_versions_are_tested_in_compat_alone() {
    let outside = offences(&tracked(), |path, text| {
        let module = path.starts_with("kmod/") && !path.starts_with("kmod/compat/");
        let code = ["c", "h", "S"].contains(&extension(path));
        let tests = ["LINUX_VERSION_CODE", "KERNEL_VERSION("];
        (module && code && tests.iter().any(|test| text.contains(test))).then(|| path.to_owned())
    });
    none(
        "differences between kernels live in kmod/compat, as probes",
        &outside,
    );
}

#[test]
fn every_crate_inherits_version_and_lints() {
    let own = offences(&tracked(), |path, text| {
        let package = path.ends_with("Cargo.toml") && text.contains("[package]");
        let fuzz = path.contains("/fuzz/");
        let inherits =
            text.contains("version.workspace = true") && text.contains("[lints]\nworkspace = true");
        (package && !fuzz && !inherits).then(|| path.to_owned())
    });
    none("one version, one table of lints", &own);
}

#[test]
fn no_test_is_ignored() {
    let needle = concat!("#[", "ignore");
    let ignored = offences(&tracked(), |path, text| {
        (extension(path) == "rs" && text.contains(needle)).then(|| path.to_owned())
    });
    none("a test that does not run is not a test", &ignored);
}

/// The hosts come from apt's own settings, so that none is written here either.
#[test]
fn no_package_mirror_is_named() {
    let mut apt = process::command("apt-get");
    apt.args(["indextargets", "--format", "$(REPO_URI)"]);
    let uris = String::from_utf8(process::run(apt, None).unwrap()).unwrap();
    let hosts: Vec<&str> = uris
        .lines()
        .filter_map(|uri| uri.split("://").nth(1)?.split('/').next())
        .filter(|host| host.contains('.'))
        .collect();
    let naming = offences(&tracked(), |path, text| {
        let host = hosts.iter().find(|host| text.contains(**host))?;
        (path != "Cargo.lock").then(|| format!("{path}: {host}"))
    });
    none(
        "the mirror is the host's business: it comes from apt's configuration",
        &naming,
    );
}

#[test]
fn unsafe_code_stays_in_the_ffi_crate_and_the_guest() {
    let needle = concat!("unsafe", " {");
    let elsewhere = offences(&tracked(), |path, text| {
        let allowed = path.starts_with("kmod/core/") || path.starts_with("images/guest/");
        (extension(path) == "rs" && !allowed && text.contains(needle)).then(|| path.to_owned())
    });
    none(
        "unsafe stays in kmod/core and images/guest; elsewhere use rustix",
        &elsewhere,
    );
}
