// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's root: a raw cpio archive (newc), the same bytes for the same input.
//!
//! Uncompressed, because decompressing it is emulated work and reading it is not.

use std::{
    io,
    path::{Path, PathBuf},
};

use cpio::newc;
use tidelock_host::files::{self, FileError};

use crate::kernel::Kernel;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DATA: u32 = 0o100_644;

/// A file that goes into the initramfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Without the leading `/`.
    pub name: String,
    /// The file on the host.
    pub source: PathBuf,
}

/// What the guest's root is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents<'a> {
    /// PID 1.
    pub init: &'a Path,
    /// Whose modules go to `/lib`, listed in `/modules.list`.
    pub kernel: &'a Kernel,
    /// The module under test, as `/tidelock.ko`.
    pub module: Option<&'a Path>,
    /// More programs.
    pub extra: &'a [Entry],
}

/// The archive.
pub fn build(contents: &Contents<'_>) -> Result<Vec<u8>, FileError> {
    let mut archive = Archive::default();
    let names = contents.extra.iter().map(|entry| entry.name.as_str());
    let folders = ["dev/x", "lib/x"].into_iter().chain(names);
    archive.folders(folders)?;
    archive.file("init", PROGRAM, &files::read(contents.init)?)?;
    let mut list = String::new();
    for module in &contents.kernel.modules {
        let name = format!("lib/{}.ko", module.name);
        archive.file(&name, DATA, &files::read(&module.path)?)?;
        list.extend(["/", &name, "\n"]);
    }
    archive.file("modules.list", DATA, list.as_bytes())?;
    if let Some(module) = contents.module {
        archive.file("tidelock.ko", DATA, &files::read(module)?)?;
    }
    for Entry { name, source } in contents.extra {
        archive.file(name, PROGRAM, &files::read(source)?)?;
    }
    newc::trailer(archive.bytes).map_err(FileError::of("end", Path::new("the initramfs")))
}

#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// The parents of `names`, each once, outermost first.
    fn folders<'a>(&mut self, names: impl Iterator<Item = &'a str>) -> Result<(), FileError> {
        let mut folders: Vec<&Path> = names
            .flat_map(|name| Path::new(name).ancestors().skip(1))
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            self.file(&folder.to_string_lossy(), DIRECTORY, b"")?;
        }
        Ok(())
    }

    fn file(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<(), FileError> {
        self.inode += 1;
        let size = u32::try_from(data.len())
            .map_err(io::Error::other)
            .map_err(FileError::of("put into the initramfs", Path::new(name)))?;
        let writer = newc::Builder::new(name)
            .ino(self.inode)
            .mode(mode)
            .nlink(1)
            .mtime(0);
        let mut writer = writer.write(&mut self.bytes, size);
        io::Write::write_all(&mut writer, data)
            .and_then(|()| writer.finish().map(|_| ()))
            .map_err(FileError::of("put into the initramfs", Path::new(name)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::kernel::Module;

    fn put(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        files::write_atomic(&path, format!("contents of {name}").as_bytes()).unwrap();
        path
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_and_everything_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let init = put(dir.path(), "guest");
        let module = put(dir.path(), "module");
        let kernel = Kernel {
            release: "6.1.0-1-amd64".parse().unwrap(),
            bzimage: PathBuf::new(),
            vmlinux: PathBuf::new(),
            modules: ["virtio", "tls"]
                .map(|name| Module {
                    name: name.into(),
                    path: put(dir.path(), name),
                })
                .into(),
            key: tidelock_model::Sha256::of(b""),
        };
        let extra = [Entry {
            name: "usr/bin/busybox".into(),
            source: put(dir.path(), "busybox"),
        }];
        let contents = Contents {
            init: &init,
            kernel: &kernel,
            module: Some(&module),
            extra: &extra,
        };
        let bytes = build(&contents).unwrap();
        assert_eq!(bytes, build(&contents).unwrap());
        insta::assert_snapshot!(listing(&bytes), @r#"
        40755 1 dev ""
        40755 2 lib ""
        40755 3 usr ""
        40755 4 usr/bin ""
        100755 5 init "contents of guest"
        100644 6 lib/virtio.ko "contents of virtio"
        100644 7 lib/tls.ko "contents of tls"
        100644 8 modules.list "/lib/virtio.ko\n/lib/tls.ko\n"
        100644 9 tidelock.ko "contents of module"
        100755 10 usr/bin/busybox "contents of busybox"
        "#);
    }

    fn listing(mut rest: &[u8]) -> String {
        let mut out = String::new();
        loop {
            let mut reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return out;
            }
            let entry = reader.entry();
            let line = format!("{:o} {} {} ", entry.mode(), entry.ino(), entry.name());
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            out.extend([line, format!("{text:?}\n")]);
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let kernel = Kernel {
            release: "6.1.0-1-amd64".parse().unwrap(),
            bzimage: PathBuf::new(),
            vmlinux: PathBuf::new(),
            modules: Vec::new(),
            key: tidelock_model::Sha256::of(b""),
        };
        let error = build(&Contents {
            init: Path::new("/no/such/guest"),
            kernel: &kernel,
            module: None,
            extra: &[],
        })
        .unwrap_err();
        assert!(error.to_string().contains("/no/such/guest"), "{error}");
    }
}
