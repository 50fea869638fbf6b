// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files that are whole or absent, also after the power has gone.
#![forbid(unsafe_code)]

use std::{
    fs::{self, File, Permissions},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

/// Begins the names of files that are being written.
const TEMPORARY: &str = ".tmp-";

/// Writes a file, or replaces it in one step. When this returns it outlives a crash of the
/// machine. It never has more than `mode`, not for a moment.
///
/// # Errors
/// When it cannot be written: then what was there before is there still.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let written = temporary(path, bytes, mode)?;
    written.persist(path).map_err(|error| error.error)?;
    sync_dir(parent(path))
}

/// Writes a file that is not there yet, as [`write()`] does.
///
/// # Errors
/// When it cannot be written, or is there already ([`io::ErrorKind::AlreadyExists`]): then it
/// is as it was.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let written = temporary(path, bytes, mode)?;
    written
        .persist_noclobber(path)
        .map_err(|error| error.error)?;
    sync_dir(parent(path))
}

/// What was made or renamed in a folder is on the disk.
///
/// # Errors
/// When the folder cannot be opened, or the disk fails.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes what a crash has left half-written in a folder, and says how much that was. For who is
/// the only one that writes there.
///
/// # Errors
/// When the folder cannot be read, or a file stays.
pub fn sweep(dir: &Path) -> io::Result<usize> {
    let mut swept = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    if swept > 0 {
        sync_dir(dir)?;
    }
    Ok(swept)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// All of it, on the disk, under another name.
fn temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(parent(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (text, bits) in [("first", 0o600), ("second", 0o640)] {
            write(&path, text.as_bytes(), bits).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(mode(&path), bits);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // A folder in the way: nothing is left of the try.
        let taken = dir.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(write(&taken, b"x", 0o600).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_there_is_not_created_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path, b"first", 0o600).unwrap();
        let error = create(&path, b"second", 0o600).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_crash_has_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("file"), b"x", 0o600).unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 0);
        write(&dir.path().join(".tmp-half"), b"hal", 0o600).unwrap();
        assert_eq!(sweep(dir.path()).unwrap(), 1);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].as_ref().unwrap().file_name(), "file");
    }

    #[test]
    fn a_name_alone_is_of_the_folder_one_is_in() {
        assert_eq!(parent(Path::new("file")), Path::new("."));
        assert_eq!(parent(Path::new("a/file")), Path::new("a"));
        assert_eq!(parent(Path::new("/file")), Path::new("/"));
    }
}
