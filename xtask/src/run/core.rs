// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Rust core: where the source of Rust's own libraries comes from, and the built object.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use tidelock_archive::{Fetcher, Mode, deb};
use tidelock_core_build::{CoreRequest, Network, RustSrc, Toolchain, Variant};
use tidelock_host::files;
use tidelock_matrix::LockedPackage;
use tidelock_model::Sha256;
use tidelock_report::Live;

use super::sources;

/// The core's object, in memory: it is linked into the module of every kernel.
#[derive(Debug)]
pub(crate) struct Core {
    /// The relocatable object.
    pub(crate) bytes: Vec<u8>,
    /// Its digest.
    pub(crate) sha256: Sha256,
}

/// What the core is built from: the source of Rust's libraries is the toolchain's own component
/// where it is installed, and the locked package otherwise.
pub(crate) async fn request(
    root: &Path,
    cache: &Path,
    package: &LockedPackage,
    fetcher: &Fetcher,
    live: &Arc<Live>,
) -> Result<CoreRequest> {
    let toolchain = Toolchain::detect(root)?;
    let rust_src = match RustSrc::detect(&toolchain) {
        Ok(found) => found,
        Err(_) => locked(cache, package, fetcher, live, &toolchain).await?,
    };
    Ok(CoreRequest {
        workspace: root.to_owned(),
        variant: Variant::Shipping,
        toolchain,
        rust_src,
        network: match fetcher.mode() {
            Mode::Online => Network::Allowed,
            Mode::Offline => Network::Offline,
        },
        cache: cache.join("core"),
    })
}

/// The locked package, unpacked in the cache.
async fn locked(
    cache: &Path,
    package: &LockedPackage,
    fetcher: &Fetcher,
    live: &Arc<Live>,
    toolchain: &Toolchain,
) -> Result<RustSrc> {
    let place = cache.join("rust-src").join(package.file.sha256.to_hex());
    if !place.is_dir() {
        let fetched = fetcher
            .fetch(
                std::slice::from_ref(&package.file),
                sources::shown(live, package.name.as_str()),
            )
            .await?;
        let path = fetched
            .into_iter()
            .next()
            .context("the package of rust-src did not come")?;
        let place = place.clone();
        tokio::task::spawn_blocking(move || unpack(&path, &place)).await??;
    }
    let library = place.join(format!("usr/src/rustc-{}/library", toolchain.version));
    let name = format!("{} {}", package.name, package.version);
    RustSrc::from_package(&library, &name, package.file.sha256, toolchain).context(
        "matrix.lock's rust-src is not of the pinned toolchain's version: run \
         `cargo xtask kernels lock`, or `rustup component add rust-src`",
    )
}

fn unpack(package: &Path, place: &Path) -> Result<()> {
    let wanted = |path: &Path| {
        let path = path.to_string_lossy();
        path.contains("/library")
            || path.ends_with("/src/version")
            || !path.contains("usr/src/rustc-")
            || path.matches('/').count() < 4
    };
    files::make_dir_atomic(place, |dir| -> Result<()> {
        Ok(deb::extract(package, dir, &wanted)?)
    })
}

/// Builds the core, or takes it from the cache.
pub(crate) async fn build(request: CoreRequest) -> Result<Arc<Core>> {
    let artifact =
        tokio::task::spawn_blocking(move || tidelock_core_build::build(&request)).await??;
    let object: PathBuf = artifact.object;
    Ok(Arc::new(Core {
        bytes: files::read(&object)?,
        sha256: artifact.record.sha256,
    }))
}
