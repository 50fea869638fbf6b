// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the documents tell people to type is a command that exists, and their links lead
//! somewhere.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidelock_host::process;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

fn documents() -> Vec<(PathBuf, String)> {
    let mut git = process::command("git");
    git.args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.md",
    ]);
    let list = String::from_utf8(process::run(git, Some(&root())).unwrap()).unwrap();
    let read = |path: &str| {
        (
            root().join(path),
            fs::read_to_string(root().join(path)).unwrap(),
        )
    };
    let documents: Vec<_> = list
        .lines()
        .filter(|path| root().join(path).is_file())
        .map(read)
        .collect();
    assert!(
        documents.len() >= 4,
        "README, ARCHITECTURE, CONTRIBUTING and CHANGELOG at least"
    );
    documents
}

/// The `cargo xtask` lines of all shell blocks, as words, without what follows a `#`.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            inside = !inside && ["sh", "console"].contains(&kind.trim());
        } else if let (true, Some(rest)) = (
            inside,
            line.trim_start_matches("$ ").strip_prefix("cargo xtask "),
        ) {
            let rest = rest.split(['#', '|', '>', '&']).next().unwrap_or_default();
            commands.push(
                rest.split_whitespace()
                    .map(|word| word.trim_matches('\'').to_owned())
                    .collect(),
            );
        }
    }
    commands
}

#[test]
fn every_command_in_the_documents_is_understood() {
    let mut seen = 0;
    for (path, text) in documents() {
        for words in commands(&text) {
            seen += 1;
            let mut xtask = process::command(env!("CARGO_BIN_EXE_xtask"));
            // Understood or not is told before anything is done.
            xtask.args(&words).env("TIDELOCK_PARSE_ONLY", "1");
            let outcome = process::outcome(xtask, Some(&root())).unwrap();
            let said = String::from_utf8_lossy(&outcome.stderr);
            assert!(
                // 0 is `--help`, which ends before the question is asked.
                matches!(outcome.status.code(), Some(77 | 0)),
                "{}: cargo xtask {}\n{said}",
                path.display(),
                words.join(" ")
            );
        }
    }
    assert!(
        seen > 5,
        "only {seen} commands found: is the search broken?"
    );
}

#[test]
fn a_command_that_does_not_exist_is_found_out() {
    let text = "```sh\ncargo xtask no-such-command --flag 'a b'\n```\n";
    let words = commands(text).remove(0);
    let mut xtask = process::command(env!("CARGO_BIN_EXE_xtask"));
    xtask.args(&words).env("TIDELOCK_PARSE_ONLY", "1");
    assert_eq!(
        process::outcome(xtask, Some(&root()))
            .unwrap()
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn every_link_inside_the_repository_leads_to_a_file() {
    let mut dead = Vec::new();
    for (path, text) in documents() {
        let targets = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap_or_default();
            if !path.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n  {}", dead.join("\n  "));
}
