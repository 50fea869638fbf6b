// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pinned Rust toolchain, as found on this host.

use std::path::{Path, PathBuf};

use tidelock_host::process;

use crate::CoreError;

/// Where the compiler is and which one it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Toolchain {
    /// Such as `1.95.0`.
    pub version: String,
    /// The compiler's commit, which names its standard library's source.
    pub commit: String,
    /// The compiler's own platform.
    pub host: String,
    /// Where it is installed.
    pub sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the compiler that `workspace` pins.
    ///
    /// # Errors
    /// When it does not run or does not say who it is.
    pub fn detect(workspace: &Path) -> Result<Self, CoreError> {
        let ask = |arguments: &[&str]| {
            let mut rustc = process::command("rustc");
            rustc.args(arguments);
            process::run(rustc, Some(workspace)).map(|out| String::from_utf8_lossy(&out).into())
        };
        let about: String = ask(&["-vV"])?;
        let sysroot: String = ask(&["--print", "sysroot"])?;
        Self::parse(&about, sysroot.trim().into())
    }

    fn parse(about: &str, sysroot: PathBuf) -> Result<Self, CoreError> {
        let field = |name: &'static str| {
            about
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::to_owned)
                .ok_or(CoreError::UnknownCompiler { field: name })
        };
        Ok(Self {
            version: field("release")?,
            commit: field("commit-hash")?,
            host: field("host")?,
            sysroot,
        })
    }

    /// A program that comes with the compiler.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn tool(&self, name: &str) -> Result<PathBuf, CoreError> {
        let path = self
            .sysroot
            .join("lib/rustlib")
            .join(&self.host)
            .join("bin")
            .join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(CoreError::NoTool { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_says_who_it_is() {
        let about = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\n\
                     commit-hash: 59807616e1fa\nhost: x86_64-unknown-linux-gnu\n\
                     release: 1.95.0\nLLVM version: 22.1.2\n";
        let toolchain = Toolchain::parse(about, "/sysroot".into()).unwrap();
        assert_eq!(toolchain.version, "1.95.0");
        assert_eq!(toolchain.commit, "59807616e1fa");
        let error = Toolchain::parse("release: 1.95.0\n", "/sysroot".into()).unwrap_err();
        assert!(error.to_string().contains("commit-hash"), "{error}");
    }
}
