// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a lock file says of the packages from elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use tidelock_model::Sha256;
use toml::{Table, Value};

use crate::{CoreError, workspace::table};

/// The package that the static library is built from.
const ROOT: &str = "tidelock-core";

/// A package of a registry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Locked {
    pub(crate) name: String,
    pub(crate) version: String,
    source: String,
    /// The SHA-256 of its `.crate` file.
    pub(crate) checksum: Sha256,
}

impl Locked {
    /// The name of its folder, and of its file but for the ending.
    pub(crate) fn stem(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// For the content key.
    pub(crate) fn line(&self) -> String {
        let Self {
            name,
            version,
            source,
            checksum,
        } = self;
        format!("{name} {version} {source} {checksum}")
    }
}

/// The packages that [`ROOT`] may be built from, by the lock file at `path`: an edge that only
/// another crate's features add counts as well.
pub(crate) fn closure(path: &Path) -> Result<BTreeSet<Locked>, CoreError> {
    let lock = table(path)?;
    let packages = packages(path, &lock)?;
    let mut by_name: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
    for package in packages {
        by_name
            .entry(text(package, "name"))
            .or_default()
            .push(package);
    }
    let (mut seen, mut found) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![ROOT];
    while let Some(reference) = open.pop() {
        // `name`, or `name version` where the lock has several of a name.
        let (name, version) = reference.split_once(' ').unwrap_or((reference, ""));
        let candidates = by_name.get(name).into_iter().flatten().copied();
        let fits = |package: &&Table| version.is_empty() || version == text(package, "version");
        for package in candidates.filter(fits) {
            if !seen.insert((text(package, "name"), text(package, "version"))) {
                continue;
            }
            found.extend(locked(path, package)?);
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            open.extend(dependencies.into_iter().flatten().filter_map(Value::as_str));
        }
    }
    if seen.is_empty() {
        return Err(broken(
            path,
            "tidelock-core is not in it: run `cargo generate-lockfile`",
        ));
    }
    Ok(found)
}

/// All packages of a registry in the lock file at `path`.
pub(crate) fn all(path: &Path) -> Result<BTreeSet<Locked>, CoreError> {
    let lock = table(path)?;
    let mut found = BTreeSet::new();
    for package in packages(path, &lock)? {
        found.extend(locked(path, package)?);
    }
    Ok(found)
}

fn packages<'a>(
    path: &Path,
    lock: &'a Table,
) -> Result<impl Iterator<Item = &'a Table> + use<'a>, CoreError> {
    let packages = lock.get("package").and_then(Value::as_array);
    let packages = packages.ok_or_else(|| broken(path, "there is no package in it"))?;
    Ok(packages.iter().filter_map(Value::as_table))
}

/// None for a crate of the workspace.
fn locked(path: &Path, package: &Table) -> Result<Option<Locked>, CoreError> {
    let [name, version] = ["name", "version"].map(|field| text(package, field).to_owned());
    let Some(source) = package.get("source").and_then(Value::as_str) else {
        return Ok(None);
    };
    let checksum = text(package, "checksum").parse().map_err(|_| {
        let why = "has no checksum: the core is built from packages of a registry alone";
        broken(path, &format!("{name} {version} {why}"))
    })?;
    let source = source.to_owned();
    Ok(Some(Locked {
        name,
        version,
        source,
        checksum,
    }))
}

fn text<'a>(package: &'a Table, field: &str) -> &'a str {
    package
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn broken(path: &Path, message: &str) -> CoreError {
    CoreError::Manifest {
        path: path.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tidelock_host::files;

    use super::*;

    /// A lock file of six packages, with `aa` for checksums of 64 such digits.
    pub(crate) fn lock() -> String {
        let text = r#"
            version = 4
            [[package]]
            name = "tidelock-core"
            version = "0.1.0"
            dependencies = ["used 1.0.0", "tidelock-tls"]
            [[package]]
            name = "tidelock-tls"
            version = "0.1.0"
            dependencies = ["further"]
            [[package]]
            name = "used"
            version = "1.0.0"
            source = "registry"
            checksum = "@aa"
            [[package]]
            name = "used"
            version = "2.0.0"
            source = "registry"
            checksum = "@bb"
            [[package]]
            name = "further"
            version = "3.0.0"
            source = "registry"
            checksum = "@cc"
            dependencies = ["used 1.0.0"]
            [[package]]
            name = "other"
            version = "4.0.0"
            source = "registry"
            checksum = "@dd"
        "#;
        ["aa", "bb", "cc", "dd"]
            .iter()
            .fold(text.to_owned(), |text, digits| {
                text.replace(&format!("@{digits}"), &digits.repeat(32))
            })
    }

    fn closure_of(lock: &str) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("Cargo.lock");
        files::write_atomic(&path, lock.as_bytes()).unwrap();
        let found = closure(&path).map_err(|error| error.to_string())?;
        Ok(found.iter().map(Locked::stem).collect())
    }

    #[test]
    fn the_closure_is_what_the_core_may_need() {
        assert_eq!(
            closure_of(&lock()).unwrap(),
            ["further-3.0.0", "used-1.0.0"]
        );
    }

    #[test]
    fn a_lock_that_cannot_serve_is_refused() {
        let refused = |lock: &str| closure_of(lock).unwrap_err();
        let error = refused("version = 4\npackage = []\n");
        assert!(error.contains("cargo generate-lockfile"), "{error}");
        let error = refused("version = 4\n");
        assert!(error.contains("no package"), "{error}");
        let git = lock().replace(&format!("checksum = {:?}", "cc".repeat(32)), "");
        let error = refused(&git);
        assert!(error.contains("further 3.0.0 has no checksum"), "{error}");
    }
}
