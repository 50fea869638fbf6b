// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From sources to an inspected object in the cache. The only part that does things.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use tidelock_host::{
    files::{self, FileError},
    process,
};
use tidelock_model::{KeyBuilder, Sha256};

use crate::{
    CoreArtifact, CoreError, CoreRecord, Freshness, RustSrc, Toolchain, Variant, crates, inspect,
    locked::{self, Locked},
    overlay,
    recipe::{self, Network, Places},
    sources,
    workspace::Workspace,
};

/// What to build, from what, and where to keep it.
#[derive(Clone, Debug)]
pub struct CoreRequest {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// Which core.
    pub variant: Variant,
    /// The compiler.
    pub toolchain: Toolchain,
    /// The source of Rust's libraries.
    pub rust_src: RustSrc,
    /// Whether cargo may fetch crates that its cache lacks.
    pub network: Network,
    /// The folder that holds built cores, such as `core` in the project's cache.
    pub cache: PathBuf,
}

impl CoreRequest {
    /// The content key: the same key, the same object.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub fn key(&self) -> Result<Sha256, CoreError> {
        Ok(KeyBuilder::new("core", recipe::VERSION)
            .text("recipe", &recipe::fingerprint(self.variant))
            .text("compiler", &self.toolchain.version)
            .text("compiler commit", &self.toolchain.commit)
            .text("host", &self.toolchain.host)
            .digest("rust-src", &sources::rust_src_digest(&self.rust_src)?)
            .digest("sources", &sources::source_digest(&self.workspace)?)
            .finish())
    }
}

const OBJECT: &str = "core.o";
const RECORD: &str = "record.json";

/// The core, from the cache or newly built.
///
/// # Errors
/// When it cannot be built, or breaks a rule of kernel code.
pub fn build(request: &CoreRequest) -> Result<CoreArtifact, CoreError> {
    let key = request.key()?;
    let place = request.cache.join(key.to_hex());
    if let Some(artifact) = cached(&place, &key) {
        return Ok(artifact);
    }
    if place.exists() {
        // Damaged: its object is not the one its record speaks of.
        fs::remove_dir_all(&place).map_err(FileError::of("remove", &place))?;
    }
    files::make_dir_atomic(&place, |folder| make(request, key, folder))?;
    // What is there now may be somebody else's, made meanwhile from the same inputs.
    cached(&place, &key)
        .map(|artifact| CoreArtifact {
            freshness: Freshness::Built,
            ..artifact
        })
        .ok_or_else(|| CoreError::Manifest {
            path: place.join(RECORD),
            message: "the record does not fit the object: remove the folder".into(),
        })
}

/// What lies in `place`, when it is whole.
fn cached(place: &Path, key: &Sha256) -> Option<CoreArtifact> {
    let record: CoreRecord =
        serde_json::from_slice(&files::read(&place.join(RECORD)).ok()?).ok()?;
    let object = place.join(OBJECT);
    let whole = record.key == *key && record.sha256 == Sha256::of(&files::read(&object).ok()?);
    whole.then_some(CoreArtifact {
        object,
        record,
        freshness: Freshness::Cached,
    })
}

fn make(request: &CoreRequest, key: Sha256, folder: &Path) -> Result<(), CoreError> {
    let start = Instant::now();
    let work = request.workspace.join("target/core");
    files::make_dir(&work)?;
    // A folder of its own for each build, gone afterwards: cargo tells by time what is fresh, our
    // key by content, and an older file of a newer package must not pass for the one built last.
    let target = tempfile::Builder::new()
        .prefix(request.variant.as_str())
        .tempdir_in(&work)
        .map_err(FileError::of("create a folder in", &work))?;
    let archive = compile(request, target.path())?;
    let object = folder.join(OBJECT);
    let work = archive.parent().unwrap_or(folder);
    link(&request.toolchain, &archive, work, &object)?;
    let bytes = files::read(&object)?;
    let inspection = inspect::inspect(&bytes)?;
    let record = CoreRecord {
        key,
        sha256: Sha256::of(&bytes),
        bytes: bytes.len() as u64,
        variant: request.variant,
        rust_version: request.toolchain.version.clone(),
        rust_src: request.rust_src.origin().clone(),
        duration_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        inspection,
    };
    let json = serde_json::to_vec_pretty(&record).map_err(|error| CoreError::Manifest {
        path: folder.join(RECORD),
        message: error.to_string(),
    })?;
    files::write_atomic(&folder.join(RECORD), &json)?;
    Ok(())
}

