// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the core is made of, for the content key.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use tidelock_model::{KeyBuilder, Sha256};
use toml::{Table, Value};

use crate::{
    CoreError, overlay,
    rust_src::{Identity, PARTS, RustSrc},
};

/// Folders and files of the workspace that the core is compiled from, besides the part of
/// `Cargo.lock` that it needs.
pub const SOURCES: [&str; 5] = [
    "Cargo.toml",
    "kmod/core",
    "kmod/tls",
    "kmod/wire",
    "rust-toolchain.toml",
];

/// The package that the static library is built from.
const PACKAGE: &str = "tidelock-core";

/// The digest of the core's own sources, of the settings in the workspace's manifest that
/// bear on it, and of the locked crates it uses.
///
/// # Errors
/// When a file cannot be read.
pub fn source_digest(workspace: &Path) -> Result<Sha256, CoreError> {
    let mut key = KeyBuilder::new("core-sources", 1);
    for source in SOURCES {
        let path = workspace.join(source);
        if source == "Cargo.toml" {
            let settings = relevant_settings(&table(&path)?);
            key = key.text(source, &settings);
        } else if path.is_dir() {
            key = key.digest(source, &tree_digest(&path)?);
        } else {
            key = key.bytes(source, &files::read(&path)?);
        }
    }
    for package in locked_packages(workspace)? {
        key = key.text("locked", &package);
    }
    Ok(key.finish())
}

/// What tells Rust's library source, and our view of it, from another.
pub(crate) fn rust_src_digest(source: &RustSrc) -> Result<Sha256, CoreError> {
    let mut key = KeyBuilder::new("rust-src", 1);
    for (name, text) in overlay::FILES {
        key = key.text(name, text);
    }
    key = match source.identity() {
        Identity::Package(digest) => key.digest("package", digest),
        Identity::Compiler => key.text("component", "of the compiler"),
        Identity::Content => {
            for part in PARTS {
                key = key.digest(part, &tree_digest(&source.library().join(part))?);
            }
            key
        }
    };
    Ok(key.finish())
}

