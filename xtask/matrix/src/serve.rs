// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is listed is not always served: archives at the end of their life keep their indexes
//! longer than their files.

use std::collections::BTreeSet;

use tidelock_archive::{Fetcher, Presence};
use tokio::task::JoinSet;

use crate::{
    lock::{Lock, LockedKernel, LockedPackage, MissingKernel},
    ops::MatrixError,
    resolve::Discovery,
};

/// The packages, by their name in the lock, that no mirror serves.
///
/// What this host's store still has is asked for all the same: a lock is the same whoever makes it.
///
/// # Errors
/// When a mirror cannot be asked, or serves something else in a package's place.
pub(crate) async fn unserved(
    lock: &Lock,
    fetcher: &Fetcher,
) -> Result<BTreeSet<String>, MatrixError> {
    let mut tasks = JoinSet::new();
    for package in lock.packages() {
        let (fetcher, package) = (fetcher.clone(), package.clone());
        tasks.spawn(async move {
            let presence = fetcher.presence(&package.file).await;
            presence.map(|presence| (package, presence))
        });
    }
    let (mut unserved, mut others) = (BTreeSet::new(), BTreeSet::new());
    while let Some(joined) = tasks.join_next().await {
        let (package, presence) =
            joined.map_err(|error| MatrixError::Task(error.to_string()))??;
        let size = package.file.size;
        match presence {
            Presence::Served => {}
            Presence::Vanished => drop(unserved.insert(package.id())),
            Presence::OtherSize(served) => drop(others.insert(format!(
                "{} ({served} bytes instead of {size})",
                package.id()
            ))),
        }
    }
    if others.is_empty() {
        return Ok(unserved);
    }
    Err(MatrixError::Tampered {
        packages: others.into_iter().collect(),
    })
}

/// Moves the kernels that need one of these to the missing ones; a build root or a userland cannot do
/// without.
pub(crate) fn set_aside(
    discovery: &mut Discovery,
    unserved: &BTreeSet<String>,
) -> Result<(), MatrixError> {
    let lock = &mut discovery.lock;
    let roots = lock
        .roots
        .iter()
        .map(|root| (root.name.as_str(), root.packages.as_slice()));
    let userlands = lock
        .userlands
        .iter()
        .map(|userland| (userland.name.as_str(), userland.packages.as_slice()));
    let rust_src = ("rust-src", std::slice::from_ref(&lock.rust_src));
    for (by, packages) in roots.chain(userlands).chain([rust_src]) {
        let packages = lacking(packages, unserved);
        if !packages.is_empty() {
            return Err(MatrixError::Unserved {
                by: by.into(),
                packages,
            });
        }
    }
    let (mut kernels, mut missing) = (Vec::new(), Vec::new());
    for kernel in std::mem::take(&mut lock.kernels) {
        let all = [kernel.image.as_slice(), &kernel.headers].concat();
        match lacking(&all, unserved) {
            packages if packages.is_empty() => kernels.push(kernel),
            packages => missing.push(without(kernel, packages)),
        }
    }
    if !missing.is_empty() {
        discovery.warnings.push(format!(
            "{} kernels are listed by a signed index, and the mirror does not serve all their packages; they are noted as missing",
            missing.len()
        ));
    }
    (lock.kernels, lock.missing) = (kernels, missing);
    Ok(())
}

fn lacking(packages: &[LockedPackage], unserved: &BTreeSet<String>) -> Vec<String> {
    let ids = packages.iter().map(LockedPackage::id);
    ids.filter(|id| unserved.contains(id)).collect()
}

fn without(kernel: LockedKernel, packages: Vec<String>) -> MissingKernel {
    MissingKernel {
        release: kernel.release,
        series: kernel.series,
        flavour: kernel.flavour,
        arch: kernel.arch,
        suite: kernel.suite,
        version: kernel.version,
        packages,
    }
}
