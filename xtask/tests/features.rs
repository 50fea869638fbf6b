// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the factory and the tests share is compiled once: with one set of features.
//!
//! Cargo turns on, of every library, what the packages that it was asked for want of it. Building
//! the factory alone asks for fewer packages than testing all, so the factory's own manifest
//! asks for the rest of the features too.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tidelock_host::process;

/// The sets of features that each library is built with. For the host's macros and for the
/// program itself they differ.
type Built = BTreeMap<String, BTreeSet<String>>;

fn built(words: &[&str]) -> Built {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = process::command(cargo);
    tree.args(["tree", "--locked", "--quiet", "--prefix", "none"])
        .args(["--format", "{p}|{f}"])
        .args(words);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    parse(&String::from_utf8(process::run(tree, Some(root)).unwrap()).unwrap())
}

/// `NAME VERSION (WHERE)|FEATURE,FEATURE (*)` a line; only those of this workspace are somewhere.
fn parse(tree: &str) -> Built {
    let mut built = Built::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, features) = line.trim_end_matches(" (*)").split_once('|').unwrap();
        if !package.contains('/') {
            let package = package.trim_end_matches(" (proc-macro)").to_owned();
            built
                .entry(package)
                .or_default()
                .insert(features.to_owned());
        }
    }
    built
}

/// Of what is in `part`, that which is built otherwise in `whole`.
fn differing(part: &Built, whole: &Built) -> Vec<String> {
    let all = |sets: &BTreeSet<String>| {
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        sets.join("\n      or ")
    };
    part.iter()
        .filter_map(|(package, sets)| {
            let other = whole.get(package)?;
            (!sets.is_subset(other))
                .then(|| format!("{package}\n    has {}\n    and {}", all(sets), all(other)))
        })
        .collect()
}

#[test]
fn what_the_factory_and_the_tests_share_is_compiled_once() {
    let factory = built(&["--package", "xtask", "--edges", "normal,build"]);
    let tests = built(&["--workspace", "--edges", "normal,build,dev"]);
    assert!(factory.len() > 50, "only {} libraries", factory.len());
    let twice = differing(&factory, &tests);
    assert!(
        twice.is_empty(),
        "the tests use these with other features than the factory, so that they and all that use \
         them are compiled twice; turn the difference on in xtask/Cargo.toml:\n  {}",
        twice.join("\n  ")
    );
}

#[test]
fn a_library_with_other_features_is_found() {
    let part = parse("tokio v1.54.1|net,rt\nxtask v0.1.0 (/a/xtask)|\nserde v1.0.2|std (*)\n");
    let whole = parse("tokio v1.54.1|net,rt,time\nserde v1.0.2|alloc\nserde v1.0.2|std\n");
    let found = differing(&part, &whole);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("tokio v1.54.1"), "{found:?}");
}
