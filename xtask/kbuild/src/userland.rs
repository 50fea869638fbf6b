// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Userlands: programs of the distribution as a read-only disk for guests.
//!
//! Unpacked as build roots are, without maintainer scripts, and packed once. Uncompressed: a
//! guest that is emulated would decompress at a tenth of the disk's speed, and the host keeps one
//! copy in memory for all guests.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Instant,
};

use tidelock_archive::{deb, hash_file};
use tidelock_host::{
    files::{self, FileError},
    process,
    tools::Tool,
};
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    error::KbuildError,
    packages::{self, Package},
    sandbox::ENVIRONMENT,
    stage::{self, Stage},
};

/// Raise it when the code below makes another disk out of the same input.
const RECIPE: u32 = 1;

/// What packs a disk, for `tidelock_host::tools::require`.
pub const PACKER: Tool = Tool {
    program: "mksquashfs",
    package: "squashfs-tools",
};

/// Folders that every userland has: mount points, and what its programs write to.
const FOLDERS: [&str; 9] = [
    "dev", "etc", "opt", "proc", "root", "run", "sys", "tmp", "var/tmp",
];
/// What the host's file creation mask may have had a say in.
const SHARED: [&str; 7] = [
    "",
    "usr",
    "usr/bin",
    "usr/lib",
    "usr/lib64",
    "usr/sbin",
    "var",
];

/// What keeps chance out of what commands write.
const DETERMINED: [(&str, &str); 1] = [("PYTHONHASHSEED", "0")];

/// What a userland is made of.
#[derive(Clone, Debug)]
pub struct UserlandRequest<'a> {
    /// Locked packages.
    pub packages: &'a [Package],
    /// Files that are put over the packages', by path: what maintainer scripts would have made.
    pub files: &'a BTreeMap<String, Vec<u8>>,
    /// Shell commands that are run in it after that, without a network.
    pub prepare: &'a [String],
}

/// A packed userland.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Userland {
    /// The disk: a squashfs.
    pub image: PathBuf,
    /// Of the disk's bytes.
    pub sha256: Sha256,
}

/// Makes the userland of `request` under `cache`, unless it is there.
///
/// # Errors
/// When a package is not the locked one or is damaged, the disk cannot be packed, or the one in
/// the cache is not what was packed.
pub fn ensure_userland(
    cache: &Path,
    request: &UserlandRequest<'_>,
) -> Result<Stage<Userland>, KbuildError> {
    let started = Instant::now();
    let key = key(request);
    let path = stage::place(cache, "userlands", &key);
    let cached = stage::once(&path, || {
        files::make_dir_atomic(&path, |dir| make(dir, request))
    })?;
    let image = path.join(IMAGE);
    let sha256 = hash_file(&image)?;
    let noted = files::read_text(&path.join(DIGEST))?;
    if noted.trim() != sha256.to_hex() {
        return Err(KbuildError::Damaged { path });
    }
    let userland = Userland { image, sha256 };
    Ok(Stage::new(userland, key, cached, started))
}

const IMAGE: &str = "image.squashfs";
const DIGEST: &str = "image.sha256";

fn key(request: &UserlandRequest<'_>) -> Sha256 {
    let packages = packages::key("userland", RECIPE, request.packages);
    let key = KeyBuilder::new("userland", RECIPE).digest("packages", &packages);
    let add = |key: KeyBuilder, (path, bytes): (&String, &Vec<u8>)| key.bytes(path, bytes);
    let key = request.files.iter().fold(key, add);
    let add = |key: KeyBuilder, command: &String| key.text("prepare", command);
    request.prepare.iter().fold(key, add).finish()
}

fn make(dir: &Path, request: &UserlandRequest<'_>) -> Result<(), KbuildError> {
    let root = dir.join("root");
    files::make_dir(&root)?;
    deb::merge_usr(&root)?;
    for package in request.packages {
        packages::unpack(package, &root, &wanted)?;
    }
    for folder in FOLDERS {
        files::make_dir(&root.join(folder))?;
    }
    for folder in FOLDERS.iter().chain(&SHARED) {
        set_mode(&root.join(folder), 0o755)?;
    }
    for (path, bytes) in request.files {
        let path = root.join(path);
        files::write_atomic(&path, bytes)?;
        set_mode(&path, 0o644)?;
    }
    for command in request.prepare {
        process::run(inside(&root, command), None)?;
    }
    let image = dir.join(IMAGE);
    process::run(packer(&root, &image), None)?;
    let sha256 = hash_file(&image)?;
    files::write_atomic(&dir.join(DIGEST), sha256.to_hex().as_bytes())?;
    fs::remove_dir_all(&root).map_err(FileError::of("remove", &root))?;
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(FileError::of("set the mode of", path))
}

