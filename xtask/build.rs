// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the digest of the stages' own code into the factory, as part of every content key:
//! what a changed factory would find anew is not taken from the cache of the old one.

use std::{env, error::Error, fs, path::Path};

use sha2::{Digest as _, Sha256};

/// The folders whose code decides what a stage produces. The command line and the reports are
/// not among them: they change how a verdict is shown, not what it is.
const STAGES: &[&str] = &[
    "archive/src",
    "core/src",
    "host/src",
    "kbuild/src",
    "matrix/src",
    "model/src",
    "src/run",
    "vm/src",
];
/// The libraries these use, by version.
const LOCK: &str = "../Cargo.lock";

fn main() -> Result<(), Box<dyn Error>> {
    let root = env::var("CARGO_MANIFEST_DIR")?;
    let mut hash = Sha256::new();
    for stage in STAGES {
        let dir = Path::new(&root).join(stage);
        println!("cargo::rerun-if-changed={}", dir.display());
        add(&mut hash, &dir, stage)?;
    }
    let lock = Path::new(&root).join(LOCK);
    println!("cargo::rerun-if-changed={}", lock.display());
    hash.update(fs::read(lock)?);
    println!(
        "cargo::rustc-env=TIDELOCK_STAGE_CODE={}",
        hex::encode(hash.finalize())
    );
    Ok(())
}

/// Adds every file below `dir`, in the order of names, each with its path below the crate.
fn add(hash: &mut Sha256, dir: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let mut entries = fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add(hash, &entry.path(), &name)?;
        } else {
            let text = fs::read(entry.path())?;
            for part in [name.as_bytes(), &text] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
    }
    Ok(())
}