/// All of a folder: names and contents, in order. Tests are left out, for no test's change
/// changes the object.
fn tree_digest(root: &Path) -> Result<Sha256, FileError> {
    let mut key = KeyBuilder::new("tree", 1);
    let mut open = vec![root.to_owned()];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).map_err(FileError::of("list", &dir))?;
        for entry in entries {
            let path = entry.map_err(FileError::of("list", &dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == "tests" || name == "tests.rs" || name == "proptest-regressions" {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    for path in found {
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
        key = key.bytes(&name, &files::read(&path)?);
    }
    Ok(key.finish())
}

fn table(path: &Path) -> Result<Table, CoreError> {
    files::read_text(path)?
        .parse()
        .map_err(|error: toml::de::Error| CoreError::Manifest {
            path: path.to_owned(),
            message: error.to_string(),
        })
}

/// Of the workspace's manifest: what the crates inherit and the profile. Other crates'
/// dependencies stand there too and do not matter: which versions are used, the lock says.
fn relevant_settings(manifest: &Table) -> String {
    let get = |path: &[&str]| {
        path.iter()
            .try_fold(manifest, |table, name| table.get(*name)?.as_table())
    };
    let shown = |path: &[&str]| format!("{path:?} {:?}\n", get(path));
    let dependencies = get(&["workspace", "dependencies"]);
    let ours: Vec<_> = ["bitflags", "tidelock-tls", "tidelock-wire"]
        .iter()
        .map(|name| dependencies.and_then(|table| table.get(*name)))
        .collect();
    [
        shown(&["workspace", "package"]),
        shown(&["profile", "release"]),
        shown(&["profile", "kernel"]),
        format!("{ours:?}"),
    ]
    .concat()
}

/// One line for each locked package that [`PACKAGE`] is built from, with its checksum.
fn locked_packages(workspace: &Path) -> Result<Vec<String>, CoreError> {
    let path = workspace.join("Cargo.lock");
    let lock = table(&path)?;
    let broken = |message: &str| CoreError::Manifest {
        path: path.clone(),
        message: message.into(),
    };
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .ok_or_else(|| broken("there is no package in it"))?;
    let by_name = Packages::new(packages.iter().filter_map(Value::as_table));
    let development = development_only(workspace)?;
    let closure = by_name.closure(PACKAGE, &development);
    if closure.len() < 2 {
        return Err(broken(
            "tidelock-core is not in it: run `cargo generate-lockfile`",
        ));
    }
    Ok(closure)
}

/// Names of crates that our own three crates use in tests alone.
fn development_only(workspace: &Path) -> Result<BTreeSet<String>, CoreError> {
    let (mut used, mut development) = (BTreeSet::new(), BTreeSet::new());
    for dir in ["kmod/core", "kmod/tls", "kmod/wire"] {
        let manifest = table(&workspace.join(dir).join("Cargo.toml"))?;
        let names = |section: &str| {
            let table = manifest.get(section).and_then(Value::as_table);
            table.into_iter().flat_map(Table::keys).cloned()
        };
        used.extend(names("dependencies"));
        development.extend(names("dev-dependencies"));
    }
    Ok(development.difference(&used).cloned().collect())
}

/// The packages of a lock file.
struct Packages<'a>(BTreeMap<&'a str, Vec<&'a Table>>);

impl<'a> Packages<'a> {
    fn new(packages: impl Iterator<Item = &'a Table>) -> Self {
        let mut by_name: BTreeMap<&str, Vec<&Table>> = BTreeMap::new();
        for package in packages {
            if let Some(name) = text(package, "name") {
                by_name.entry(name).or_default().push(package);
            }
        }
        Self(by_name)
    }

    /// The package `name`, or `name version` where the lock has several of a name.
    fn find(&self, reference: &str) -> Option<&'a Table> {
        let mut words = reference.split(' ');
        let candidates = self.0.get(words.next()?)?;
        let version = words.next();
        candidates
            .iter()
            .copied()
            .find(|package| version.is_none_or(|version| text(package, "version") == Some(version)))
    }

    fn closure(&self, root: &'a str, without: &BTreeSet<String>) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut open = vec![root];
        while let Some(reference) = open.pop() {
            let Some(package) = self.find(reference) else {
                continue;
            };
            let field = |name| text(package, name).unwrap_or_default();
            let line = ["name", "version", "source", "checksum"]
                .map(field)
                .join(" ");
            if !seen.insert(line) {
                continue;
            }
            let ours = !package.contains_key("source");
            let dependencies = package.get("dependencies").and_then(Value::as_array);
            let dependencies = dependencies.into_iter().flatten().filter_map(Value::as_str);
            open.extend(dependencies.filter(|reference| {
                let name = reference.split(' ').next().unwrap_or_default();
                !(ours && without.contains(name))
            }));
        }
        seen.into_iter().collect()
    }
}

fn text<'a>(table: &'a Table, name: &str) -> Option<&'a str> {
    table.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"
        version = 4
        [[package]]
        name = "tidelock-core"
        version = "0.1.0"
        dependencies = ["used 1.0.0", "tested"]
        [[package]]
        name = "used"
        version = "1.0.0"
        source = "registry"
        checksum = "aa"
        dependencies = ["tested"]
        [[package]]
        name = "used"
        version = "2.0.0"
        source = "registry"
        checksum = "bb"
        [[package]]
        name = "tested"
        version = "3.0.0"
        source = "registry"
        checksum = "cc"
        [[package]]
        name = "other"
        version = "4.0.0"
        source = "registry"
        checksum = "dd"
    "#;

    fn workspace(lock: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            files::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace.dependencies]\nbitflags = \"2\"\nother = \"4\"\n[profile.kernel]\nlto = true\n",
        );
        write("Cargo.lock", lock);
        write("rust-toolchain.toml", "[toolchain]");
        for name in ["core", "tls", "wire"] {
            write(
                &format!("kmod/{name}/Cargo.toml"),
                "[dev-dependencies]\ntested = \"3\"\n",
            );
            write(&format!("kmod/{name}/src/lib.rs"), "");
            write(&format!("kmod/{name}/src/tests.rs"), "");
        }
        dir
    }

    #[test]
    fn the_locked_packages_are_those_that_are_used() {
        let dir = workspace(LOCK);
        // `tested` is used by `used` as well, so it counts.
        assert_eq!(
            locked_packages(dir.path()).unwrap(),
            [
                "tested 3.0.0 registry cc",
                "tidelock-core 0.1.0  ",
                "used 1.0.0 registry aa",
            ]
        );
        let alone = LOCK.replace("dependencies = [\"tested\"]", "");
        let dir = workspace(&alone);
        assert_eq!(locked_packages(dir.path()).unwrap().len(), 2);
        let dir = workspace("version = 4\npackage = []\n");
        let error = locked_packages(dir.path()).unwrap_err().to_string();
        assert!(error.contains("cargo generate-lockfile"), "{error}");
    }

    #[test]
    fn the_digest_changes_with_what_matters_and_with_nothing_else() {
        let dir = workspace(LOCK);
        let before = source_digest(dir.path()).unwrap();
        let after = |name: &str, from: &str, to: &str| {
            let path = dir.path().join(name);
            let text = files::read_text(&path).unwrap();
            files::write_atomic(&path, text.replace(from, to).as_bytes()).unwrap();
            let digest = source_digest(dir.path()).unwrap();
            files::write_atomic(&path, text.as_bytes()).unwrap();
            digest
        };
        assert_eq!(before, source_digest(dir.path()).unwrap());
        assert_eq!(before, after("Cargo.lock", "\"dd\"", "\"ee\""));
        assert_eq!(
            before,
            after("Cargo.toml", "other = \"4\"", "other = \"5\"")
        );
        assert_ne!(before, after("Cargo.lock", "\"aa\"", "\"ee\""));
        assert_ne!(before, after("Cargo.toml", "lto = true", "lto = false"));
        assert_ne!(
            before,
            after("Cargo.toml", "bitflags = \"2\"", "bitflags = \"3\"")
        );
        let write = |name: &str| {
            files::write_atomic(&dir.path().join(name), b"// changed\n").unwrap();
            source_digest(dir.path()).unwrap()
        };
        assert_eq!(before, write("kmod/tls/src/tests.rs"));
        assert_eq!(before, write("kmod/tls/src/tests/more.rs"));
        assert_ne!(before, write("kmod/tls/src/lib.rs"));
    }
}
