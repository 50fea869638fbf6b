// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mode, and who says so.
//!
//! What an administrator sets while the machine runs lives as long as the kernel's own: it
//! outlives the daemon and ends with the next boot, for it is kept below `/run`. Then the default
//! file counts, then the configuration, and in the end what refuses rather than lets through.

use std::path::PathBuf;

use tidelock_api::{Mode, ModeSource};

use crate::state::{self, StateError};

/// Where nobody says anything.
const BUILT_IN: Mode = Mode::Enforce;

/// What is said of the mode.
#[derive(Clone, Debug)]
pub struct Modes {
    path: PathBuf,
    administrator: Option<Mode>,
    default_file: Option<Mode>,
    configuration: Option<Mode>,
}

impl Modes {
    /// What an administrator set is kept in the file `path`.
    pub fn load(path: PathBuf, default_file: Option<Mode>, configuration: Option<Mode>) -> Self {
        let administrator = match state::read(&path) {
            Ok(text) => text.and_then(|text| {
                let word = text.trim_end();
                word.parse()
                    .inspect_err(|error| tracing::error!("{}: {error}", path.display()))
                    .ok()
            }),
            Err(error) => {
                tracing::error!("what mode was set by hand is not known: {error}");
                None
            }
        };
        Self {
            path,
            administrator,
            default_file,
            configuration,
        }
    }

    /// The configuration was read again.
    pub const fn configured(&mut self, configuration: Option<Mode>) {
        self.configuration = configuration;
    }

    /// An administrator sets it; none: as configured again.
    ///
    /// # Errors
    /// When that cannot be kept: then nothing has changed.
    pub fn set(&mut self, mode: Option<Mode>) -> Result<(), StateError> {
        match mode {
            Some(mode) => state::write(&self.path, &format!("{mode}\n"))?,
            None => state::remove(&self.path)?,
        }
        self.administrator = mode;
        Ok(())
    }

    /// What is to be in force.
    pub fn now(&self) -> (Mode, ModeSource) {
        let by = |mode: Option<Mode>, source| mode.map(|mode| (mode, source));
        by(self.administrator, ModeSource::Administrator)
            .or(by(self.default_file, ModeSource::DefaultFile))
            .or(by(self.configuration, ModeSource::Configuration))
            .unwrap_or((BUILT_IN, ModeSource::BuiltIn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_nearer_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mode");
        let load = |default, configured| Modes::load(path.clone(), default, configured);
        let mut modes = load(None, None);
        assert_eq!(modes.now(), (Mode::Enforce, ModeSource::BuiltIn));
        modes.configured(Some(Mode::Off));
        assert_eq!(modes.now(), (Mode::Off, ModeSource::Configuration));
        let mut modes = load(Some(Mode::Permissive), Some(Mode::Off));
        assert_eq!(modes.now(), (Mode::Permissive, ModeSource::DefaultFile));
        modes.set(Some(Mode::Off)).unwrap();
        assert_eq!(modes.now(), (Mode::Off, ModeSource::Administrator));
        // It outlives the daemon.
        let mut modes = load(Some(Mode::Permissive), None);
        assert_eq!(modes.now(), (Mode::Off, ModeSource::Administrator));
        modes.set(None).unwrap();
        assert_eq!(modes.now(), (Mode::Permissive, ModeSource::DefaultFile));
        assert_eq!(load(None, None).now(), (Mode::Enforce, ModeSource::BuiltIn));
    }

    #[test]
    fn a_damaged_file_sets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mode");
        state::write(&path, "of\n").unwrap();
        assert_eq!(
            Modes::load(path, None, None).now(),
            (Mode::Enforce, ModeSource::BuiltIn)
        );
    }

    #[test]
    fn what_cannot_be_kept_is_not_set() {
        let dir = tempfile::tempdir().unwrap();
        let mut modes = Modes::load(dir.path().to_owned(), None, None);
        assert!(modes.set(Some(Mode::Off)).is_err());
        assert_eq!(modes.now(), (Mode::Enforce, ModeSource::BuiltIn));
    }
}
