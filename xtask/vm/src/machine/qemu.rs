// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The QEMU of this host, and what is known about its versions.

use std::{fmt, path::PathBuf};

use tidelock_host::{
    files::{self, FileError},
    process::{self, ProcessError},
    tools::{self, Tool},
};
use tidelock_model::Sha256;

/// What this crate starts.
pub const TOOLS: &[Tool] = &[Tool {
    program: PROGRAM,
    package: "qemu-system-x86",
}];

const PROGRAM: &str = "qemu-system-x86_64";

/// A version of QEMU.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub micro: u16,
}

impl Version {
    /// From `QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)`.
    pub fn parse(banner: &str) -> Option<Self> {
        let text = banner.split_once("version ")?.1;
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .map(|number| number.parse().ok());
        Some(Self {
            major: numbers.next()??,
            minor: numbers.next()??,
            micro: numbers.next()??,
        })
    }

    /// Whether it has bug-free 16-byte compare-and-exchange under TCG, as far as measured.
    const fn trusts_cx16(self) -> bool {
        self.major >= 10
    }

    /// Whether `migrate` knows `file:` (8.2); before, it goes through `cat`.
    pub const fn migrates_to_files(self) -> bool {
        self.major > 8 || self.major == 8 && self.minor >= 2
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.micro))
    }
}

/// What executes the guest's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Accel {
    /// The host's processor.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// As QEMU and the report call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// A processor model, and why that one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu {
    /// For `-cpu`.
    pub model: &'static str,
    /// For people.
    pub reason: &'static str,
}

/// The processor the guest sees.
pub const fn cpu(accel: Accel, version: Version) -> Cpu {
    match accel {
        Accel::Kvm => Cpu {
            model: "host",
            reason: "the host's own, as KVM runs it",
        },
        Accel::Tcg if version.trusts_cx16() => Cpu {
            model: "max",
            reason: "all that TCG emulates",
        },
        Accel::Tcg => Cpu {
            model: "max,-cx16",
            reason: "QEMU before 10 crashes kernels at random after cmpxchg16b under TCG",
        },
    }
}

/// A QEMU on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Qemu {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: Version,
    /// The first line of its `--version`.
    pub banner: String,
    /// Of the program's file: what a saved state is tied to.
    pub digest: Sha256,
}

/// There is no usable QEMU.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// It is not installed.
    #[error("{PROGRAM} is not installed: apt-get install {}", TOOLS[0].package)]
    Missing,
    /// It does not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It says something else than its version.
    #[error("{PROGRAM} --version says {0:?}, in which there is no version")]
    Banner(String),
}

impl Qemu {
    /// The one along `PATH`.
    pub fn find() -> Result<Self, QemuError> {
        let program = tools::find(PROGRAM).ok_or(QemuError::Missing)?;
        let mut command = process::command(&program);
        command.arg("--version");
        let output = process::run(command, None)?;
        let text = String::from_utf8_lossy(&output);
        let banner = text.lines().next().unwrap_or_default().to_owned();
        let version = Version::parse(&banner).ok_or_else(|| QemuError::Banner(banner.clone()))?;
        let digest = Sha256::of(&files::read(&program)?);
        Ok(Self {
            program,
            version,
            banner,
            digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (banner, version) in [
            (
                "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)",
                Some("10.0.2"),
            ),
            ("QEMU emulator version 7.2.22", Some("7.2.22")),
            ("QEMU emulator version 11.0.50 (v11)", Some("11.0.50")),
            ("QEMU emulator version ten", None),
            ("", None),
        ] {
            let got = Version::parse(banner).map(|version| version.to_string());
            assert_eq!(got.as_deref(), version, "{banner}");
        }
    }

    #[test]
    fn the_processor_goes_around_the_known_bug() {
        let version = |text| Version::parse(&format!("version {text}")).unwrap();
        for (accel, text, model) in [
            (Accel::Tcg, "7.2.22", "max,-cx16"),
            (Accel::Tcg, "9.2.4", "max,-cx16"),
            (Accel::Tcg, "10.0.2", "max"),
            (Accel::Kvm, "7.2.22", "host"),
        ] {
            assert_eq!(cpu(accel, version(text)).model, model, "{accel:?} {text}");
        }
    }

    #[test]
    fn migration_to_files_begins_with_8_2() {
        let version = |text| Version::parse(&format!("version {text}")).unwrap();
        assert!(!version("7.2.22").migrates_to_files());
        assert!(!version("8.1.0").migrates_to_files());
        assert!(version("8.2.0").migrates_to_files());
        assert!(version("10.0.2").migrates_to_files());
    }
}
