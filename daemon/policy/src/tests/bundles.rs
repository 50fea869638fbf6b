// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Folders and archives as bundles, hostile ones included.

use std::{fs, io::Write as _, os::unix::fs::symlink, path::Path};

use flate2::{Compression, write::GzEncoder};

use crate::{Bundle, BundleError};

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

/// An archive with these entries: name as it is, kind, content.
fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, kind, content) in entries {
        let mut header = tar::Header::new_ustar();
        // Past what the crate lets through, as somebody hostile would.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn names(bundle: &Bundle) -> Vec<&str> {
    bundle.files().map(|(name, _)| name).collect()
}

const FILE: tar::EntryType = tar::EntryType::Regular;

#[test]
fn a_folder_is_read_without_what_is_hidden() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        ".manifest",
        ".signatures.json",
        "a/b/p.rego",
        ".git/config",
        "a/.p.rego.swp",
    ] {
        put(dir.path(), name, name);
    }
    let bundle = Bundle::from_dir(dir.path()).unwrap();
    assert_eq!(
        names(&bundle),
        [".manifest", ".signatures.json", "a/b/p.rego"]
    );
    assert_eq!(bundle.get("a/b/p.rego"), Some(b"a/b/p.rego".as_slice()));
}

/// Kubernetes mounts a `ConfigMap` as links into a hidden folder that is replaced at once.
#[test]
fn links_to_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "..2026/p.rego", "package a");
    symlink("..2026", dir.path().join("..data")).unwrap();
    symlink("..data/p.rego", dir.path().join("p.rego")).unwrap();
    let bundle = Bundle::from_dir(dir.path()).unwrap();
    assert_eq!(bundle.get("p.rego"), Some(b"package a".as_slice()));
}

#[test]
fn what_is_neither_file_nor_folder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    symlink(".", dir.path().join("circle")).unwrap();
    assert!(matches!(
        Bundle::from_dir(dir.path()),
        Err(BundleError::LinkedFolder(_))
    ));
    let dir = tempfile::tempdir().unwrap();
    // Would wait for a writer for ever if it were opened.
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe.rego"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(matches!(
        Bundle::from_dir(dir.path()),
        Err(BundleError::Kind(_))
    ));
    let dir = tempfile::tempdir().unwrap();
    symlink("nowhere", dir.path().join("p.rego")).unwrap();
    assert!(matches!(
        Bundle::from_dir(dir.path()),
        Err(BundleError::Read { .. })
    ));
    assert!(Bundle::from_dir(Path::new("/nonexistent")).is_err());
}

#[test]
fn a_folder_that_is_too_large_or_too_deep_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "big.rego", "");
    let big = fs::File::options()
        .write(true)
        .open(dir.path().join("big.rego"))
        .unwrap();
    big.set_len(1 << 40).unwrap();
    assert!(matches!(
        Bundle::from_dir(dir.path()),
        Err(BundleError::TooLarge)
    ));
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &format!("{}p.rego", "a/".repeat(20)), "");
    assert!(matches!(
        Bundle::from_dir(dir.path()),
        Err(BundleError::TooDeep)
    ));
    let many = (0..1025).map(|n| (format!("{n}.rego"), ""));
    assert!(matches!(
        Bundle::from_files(many),
        Err(BundleError::TooMany)
    ));
}

#[test]
fn an_archive_is_read_as_opa_writes_it() {
    let packed = archive(&[
        ("/", tar::EntryType::Directory, b""),
        ("/.manifest", FILE, b"{}"),
        ("/tidelock/p.rego", FILE, b"package tidelock"),
        ("./data.json", FILE, b"{}"),
    ]);
    let bundle = Bundle::from_tar_gz(&packed).unwrap();
    assert_eq!(
        names(&bundle),
        [".manifest", "data.json", "tidelock/p.rego"]
    );
}