/// Runs cargo in `work`, an empty folder; the static library.
fn compile(request: &CoreRequest, work: &Path) -> Result<PathBuf, CoreError> {
    let places = Places {
        workspace: work.join("workspace"),
        sysroot: request.toolchain.sysroot.clone(),
        overlay: work.join("rust"),
        library: request.rust_src.library().to_owned(),
        crates: work.join("crates"),
        config: work.join("config.toml"),
        target_dir: work.join("target"),
    };
    Workspace::read(&request.workspace)?.write(&places.workspace)?;
    let packages = packages(request, &places.workspace)?;
    crates::unpack(&packages, &crates::caches(&cargo_home())?, &places.crates)?;
    files::write_atomic(&places.config, crates::CONFIG.as_bytes())?;
    overlay::write(&places.overlay)?;
    files::make_dir(&places.target_dir)?;
    let mut sandbox = process::command("bwrap");
    sandbox
        .args(recipe::sandbox(&places))
        .args(recipe::cargo(request.variant));
    process::run(sandbox, Some(work))?;
    Ok(places
        .target_dir
        .join(recipe::TARGET)
        .join(recipe::PROFILE)
        .join("libtidelock_core.a"))
}

/// Lets cargo reduce our lock file to the packages of the core's own workspace and bring them.
///
/// It does so with the user's settings, which name the registry to ask, but may also patch a
/// package: what our lock file does not have is refused.
fn packages(request: &CoreRequest, reduced: &Path) -> Result<BTreeSet<Locked>, CoreError> {
    let (ours, theirs) = (
        request.workspace.join("Cargo.lock"),
        reduced.join("Cargo.lock"),
    );
    files::write_atomic(&theirs, &files::read(&ours)?)?;
    let mut fetch = process::command("cargo");
    fetch.args(recipe::fetch(request.network));
    process::run(fetch, Some(reduced))?;
    let allowed = locked::closure(&ours)?;
    let packages = locked::all(&theirs)?;
    match packages.difference(&allowed).next() {
        None => Ok(packages),
        Some(package) => Err(CoreError::Unlocked {
            package: package.stem(),
            lock: ours,
        }),
    }
}

/// Where cargo keeps crates.
fn cargo_home() -> PathBuf {
    let var = |name| std::env::var_os(name).map(PathBuf::from);
    var("CARGO_HOME")
        .or_else(|| Some(var("HOME")?.join(".cargo")))
        .unwrap_or_default()
}

/// Makes one object of the library, in which only the exports have names that others see.
fn link(
    toolchain: &Toolchain,
    archive: &Path,
    work: &Path,
    object: &Path,
) -> Result<(), CoreError> {
    let (script, linked) = (work.join("core.ld"), work.join("linked.o"));
    files::write_atomic(&script, recipe::LINKER_SCRIPT.as_bytes())?;
    let run = |name: &str, arguments: Vec<String>| -> Result<(), CoreError> {
        let mut tool: Command = process::command(toolchain.tool(name)?);
        tool.args(arguments)
            .env("LD_LIBRARY_PATH", recipe::library_path(toolchain));
        process::run(tool, Some(work))?;
        Ok(())
    };
    run("rust-lld", recipe::link(archive, &script, &linked))?;
    run("rust-objcopy", recipe::objcopy(&linked, object))
}
