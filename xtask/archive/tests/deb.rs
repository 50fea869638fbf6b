// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Unpacking of packages, the hostile ones too.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "the helpers of a test may panic, and write its throw-away files"
)]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tidelock_archive::deb::{self, DebError};

enum Entry<'a> {
    File(&'a str, u32, &'a str),
    Dir(&'a str),
    Sym(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Fifo(&'a str),
}

/// A tar archive of exactly these names: the crate's own builder refuses the hostile ones.
fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let (name, mode, kind, target, text) = match *entry {
            Entry::File(name, mode, text) => (name, mode, tar::EntryType::Regular, "", text),
            Entry::Dir(name) => (name, 0o755, tar::EntryType::Directory, "", ""),
            Entry::Sym(name, target) => (name, 0o777, tar::EntryType::Symlink, target, ""),
            Entry::Hard(name, target) => (name, 0o644, tar::EntryType::Link, target, ""),
            Entry::Fifo(name) => (name, 0o644, tar::EntryType::Fifo, "", ""),
        };
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_mode(mode);
        header.set_mtime(1_234_567);
        header.set_size(text.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deb_of(dir: &Path, data_name: &str, data: &[u8]) -> PathBuf {
    let path = dir.join("x.deb");
    let control = xz(&tar_of(&[
        Entry::Dir("./"),
        Entry::File(
            "./control",
            0o644,
            "Package: x\nVersion: 1\nDescription: one\n two\n",
        ),
    ]));
    let members: [(&str, &[u8]); 3] = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", &control),
        (data_name, data),
    ];
    let mut builder = ar::Builder::new(fs::File::create(&path).unwrap());
    for (name, bytes) in members {
        let header = ar::Header::new(name.into(), bytes.len() as u64);
        builder.append(&header, bytes).unwrap();
    }
    path
}

fn unpack(entries: &[Entry<'_>], prepare: impl FnOnce(&Path)) -> (TempDir, Result<(), DebError>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    prepare(&root);
    let deb = deb_of(dir.path(), "data.tar.xz", &xz(&tar_of(entries)));
    let result = deb::extract(&deb, &root, &|_| true);
    (dir, result)
}

#[test]
fn files_links_modes_and_times_are_kept() {
    let (dir, result) = unpack(
        &[
            Entry::Dir("./"),
            Entry::Dir("./usr/"),
            Entry::Dir("./usr/bin/"),
            Entry::File("./usr/bin/a", 0o4755, "text"),
            Entry::Hard("./usr/bin/b", "./usr/bin/a"),
            Entry::Sym("./usr/bin/c", "/etc/alternatives/c"),
            Entry::File("./opt/no/parent", 0o400, ""),
        ],
        |_| {},
    );
    result.unwrap();
    let bin = dir.path().join("root/usr/bin");
    assert_eq!(fs::read_to_string(bin.join("a")).unwrap(), "text");
    let meta = fs::metadata(bin.join("a")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o755);
    assert_eq!(meta.mtime(), 1_234_567);
    assert_eq!(meta.ino(), fs::metadata(bin.join("b")).unwrap().ino());
    assert_eq!(
        fs::read_link(bin.join("c")).unwrap(),
        Path::new("/etc/alternatives/c")
    );
    let parent = fs::metadata(dir.path().join("root/opt/no/parent")).unwrap();
    assert_eq!(parent.permissions().mode() & 0o7777, 0o400);
}

#[test]
fn every_compression_is_read_and_control_too() {
    let dir = tempfile::tempdir().unwrap();
    let tar = tar_of(&[Entry::File("./f", 0o644, "text")]);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(&tar).unwrap();
    let zst = zstd::stream::encode_all(tar.as_slice(), 1).unwrap();
    for (name, data) in [
        ("data.tar", tar.clone()),
        ("data.tar.xz", xz(&tar)),
        ("data.tar.gz", gz.finish().unwrap()),
        ("data.tar.zst", zst),
    ] {
        let root = dir.path().join(name);
        fs::create_dir(&root).unwrap();
        let deb = deb_of(dir.path(), name, &data);
        deb::extract(&deb, &root, &|_| true).unwrap();
        assert_eq!(
            fs::read_to_string(root.join("f")).unwrap(),
            "text",
            "{name}"
        );
        let control = deb::control(&deb).unwrap();
        assert_eq!(control["Package"], "x");
        assert_eq!(control["Description"], "one\n two");
    }
    let deb = deb_of(dir.path(), "data.tar.rar", b"x");
    let error = deb::extract(&deb, dir.path(), &|_| true).unwrap_err();
    assert_eq!(error.verdict(), "malformed-package");
}

#[test]
fn only_what_is_asked_for_is_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let deb = deb_of(
        dir.path(),
        "data.tar",
        &tar_of(&[
            Entry::Dir("./usr/"),
            Entry::File("./usr/keep", 0o644, ""),
            Entry::File("./usr/share/doc/x", 0o644, ""),
        ]),
    );
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    deb::extract(&deb, &root, &|path| !path.starts_with("usr/share")).unwrap();
    assert!(root.join("usr/keep").exists());
    assert!(!root.join("usr/share").exists());
}

#[test]
fn what_leads_outside_is_refused() {
    let hostile = [
        vec![Entry::File("../escaped", 0o644, "x")],
        vec![Entry::File("./a/../../escaped", 0o644, "x")],
        vec![Entry::File("/tmp/escaped", 0o644, "x")],
        vec![Entry::Hard("./a", "../x.deb")],
        vec![Entry::Hard("./a", "/etc/passwd")],
    ];
    for entries in hostile {
        let (dir, result) = unpack(&entries, |_| {});
        assert_eq!(result.unwrap_err().verdict(), "escaping-package");
        assert_eq!(fs::read_dir(dir.path().join("root")).unwrap().count(), 0);
    }
}

#[test]
fn links_are_followed_inside_only() {
    let outside = tempfile::tempdir().unwrap();
    let link = outside.path().to_str().unwrap().to_owned();
    let (dir, result) = unpack(
        &[
            Entry::Sym("./absolute", &link),
            Entry::File("./absolute/a", 0o644, "x"),
        ],
        |_| {},
    );
    assert!(matches!(result, Err(DebError::Entry { .. })), "{result:?}");
    let (up, _) = unpack(
        &[
            Entry::Sym("./up", "../../../../.."),
            Entry::File("./up/b", 0o644, "x"),
        ],
        |_| {},
    );
    assert!(up.path().join("root/b").exists(), "the root has no parent");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    drop(dir);
    // A link in place of a file is replaced, not written through.
    let (_, result) = unpack(&[Entry::File("./f", 0o644, "new")], |root| {
        fs::write(outside.path().join("victim"), "old").unwrap();
        symlink(outside.path().join("victim"), root.join("f")).unwrap();
    });
    result.unwrap();
    assert_eq!(
        fs::read_to_string(outside.path().join("victim")).unwrap(),
        "old"
    );
}

#[test]
fn a_merged_usr_takes_the_packages_of_before() {
    let (dir, result) = unpack(
        &[
            Entry::Dir("./bin/"),
            Entry::File("./bin/sh", 0o755, "x"),
            Entry::File("./lib/x86_64-linux-gnu/libc.so.6", 0o755, "x"),
        ],
        |root| deb::merge_usr(root).unwrap(),
    );
    result.unwrap();
    let root = dir.path().join("root");
    assert!(root.join("usr/bin/sh").exists());
    assert!(root.join("usr/lib/x86_64-linux-gnu/libc.so.6").exists());
    assert!(fs::symlink_metadata(root.join("bin")).unwrap().is_symlink());
}

#[test]
fn damaged_packages_are_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let data = xz(&tar_of(&[Entry::File("./f", 0o644, "some text")]));
    let whole = fs::read(deb_of(dir.path(), "data.tar.xz", &data)).unwrap();
    let cases: [(&str, Vec<u8>); 4] = [
        ("empty", Vec::new()),
        ("other", b"not an archive".to_vec()),
        ("short", whole[..whole.len() - 30].to_vec()),
        ("flipped", {
            let mut bytes = whole.clone();
            let at = bytes.len() - data.len() / 2;
            bytes[at] ^= 1;
            bytes
        }),
    ];
    for (name, bytes) in cases {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(&root).unwrap();
        let error = deb::extract(&path, &root, &|_| true).unwrap_err();
        assert_eq!(error.verdict(), "malformed-package", "{name}: {error}");
    }
    let (_, result) = unpack(&[Entry::Fifo("./dev/x")], |_| {});
    assert!(matches!(result, Err(DebError::Entry { .. })));
}