#[test]
fn an_archive_and_a_folder_of_the_same_files_are_the_same() {
    let files = [
        (".manifest", "{}"),
        ("a/p.rego", "package a"),
        ("é.rego", "package e"),
    ];
    let bundle = Bundle::from_files(files).unwrap();
    let packed = bundle.to_tar_gz().unwrap();
    assert_eq!(Bundle::from_tar_gz(&packed).unwrap(), bundle);
    assert_eq!(bundle.to_tar_gz().unwrap(), packed);
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        put(dir.path(), name, text);
    }
    assert_eq!(
        Bundle::from_dir(dir.path()).unwrap().digest(),
        bundle.digest()
    );
}

#[test]
fn a_long_name_survives_packing() {
    let name = format!("{}/{}.rego", "a".repeat(120), "b".repeat(120));
    let bundle = Bundle::from_files([(name, "package a")]).unwrap();
    assert_eq!(
        Bundle::from_tar_gz(&bundle.to_tar_gz().unwrap()).unwrap(),
        bundle
    );
}

#[test]
fn a_hostile_archive_is_refused() {
    for name in [
        "../p.rego",
        "a/../../p.rego",
        "a/./p.rego",
        "a//p.rego",
        "//p.rego",
        "a\\b",
    ] {
        let packed = archive(&[(name, FILE, b"x")]);
        let outcome = Bundle::from_tar_gz(&packed);
        assert!(
            matches!(outcome, Err(BundleError::Name(_))),
            "{name}: {outcome:?}"
        );
    }
    for kind in [
        tar::EntryType::Symlink,
        tar::EntryType::Link,
        tar::EntryType::Fifo,
        tar::EntryType::Char,
    ] {
        let packed = archive(&[("p.rego", kind, b"")]);
        assert!(
            matches!(Bundle::from_tar_gz(&packed), Err(BundleError::Kind(_))),
            "{kind:?}"
        );
    }
    let twice = archive(&[("p.rego", FILE, b"a"), ("/p.rego", FILE, b"b")]);
    assert!(matches!(
        Bundle::from_tar_gz(&twice),
        Err(BundleError::Twice(_))
    ));
    // 64 MiB of nothing, in a few kilobytes.
    let nothing = vec![0; 64 << 20];
    let bomb = archive(&[("p.rego", FILE, &nothing)]);
    assert!(bomb.len() < 1 << 20);
    assert!(matches!(
        Bundle::from_tar_gz(&bomb),
        Err(BundleError::TooLarge)
    ));
    let nothing = &nothing[..9 << 20];
    let bomb = archive(&[("p.rego", FILE, nothing), ("q.rego", FILE, nothing)]);
    assert!(Bundle::from_tar_gz(&bomb).is_err());
}

#[test]
fn a_damaged_archive_is_refused() {
    let bundle = Bundle::from_files([("p.rego", "package a\n".repeat(500))]).unwrap();
    let packed = bundle.to_tar_gz().unwrap();
    for len in 0..packed.len() {
        assert!(Bundle::from_tar_gz(&packed[..len]).is_err(), "cut to {len}");
    }
    for at in 0..packed.len() {
        let mut damaged = packed.clone();
        damaged[at] ^= 0x10;
        // Some of the header of gzip means nothing; what is read is never another content.
        if let Ok(read) = Bundle::from_tar_gz(&damaged) {
            assert_eq!(read, bundle, "byte {at}");
        }
    }
}

#[test]
fn the_digest_tells_every_difference_but_signatures() {
    let of = |files: &[(&str, &str)]| Bundle::from_files(files.iter().copied()).unwrap().digest();
    let base = of(&[("a", "b"), ("c", "d")]);
    assert_eq!(base, of(&[("c", "d"), ("a", "b")]));
    assert_eq!(
        base,
        of(&[("a", "b"), ("c", "d"), (".signatures.json", "{}")])
    );
    for other in [
        of(&[("a", "b")]),
        of(&[("a", "bc"), ("", "d")][..1]),
        of(&[("a", "d"), ("c", "b")]),
        of(&[("a", "b"), ("c", "d"), ("e", "")]),
        of(&[("ab", ""), ("c", "d")]),
        of(&[]),
    ] {
        assert_ne!(base, other);
    }
}
