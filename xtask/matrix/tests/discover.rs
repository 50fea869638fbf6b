// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From indexes to kernels, roots and differences.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may panic")]

mod fixture;

use std::fmt::Write as _;

use fixture::{discovery, discovery_of, matrix, texts};
use tidelock_matrix::{Discovery, Lock, ResolveError, diff, kind, resolve};

fn show(discovery: &Discovery) -> String {
    let names = |packages: &[tidelock_matrix::LockedPackage]| -> String {
        packages
            .iter()
            .map(|package| format!("\n    {} {}", package.id(), package.file.archive))
            .collect()
    };
    let mut text = String::new();
    for kernel in &discovery.lock.kernels {
        writeln!(
            text,
            "{} {} {} from {} {} in {}\n  image{}\n  headers{}",
            kernel.release,
            kernel.series,
            kernel.flavour,
            kernel.suite,
            kernel.version,
            kernel.root,
            names(&kernel.image),
            names(&kernel.headers)
        )
        .unwrap();
    }
    for root in &discovery.lock.roots {
        writeln!(
            text,
            "root {} {}{}",
            root.name,
            root.compiler,
            names(&root.packages)
        )
        .unwrap();
    }
    for userland in &discovery.lock.userlands {
        writeln!(
            text,
            "userland {}{}",
            userland.name,
            names(&userland.packages)
        )
        .unwrap();
    }
    writeln!(text, "rust-src {}", discovery.lock.rust_src.id()).unwrap();
    for skipped in &discovery.skipped {
        writeln!(
            text,
            "skipped {} of {}: {}",
            skipped.release, skipped.suite, skipped.reason
        )
        .unwrap();
    }
    text
}

#[test]
fn kernels_roots_and_what_is_skipped() {
    insta::assert_snapshot!(show(&discovery()));
}

#[test]
fn names_tell_flavours() {
    let kind = |text: &str| kind(&text.parse().unwrap()).map(|(flavour, _)| flavour.as_str());
    for (release, flavour) in [
        ("6.1.0-56-amd64", Some("standard")),
        ("6.12.115+deb13.1-cloud-amd64", Some("cloud")),
        ("5.10.0-43-rt-amd64", Some("rt")),
        ("7.3-amd64", Some("standard")),
        ("6.1.0-56-arm64", None),
        ("6.1.0-56-686-pae", None),
        ("6.1.0-56-odd-amd64", None),
    ] {
        assert_eq!(kind(release), flavour, "{release}");
    }
}

#[test]
fn the_same_archive_gives_the_same_text_and_the_text_gives_the_lock() {
    let lock = discovery().lock;
    let text = lock.render().unwrap();
    assert_eq!(discovery().lock.render().unwrap(), text);
    assert_eq!(Lock::parse(&text).unwrap(), lock);
    insta::assert_snapshot!(text);
}

#[test]
fn differences_are_told() {
    let old = discovery().lock;
    assert!(diff(&old, &discovery().lock).is_empty());
    let [oldest, security, new] = texts();
    let oldest = oldest.replace("linux-image-6.1.0-1-amd64", "linux-image-6.1.0-0-amd64");
    let security = security.replace("6.1.0-3", "6.1.0-5").replace(
        "libc6\nVersion: 2.36-1+deb12u1",
        "libc6\nVersion: 2.36-1+deb12u2",
    );
    let same_version = new
        .find("Package: linux-modules-7.2.1")
        .and_then(|at| Some(at + new[at..].find("SHA256: ")? + 8))
        .unwrap();
    let mut new = new;
    new.replace_range(same_version..same_version + 4, "0000");
    let found = diff(&old, &discovery_of(&[oldest, security, new]).lock);
    insta::assert_snapshot!(found.to_string());
}

#[test]
fn what_the_archive_lacks_is_named() {
    let matrix = matrix();
    let error = resolve(&matrix, &[], Vec::new(), "1.95.0").unwrap_err();
    assert!(matches!(error, ResolveError::NoRustSrc { .. }), "{error}");
    let texts = texts();
    let mut index = tidelock_archive::index::Index::default();
    tidelock_archive::index::parse("debian", "old", &texts[0], &mut index).unwrap();
    let offers = [(&matrix.suites[0], &index)];
    let error = resolve(&matrix, &offers, Vec::new(), "1.95.0")
        .unwrap_err()
        .to_string();
    assert!(error.contains("1.63.0+dfsg1-2"), "{error}");
    let without = texts[0].replace("Package: zlib1g", "Package: zlib2g");
    let mut index = tidelock_archive::index::Index::default();
    tidelock_archive::index::parse("debian", "old", &without, &mut index).unwrap();
    let offers = [(&matrix.suites[0], &index)];
    let error = resolve(&matrix, &offers, Vec::new(), "1.63.0").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the build root old: nothing offers zlib1g, which libelf1 needs"
    );
}
