// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens to connections.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What happens to connections.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing: nobody is asked.
    Off,
    /// Everybody is asked and nobody refused; what would have been is counted.
    Permissive,
    /// What is not allowed is refused.
    Enforce,
}

impl Mode {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Off, Self::Permissive, Self::Enforce];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Permissive => "permissive",
            Self::Enforce => "enforce",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no mode.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no mode: use off, permissive or enforce")]
pub struct UnknownMode(pub String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(word: &str) -> Result<Self, UnknownMode> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| UnknownMode(word.into()))
    }
}

/// Who set the mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeSource {
    /// An administrator, while the machine ran. Kept until it is set back, or until the next boot.
    Administrator,
    /// The command line or the environment: the packaged default file.
    DefaultFile,
    /// The configuration file.
    Configuration,
    /// Nobody.
    BuiltIn,
}

/// What is to be in force, and since whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModeReport {
    /// What is to be in force.
    pub mode: Mode,
    /// Who says so.
    pub source: ModeSource,
    /// What the kernel last said is in force; none while it cannot be asked.
    pub kernel: Option<Mode>,
}

/// Sets the mode.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// The new one; none: as configured again.
    pub mode: Option<Mode>,
}
