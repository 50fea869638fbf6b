// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Small files that outlive the daemon: whole or absent, and on the disk when that is said.

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

/// A file of the daemon's own cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct StateError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl StateError {
    fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

/// Makes a folder and its parents, for their owner and group.
///
/// # Errors
/// When it is not there and cannot be made.
pub fn make_dir(path: &Path) -> Result<(), StateError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(StateError::of("make the folder", path))
}

/// Reads a file; none when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(path: &Path) -> Result<Option<String>, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::of("read", path)(error)),
    }
}

/// Writes a file. When this returns it outlives a crash of the machine.
///
/// # Errors
/// When it cannot be written: then what was there before is there still.
pub fn write(path: &Path, text: &str) -> Result<(), StateError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    tidelock_durable::write(path, text.as_bytes(), 0o640).map_err(StateError::of("write", path))
}

/// Removes a file, which may be absent already.
///
/// # Errors
/// When it stays.
pub fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StateError::of("remove", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file");
        assert_eq!(read(&path).unwrap(), None);
        for text in ["first", "second"] {
            write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().as_deref(), Some(text));
        }
        let parent = path.parent().unwrap();
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
        // A folder in the way: nothing is left of the try.
        fs::create_dir(&path).unwrap();
        assert!(write(&path, "x").is_err());
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
    }
}
