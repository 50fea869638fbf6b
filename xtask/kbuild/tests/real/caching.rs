// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is made again, what is not, and that it comes out the same: with real kernels.

use std::{fs, path::Path};

use tidelock_kbuild::{Answers, Probe, ProbeRequest, Root, Stage, run_probes};

use crate::lab;

fn probes(texts: &[(&str, &str)]) -> Vec<Probe> {
    texts
        .iter()
        .map(|(name, text)| Probe::new(name, text.as_bytes().to_vec()).unwrap())
        .collect()
}

fn ask(kernel: &lab::Kernel, cache: &Path, texts: &[(&str, &str)]) -> (Stage<Answers>, String) {
    let log = tempfile::tempdir().unwrap();
    let path = log.path().join("probe.log");
    let request = ProbeRequest {
        root: &kernel.root,
        headers: &kernel.headers,
        probes: &probes(texts),
        log: &path,
    };
    let answers =
        run_probes(cache, &request).unwrap_or_else(|error| panic!("{}: {error}", kernel.release));
    (answers, fs::read_to_string(&path).unwrap_or_default())
}

const YES: (&str, &str) = ("a_yes", "#include <linux/slab.h>\n");
const NO: (&str, &str) = ("b_no", "#include <linux/no_such_header.h>\n");
const WARNS: (&str, &str) = ("c_warns", "static int unused;\n");
const CHANGED: (&str, &str) = ("a_yes", "#include <linux/vmalloc.h>\n");

#[test]
fn every_kernel_answers() {
    for kernel in lab::kernels() {
        let cache = tempfile::tempdir().unwrap();
        let (answers, _) = ask(kernel, cache.path(), &[YES, NO, WARNS]);
        let answers: Vec<(&str, bool)> = answers
            .result
            .0
            .iter()
            .map(|(name, yes)| (name.as_str(), *yes))
            .collect();
        let expected = [("a_yes", true), ("b_no", false), ("c_warns", false)];
        assert_eq!(answers, expected, "{}", kernel.release);
    }
}

#[test]
fn a_changed_probe_is_asked_alone_and_changes_nothing_downstream() {
    let cache = tempfile::tempdir().unwrap();
    let kernel = lab::kernel();
    let (first, _) = ask(kernel, cache.path(), &[YES, NO]);
    assert!(!first.cached);
    let (again, log) = ask(kernel, cache.path(), &[YES, NO]);
    assert!(again.cached);
    assert_eq!(log, "", "nothing was compiled");
    let (changed, log) = ask(kernel, cache.path(), &[CHANGED, NO]);
    assert!(!changed.cached);
    assert!(log.contains("a_yes") && !log.contains("b_no"), "{log}");
    assert_eq!(changed.key, first.key, "the same answers");
}

#[test]
fn a_broken_toolchain_is_no_answer() {
    let kernel = lab::kernel();
    let cache = tempfile::tempdir().unwrap();
    let bare = tempfile::tempdir().unwrap();
    for dir in ["usr", "kernel", "work", "dev", "proc", "tmp"] {
        fs::create_dir(bare.path().join(dir)).unwrap();
    }
    // A root that has all but the compiler.
    for entry in fs::read_dir(kernel.root.path.join("usr")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "bin" {
            copy(
                &entry.path(),
                &bare.path().join("usr").join(entry.file_name()),
            );
        }
    }
    fs::create_dir(bare.path().join("usr/bin")).unwrap();
    for entry in fs::read_dir(kernel.root.path.join("usr/bin")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().contains("gcc") {
            copy(
                &entry.path(),
                &bare.path().join("usr/bin").join(entry.file_name()),
            );
        }
    }
    for name in ["bin", "lib", "lib64"] {
        std::os::unix::fs::symlink(format!("usr/{name}"), bare.path().join(name)).unwrap();
    }
    let root = Root {
        path: bare.path().into(),
        key: tidelock_model::Sha256::of(b"broken"),
    };
    let request = ProbeRequest {
        root: &root,
        headers: &kernel.headers,
        probes: &probes(&[YES]),
        log: &cache.path().join("probe.log"),
    };
    let error = run_probes(cache.path(), &request).unwrap_err();
    assert_eq!(error.verdict(), "broken-toolchain", "{error}");
    assert!(error.is_infrastructure());
}

fn copy(from: &Path, to: &Path) {
    if from.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
    } else if from.is_dir() {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::hard_link(from, to)
            .or_else(|_| fs::copy(from, to).map(drop))
            .unwrap();
    }
}

#[test]
fn two_builds_give_the_same_bytes_and_the_second_of_one_cache_is_not_made() {
    for kernel in lab::kernels() {
        let [one, two] = [0, 1].map(|_| tempfile::tempdir().unwrap());
        let first = kernel.build_in(one.path(), "clean").unwrap();
        let second = kernel.build_in(two.path(), "clean").unwrap();
        assert!(!first.cached && !second.cached);
        assert_eq!(first.key, second.key);
        assert_eq!(first.result.sha256, second.result.sha256);
        let read = |path: &Path| fs::read(path).unwrap();
        let [a, b] = [&first, &second].map(|stage| read(&stage.result.unstripped));
        assert_eq!(a, b, "{}: with debug information", kernel.release);
        assert!(a.len() > read(&first.result.stripped).len());
        let cached = kernel.build_in(one.path(), "clean").unwrap();
        assert!(cached.cached);
        assert_eq!(cached.result, first.result);
    }
}
