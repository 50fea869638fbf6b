// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The core's own workspace: of ours, what the core is made of and nothing else.
//!
//! It is copied before it is built, without tests and what only they use. So the build sees what
//! is in its content key, cargo resolves a fifth of the packages, and a change of the sources
//! while they are compiled changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use toml::{Table, Value};

use crate::CoreError;

/// The crates that make the core, as folders of the workspace.
pub(crate) const CRATES: [&str; 4] = ["kmod/core", "kmod/spiffe", "kmod/tls", "kmod/wire"];

/// Of each crate's manifest, what bears on no object.
const UNUSED: [&str; 2] = ["dev-dependencies", "lints"];

/// Manifests and sources, by their names in the workspace, in order.
pub(crate) struct Workspace {
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

impl Workspace {
    /// Reads the core's part of the workspace at `root`.
    pub(crate) fn read(root: &Path) -> Result<Self, CoreError> {
        let mut files = Vec::new();
        let mut members = Vec::new();
        for name in CRATES {
            let mut manifest = table(&root.join(name).join("Cargo.toml"))?;
            for section in UNUSED {
                manifest.remove(section);
            }
            files.push((format!("{name}/Cargo.toml"), text(&manifest).into_bytes()));
            let src = root.join(name).join("src");
            for path in sources(&src)? {
                let below = path.strip_prefix(&src).unwrap_or(&path).to_string_lossy();
                files.push((format!("{name}/src/{below}"), files::read(&path)?));
            }
            members.push(manifest);
        }
        let manifest = reduced(&table(&root.join("Cargo.toml"))?, &members);
        files.push(("Cargo.toml".into(), text(&manifest).into_bytes()));
        files.sort();
        Ok(Self { files })
    }

    /// Writes it into the empty folder `dest`.
    pub(crate) fn write(&self, dest: &Path) -> Result<(), FileError> {
        for (name, bytes) in &self.files {
            files::write_atomic(&dest.join(name), bytes)?;
        }
        Ok(())
    }
}

/// The workspace's manifest with the core's crates alone, what they inherit, and the profile.
fn reduced(root: &Table, members: &[Table]) -> Table {
    let get = |path: &[&str]| {
        let found = path
            .iter()
            .try_fold(root, |table, name| table.get(*name)?.as_table());
        found.cloned().unwrap_or_default()
    };
    let inherited = |name: &str| {
        let dependencies =
            |table: &Table| table.get("dependencies")?.as_table()?.get(name).cloned();
        members
            .iter()
            .filter_map(dependencies)
            .any(|value| value.get("workspace").and_then(Value::as_bool) == Some(true))
    };
    let mut dependencies = get(&["workspace", "dependencies"]);
    dependencies.retain(|name, _| inherited(name));
    let members = CRATES.map(Value::from).to_vec();
    let mut workspace = Table::new();
    workspace.insert("resolver".into(), "3".into());
    workspace.insert("members".into(), members.into());
    workspace.insert("package".into(), get(&["workspace", "package"]).into());
    workspace.insert("dependencies".into(), dependencies.into());
    let mut profiles = get(&["profile"]);
    profiles.retain(|name, _| ["kernel", "release"].contains(&name));
    let mut manifest = Table::new();
    manifest.insert("workspace".into(), workspace.into());
    manifest.insert("profile".into(), profiles.into());
    manifest
}

/// A crate's sources, in order, without tests: no test's change changes the object.
fn sources(root: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut open = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).map_err(FileError::of("list", &dir))?;
        for entry in entries {
            let path = entry.map_err(FileError::of("list", &dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name == "tests" || name == "tests.rs" {
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
    Ok(found)
}

/// Reads a manifest or a lock file.
pub(crate) fn table(path: &Path) -> Result<Table, CoreError> {
    files::read_text(path)?
        .parse()
        .map_err(|error: toml::de::Error| CoreError::Manifest {
            path: path.to_owned(),
            message: error.to_string(),
        })
}

/// A table is always text: keys are strings, and the values came from text.
fn text(table: &Table) -> String {
    table.to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A workspace with the crates, and `lock` for its lock file.
    pub(crate) fn workspace(lock: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            files::write_atomic(&dir.path().join(name), text.as_bytes()).unwrap();
        };
        write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"xtask\"]\n[workspace.package]\nversion = \"1.0.0\"\n\
             [workspace.dependencies]\nbitflags = \"2\"\nother = \"4\"\n\
             [workspace.lints.rust]\nunsafe_code = \"deny\"\n\
             [profile.kernel]\nlto = true\n[profile.dev]\ndebug = true\n",
        );
        write("Cargo.lock", lock);
        for name in CRATES {
            write(
                &format!("{name}/Cargo.toml"),
                "[dependencies]\nbitflags.workspace = true\nown = \"1\"\n\
                 [dev-dependencies]\nother.workspace = true\n[lints]\nworkspace = true\n",
            );
            write(&format!("{name}/src/lib.rs"), "");
            write(&format!("{name}/src/part/mod.rs"), "");
            write(&format!("{name}/src/tests.rs"), "");
            write(&format!("{name}/src/part/tests/more.rs"), "");
        }
        dir
    }

    #[test]
    fn only_what_the_core_is_made_of_is_taken() {
        let dir = workspace("");
        let files = Workspace::read(dir.path()).unwrap().files;
        let shown: Vec<String> = files
            .into_iter()
            .filter(|(name, _)| !name.starts_with("kmod/tls") && !name.starts_with("kmod/spiffe"))
            .map(|(name, bytes)| format!("== {name}\n{}", String::from_utf8(bytes).unwrap()))
            .collect();
        insta::assert_snapshot!(shown.concat());
    }

    #[test]
    fn it_is_written_as_it_was_read() {
        let (from, to) = (workspace(""), tempfile::tempdir().unwrap());
        let read = Workspace::read(from.path()).unwrap();
        read.write(to.path()).unwrap();
        assert_eq!(Workspace::read(to.path()).unwrap().files, read.files);
    }
}
