// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Options that several commands share, and what they become once, at the edge.

use std::{num::NonZeroUsize, path::PathBuf};

use clap::Args;
use tidelock_host::tools::Install;

/// Where packages come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SourceOptions {
    /// The Debian mirror [default: the one in apt's own configuration]
    #[arg(long, value_name = "URL", env = "TIDELOCK_DEBIAN_MIRROR")]
    pub(crate) debian_mirror: Option<String>,

    /// The mirror of Debian's security archive [default: apt's, or beside --debian-mirror]
    #[arg(long, value_name = "URL", env = "TIDELOCK_DEBIAN_SECURITY_MIRROR")]
    pub(crate) debian_security_mirror: Option<String>,

    /// Use only what is in the cache; name what is missing
    #[arg(long)]
    pub(crate) offline: bool,
}

/// What may be done to the host.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct HostOptions {
    /// Do not install missing host packages, even when root; print the command instead
    #[arg(long)]
    no_install: bool,
}

impl HostOptions {
    pub(crate) const fn install(self) -> Install {
        if self.no_install {
            Install::Never
        } else {
            Install::WhenRoot
        }
    }
}

/// How many cells at a time.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct JobOptions {
    /// Cells to run side by side [default: as many as cores and memory allow]
    #[arg(long, short = 'j', value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
}

/// The root of the checkout: the folder of the workspace's `Cargo.toml`.
pub(crate) fn checkout() -> PathBuf {
    // Cargo runs the factory from the checkout that built it.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask
        .parent()
        .map_or_else(|| PathBuf::from("."), std::path::Path::to_path_buf)
}
