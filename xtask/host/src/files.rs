// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files and folders that are whole or absent.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

/// A file or folder could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: names the action and the path.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(FileError::of("read", path))
}

/// Reads a whole UTF-8 file.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(FileError::of("read", path))
}

/// Makes a folder and its parents.
pub fn make_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(FileError::of("create the folder", path))
}

/// Writes a file by way of a temporary beside it and a rename; makes missing folders.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(parent)
        .map_err(FileError::of("create a file in", parent))?;
    temporary
        .write_all(bytes)
        .map_err(FileError::of("write", path))?;
    temporary
        .persist(path)
        .map_err(|error| FileError::of("write", path)(error.error))?;
    Ok(())
}

/// Gives the file `from` the second name `to`, in one step; copies it where a file cannot have
/// two names, as on another file system.
pub fn link_or_copy(from: &Path, to: &Path) -> Result<(), FileError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .make_in(parent, |path| {
            fs::hard_link(from, path).or_else(|_| fs::copy(from, path).map(drop))
        })
        .map_err(FileError::of("link or copy", from))?;
    let name = temporary.path().to_owned();
    temporary
        .into_temp_path()
        .persist(to)
        .map_err(|error| FileError::of("link", to)(error.error))?;
    // Where both were names of one file already, rename(2) does nothing at all.
    let _ = fs::remove_file(name);
    Ok(())
}

/// Makes the symbolic link `link` to `target`, replacing an older one in one step.
pub fn symlink_atomic(target: &Path, link: &Path) -> Result<(), FileError> {
    let parent = link.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .make_in(parent, |path| std::os::unix::fs::symlink(target, path))
        .map_err(FileError::of("create a link in", parent))?;
    temporary
        .into_temp_path()
        .persist(link)
        .map_err(|error| FileError::of("link", link)(error.error))
}

/// Makes the folder `path` by filling a temporary beside it and renaming that.
///
/// When somebody else made the same folder meanwhile, theirs stays and ours goes: both hold
/// the same content, for the name is its key.
pub fn make_dir_atomic<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = path.parent().unwrap_or(Path::new("."));
    make_dir(parent)?;
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in(parent)
        .map_err(FileError::of("create a folder in", parent))?;
    fill(temporary.path())?;
    match fs::rename(temporary.path(), path) {
        Ok(()) => {
            // Renamed away: there is nothing left for the guard to remove.
            let _ = temporary.keep();
            Ok(())
        }
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(FileError::of("create the folder", path)(error).into()),
    }
}

/// The user's cache folder for this project: `$XDG_CACHE_HOME/tidelock` or `~/.cache/tidelock`.
pub fn cache_dir() -> Result<PathBuf, FileError> {
    let var = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var("XDG_CACHE_HOME")
        .or_else(|| Some(var("HOME")?.join(".cache")))
        .map(|dir| dir.join("tidelock"))
        .ok_or_else(|| FileError {
            action: "find",
            path: "the cache folder".into(),
            source: io::Error::new(
                io::ErrorKind::NotFound,
                "neither XDG_CACHE_HOME nor HOME is set",
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_fill_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        let result = make_dir_atomic(&path, |temporary| {
            write_atomic(&temporary.join("half"), b"x")?;
            Err(FileError::of("invent", temporary)(io::Error::other(
                "on purpose",
            )))
        });
        assert!(result.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_second_name_replaces_another_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        write_atomic(&from, b"new").unwrap();
        write_atomic(&to, b"old").unwrap();
        link_or_copy(&from, &to).unwrap();
        assert_eq!(read(&to).unwrap(), b"new");
        // Linking a file to itself is where rename(2) would leave the temporary behind.
        link_or_copy(&from, &to).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_link_is_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("latest");
        for target in ["first", "second"] {
            symlink_atomic(Path::new(target), &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_first_of_two_makers_wins_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made");
        for text in [b"first", b"other"] {
            make_dir_atomic(&path, |temporary| write_atomic(&temporary.join("f"), text)).unwrap();
        }
        assert_eq!(read(&path.join("f")).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
