// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the core is made of, for the content key.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    CoreError, locked, overlay,
    rust_src::{Identity, PARTS, RustSrc},
    workspace::Workspace,
};

/// The digest of the core's own workspace and of the locked packages it may use.
pub(crate) fn source_digest(workspace: &Path) -> Result<Sha256, CoreError> {
    let mut key = KeyBuilder::new("core-sources", 2);
    for (name, bytes) in Workspace::read(workspace)?.files {
        key = key.bytes(&name, &bytes);
    }
    for package in locked::closure(&workspace.join("Cargo.lock"))? {
        key = key.text("locked", &package.line());
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

/// All of a folder: names and contents, in order.
fn tree_digest(root: &Path) -> Result<Sha256, FileError> {
    let mut key = KeyBuilder::new("tree", 1);
    let mut open = vec![root.to_owned()];
    let mut found: Vec<PathBuf> = Vec::new();
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(&dir).map_err(FileError::of("list", &dir))?;
        for entry in entries {
            let path = entry.map_err(FileError::of("list", &dir))?.path();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{locked::tests::lock, workspace::tests::workspace};

    #[test]
    fn the_digest_changes_with_what_matters_and_with_nothing_else() {
        let dir = workspace(&lock());
        let before = source_digest(dir.path()).unwrap();
        let after = |name: &str, from: &str, to: &str| {
            let path = dir.path().join(name);
            let text = files::read_text(&path).unwrap();
            assert!(text.contains(from), "{name}: {from}");
            files::write_atomic(&path, text.replace(from, to).as_bytes()).unwrap();
            let digest = source_digest(dir.path()).unwrap();
            files::write_atomic(&path, text.as_bytes()).unwrap();
            digest
        };
        assert_eq!(before, source_digest(dir.path()).unwrap());
        assert_eq!(before, after("Cargo.lock", "dddd", "eeee"));
        assert_eq!(
            before,
            after("Cargo.toml", "other = \"4\"", "other = \"5\"")
        );
        assert_ne!(before, after("Cargo.lock", "aaaa", "eeee"));
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
