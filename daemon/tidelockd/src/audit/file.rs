// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A file of lines that is put aside when it is long.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// The file.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    open: Option<(File, u64)>,
}

impl LineFile {
    /// Put aside before it is longer than `max_bytes`; `keep` of those are kept, `PATH.1` the
    /// newest.
    pub const fn new(path: PathBuf, max_bytes: u64, keep: u32) -> Self {
        Self {
            path,
            max_bytes,
            keep,
            open: None,
        }
    }

    /// Adds a line, given without its end.
    ///
    /// # Errors
    /// When it cannot be written; the next one opens the file anew.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let result = self.try_write(line);
        if result.is_err() {
            self.open = None;
        }
        result
    }

    fn try_write(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        let (mut file, mut len) = match self.open.take() {
            Some(open) => open,
            None => open(&self.path)?,
        };
        if len > 0 && len.saturating_add(line.len() as u64) > self.max_bytes {
            drop(file);
            self.put_aside()?;
            (file, len) = open(&self.path)?;
        }
        file.write_all(line.as_bytes())?;
        self.open = Some((file, len.saturating_add(line.len() as u64)));
        Ok(())
    }

    fn put_aside(&self) -> io::Result<()> {
        if self.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for at in (1..self.keep).rev() {
            match fs::rename(self.aside(at), self.aside(at + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    fn aside(&self, at: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{at}"));
        name.into()
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o640)
        .open(path)?;
    let len = file.seek(SeekFrom::End(0))?;
    let mut last = [b'\n'];
    if len > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    // What was cut off when the machine stopped stays a line of its own.
    if last != *b"\n" {
        file.write_all(b"\n")?;
        return Ok((file, len + 1));
    }
    Ok((file, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_long_file_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = LineFile::new(path.clone(), 8, 2);
        for line in ["one", "two", "three", "four", "a longer one", "six"] {
            file.write(line).unwrap();
        }
        assert_eq!(text(&path), "six\n");
        assert_eq!(text(&dir.path().join("log.1")), "a longer one\n");
        assert_eq!(text(&dir.path().join("log.2")), "four\n");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_restart_goes_on_and_mends_what_was_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        LineFile::new(path.clone(), 100, 0)
            .write("{\"a\":1}")
            .unwrap();
        let mut raw = OpenOptions::new().append(true).open(&path).unwrap();
        raw.write_all(b"{\"cut").unwrap();
        let mut file = LineFile::new(path.clone(), 24, 0);
        file.write("x").unwrap();
        assert_eq!(text(&path), "{\"a\":1}\n{\"cut\nx\n");
        file.write("too much for the rest").unwrap();
        assert_eq!(text(&path), "too much for the rest\n");
    }

    #[test]
    fn a_failure_is_told_and_the_next_line_tries_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("missing/log");
        let mut file = LineFile::new(path.clone(), 100, 1);
        assert!(file.write("lost").is_err());
        fs::create_dir(path.parent().unwrap()).unwrap();
        file.write("written").unwrap();
        assert_eq!(text(&path), "written\n");
    }
}