/// A shell command in the unpacked tree, which it may change, and in nothing else.
fn inside(root: &Path, script: &str) -> std::process::Command {
    let mut command = process::command("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session"]);
    command
        .args(["--cap-drop", "ALL", "--bind"])
        .arg(root)
        .arg("/");
    command.args(["--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]);
    command.args(["--chdir", "/", "--clearenv"]);
    for (name, value) in ENVIRONMENT.into_iter().chain(DETERMINED) {
        command.args(["--setenv", name, value]);
    }
    command.args(["sh", "-c", script]);
    command
}

/// The same bytes for the same tree: no times, no owners, no attributes of the host's.
fn packer(root: &Path, image: &Path) -> std::process::Command {
    let mut command = process::command(PACKER.program);
    command.arg(root).arg(image);
    command.args(["-noappend", "-no-progress", "-quiet", "-no-xattrs"]);
    command.args(["-all-root", "-all-time", "0", "-mkfs-time", "0"]);
    // Inodes, data, fragments and ids as they are.
    command.args(["-noI", "-noD", "-noF", "-noX"]);
    // It refuses to be told twice what time it is.
    command.env_remove("SOURCE_DATE_EPOCH");
    command
}

/// What packages bring and no test runs or reads.
fn wanted(path: &Path) -> bool {
    let share = Path::new("usr/share");
    let manual = [
        "bash-completion",
        "bug",
        "doc",
        "doc-base",
        "info",
        "lintian",
        "locale",
        "man",
        "perl",
        "zsh",
    ]
    .iter()
    .any(|name| path.starts_with(share.join(name)));
    let other = [
        "usr/lib/systemd",
        "usr/lib/x86_64-linux-gnu/gconv",
        "usr/lib/x86_64-linux-gnu/perl-base",
        "usr/lib/x86_64-linux-gnu/perl",
        "usr/share/i18n",
        "var/lib/dpkg",
    ]
    .iter()
    .any(|folder| path.starts_with(folder));
    !manual && !other
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(files: &BTreeMap<String, Vec<u8>>) -> UserlandRequest<'_> {
        UserlandRequest {
            packages: &[],
            files,
            prepare: &[],
        }
    }

    fn files(text: &str) -> BTreeMap<String, Vec<u8>> {
        [("etc/passwd".to_owned(), text.as_bytes().to_vec())].into()
    }

    #[test]
    fn manuals_are_left_out_and_programs_are_not() {
        for path in ["usr/share/man/man8/nginx.8.gz", "usr/share/doc/curl"] {
            assert!(!wanted(Path::new(path)), "{path}");
        }
        for path in [
            "usr/bin/curl",
            "usr/share/nginx/html",
            "etc/ssl/openssl.cnf",
        ] {
            assert!(wanted(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn the_same_input_is_the_same_disk_and_another_is_another() {
        let [one, again, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let (root, guest) = (files("root"), files("guest"));
        let make = |cache: &Path, files| ensure_userland(cache, &request(files)).unwrap();
        let first = make(one.path(), &root);
        assert!(!first.cached && make(one.path(), &root).cached);
        assert_eq!(first.result.sha256, make(again.path(), &root).result.sha256);
        let third = make(other.path(), &guest);
        assert_ne!(first.key, third.key);
        assert_ne!(first.result.sha256, third.result.sha256);
        let left = fs::read_dir(first.result.image.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 2, "the unpacked tree was left");
    }

    #[test]
    fn what_cannot_be_prepared_is_told_and_leaves_nothing() {
        let (cache, files) = (tempfile::tempdir().unwrap(), files("root"));
        let prepare = ["no such command".to_owned()];
        let bare = request(&files);
        let prepared = UserlandRequest {
            prepare: &prepare,
            ..bare.clone()
        };
        assert_ne!(key(&prepared), key(&bare));
        let error = ensure_userland(cache.path(), &prepared).unwrap_err();
        assert_eq!(error.verdict(), "process-error");
        let left = fs::read_dir(cache.path().join("userlands")).unwrap();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_disk_that_was_changed_is_refused() {
        let cache = tempfile::tempdir().unwrap();
        let files = files("root");
        let made = ensure_userland(cache.path(), &request(&files)).unwrap();
        let mut bytes = files::read(&made.result.image).unwrap();
        bytes[200] ^= 1;
        files::write_atomic(&made.result.image, &bytes).unwrap();
        let error = ensure_userland(cache.path(), &request(&files)).unwrap_err();
        assert_eq!(error.verdict(), "damaged-cache");
        assert!(error.is_infrastructure());
    }
}
