// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Host programs the factory needs, and the packages that bring them.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use crate::process::{self, ProcessError};

/// A host program and the Debian package that brings it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tool {
    /// Looked for along `PATH`, or an absolute path.
    pub program: &'static str,
    /// Debian's name; `name/suite` where the default is too old and the suite is known to apt.
    pub package: &'static str,
}

/// What to do about missing host programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Install {
    /// Install them when root, saying so.
    WhenRoot,
    /// Never (`--no-install`).
    Never,
}

/// Host programs are missing.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// And were not installed.
    #[error("missing on this host: {}. Install with:\n  {command}", programs.join(", "))]
    Missing {
        /// The programs.
        programs: Vec<String>,
        /// The exact command that brings them.
        command: String,
    },
    /// Installing them failed.
    #[error("installing host packages: {0}")]
    Install(#[from] ProcessError),
}

/// The path of `program`, when it is there.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = PathBuf::from(program);
    if path.is_absolute() {
        return path.exists().then_some(path);
    }
    // Packages of Debian put daemons' tools where a plain user's PATH does not look.
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}

/// Held while packages are looked for and installed: apt lets one at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// Makes sure that all `tools` are there, by installing them if `install` allows it. Of several
/// callers in this process one looks at a time.
///
/// # Errors
/// When some are missing: with the command that installs them.
pub fn require(tools: &[Tool], install: Install) -> Result<(), ToolError> {
    let _turn = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| find(tool.program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let programs = || missing.iter().map(|tool| tool.program.to_owned()).collect();
    let command = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if install == Install::Never || !rustix::process::geteuid().is_root() {
        return Err(ToolError::Missing {
            programs: programs(),
            command: format!("sudo {command}"),
        });
    }
    eprintln!("installing host packages: {}", packages.join(" "));
    let mut update = process::command("apt-get");
    update.args(["-q", "update"]);
    process::run(update, None)?;
    let mut apt = process::command("apt-get");
    apt.args(["-qy", "install", "--no-install-recommends"])
        .args(&packages)
        .env("DEBIAN_FRONTEND", "noninteractive");
    process::run(apt, None)?;
    if let Some(tool) = tools.iter().find(|tool| find(tool.program).is_none()) {
        return Err(ToolError::Missing {
            programs: vec![tool.program.into()],
            command,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        let tools = [
            Tool {
                program: "sh",
                package: "dash",
            },
            Tool {
                program: "no-such-tool",
                package: "no-such-package",
            },
        ];
        let error = require(&tools, Install::Never).unwrap_err().to_string();
        assert_eq!(
            error,
            "missing on this host: no-such-tool. Install with:\n  sudo apt-get install --no-install-recommends no-such-package"
        );
        assert!(require(&tools[..1], Install::Never).is_ok());
    }
}
