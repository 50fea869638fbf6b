// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A kernel ready to boot: its ELF image and the modules it needs, out of its packages.

pub mod modinfo;
pub mod payload;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Path, PathBuf},
};

use tidelock_host::files::{self, FileError};
use tidelock_model::{KeyBuilder, Release, Sha256};

use modinfo::{OrderError, Wanted};
use payload::PayloadError;

/// Raise it when the same packages give other files.
const VERSION: u32 = 1;

/// Where modules that kernels like to depend on live: taken along in the first pass over a
/// package, so that mostly there is no second one.
const LIKELY: [&str; 5] = [
    "/crypto/",
    "/net/tls/",
    "/drivers/virtio/",
    "/lib/",
    "/drivers/char/virtio",
];

/// A package of the kernel's image, in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Package {
    /// The file.
    pub path: PathBuf,
    /// What identifies it.
    pub sha256: Sha256,
}

/// Unpacks those files of a package that are wanted into a folder: the package, the folder, and
/// whether a path is wanted. `tidelock_archive::deb::extract` is one.
pub trait Unpack<E>: Fn(&Path, &Path, &dyn Fn(&Path) -> bool) -> Result<(), E> {}

impl<E, F: Fn(&Path, &Path, &dyn Fn(&Path) -> bool) -> Result<(), E>> Unpack<E> for F {}

/// A kernel that can be booted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// What `uname -r` will say.
    pub release: Release,
    /// As the distribution ships it.
    pub bzimage: PathBuf,
    /// The ELF kernel taken out of it.
    pub vmlinux: PathBuf,
    /// In the order to load them in, decompressed.
    pub modules: Vec<Module>,
    /// Identifies all of the above.
    pub key: Sha256,
}

/// A loadable module of the kernel's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Module {
    /// As the kernel spells it.
    pub name: String,
    /// The decompressed file.
    pub path: PathBuf,
}

/// A kernel cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// A package cannot be unpacked.
    #[error("{0}")]
    Package(Box<dyn std::error::Error + Send + Sync>),
    /// There is no bzImage where Debian's kernels have it.
    #[error(
        "no vmlinuz of {release}: looked for {}; are the image, binary and modules packages all \
         given?", tried.join(", ")
    )]
    NoImage {
        /// The kernel.
        release: Release,
        /// The paths.
        tried: Vec<String>,
    },
    /// The bzImage cannot be used.
    #[error("{}: {source}", path.display())]
    Payload {
        /// Which.
        path: PathBuf,
        /// Why.
        source: PayloadError,
    },
    /// A module cannot be used.
    #[error("{}: {what}", path.display())]
    Module {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The modules do not suffice.
    #[error("{release}: {source}")]
    Order {
        /// The kernel.
        release: Release,
        /// Why.
        source: OrderError,
    },
}

/// Takes the kernel and the `wanted` modules, with all they depend on, out of `packages`; or
/// finds them in `cache`, where they stay.
///
/// It computes for seconds: call it where that is allowed.
pub fn prepare<E: std::error::Error + Send + Sync + 'static>(
    cache: &Path,
    release: &Release,
    packages: &[Package],
    wanted: &[Wanted],
    unpack: impl Unpack<E>,
) -> Result<Kernel, KernelError> {
    let mut image_key = KeyBuilder::new("kernel-image", VERSION).text("release", release.as_str());
    for package in packages {
        image_key = image_key.digest("package", &package.sha256);
    }
    let image_key = image_key.finish();
    let mut key = KeyBuilder::new("kernel-modules", VERSION).digest("image", &image_key);
    for Wanted { name, need } in wanted {
        key = key.text(&format!("{need:?}"), name);
    }
    let key = key.finish();
    let image_dir = entry(cache, "images", release, &image_key);
    let module_dir = entry(cache, "modules", release, &key);
    if !image_dir.is_dir() || !module_dir.is_dir() {
        let unpack = |package: &Path, dir: &Path, keep: &dyn Fn(&Path) -> bool| {
            unpack(package, dir, keep).map_err(|error| KernelError::Package(error.into()))
        };
        let unpacked = Unpacked::of(release, packages, wanted, &unpack)?;
        if !image_dir.is_dir() {
            files::make_dir_atomic(&image_dir, |dir| unpacked.write_image(dir))?;
        }
        files::make_dir_atomic(&module_dir, |dir| unpacked.write_modules(dir, wanted))?;
    }
    let list = module_dir.join("modules.list");
    let modules = files::read_text(&list)?
        .lines()
        .map(|name| Module {
            name: name.into(),
            path: module_dir.join(format!("{name}.ko")),
        })
        .collect();
    Ok(Kernel {
        release: release.clone(),
        bzimage: image_dir.join("vmlinuz"),
        vmlinux: image_dir.join("vmlinux"),
        modules,
        key,
    })
}

fn entry(cache: &Path, kind: &str, release: &Release, key: &Sha256) -> PathBuf {
    let name = format!("{release}-{}", &key.to_hex()[..16]);
    cache.join("kernels").join(kind).join(name)
}

/// What was taken out of the packages: in a folder that goes when this goes.
struct Unpacked<'a> {
    release: &'a Release,
    dir: tempfile::TempDir,
    /// By module; only those unpacked.
    files: BTreeMap<String, PathBuf>,
    depends: BTreeMap<String, Vec<String>>,
    builtin: BTreeSet<String>,
}

impl<'a> Unpacked<'a> {
    fn of(
        release: &'a Release,
        packages: &[Package],
        wanted: &[Wanted],
        unpack: &dyn Unpack<KernelError>,
    ) -> Result<Self, KernelError> {
        let dir = tempfile::tempdir().map_err(FileError::of("create", &std::env::temp_dir()))?;
        let mut unpacked = Self {
            release,
            dir,
            files: BTreeMap::new(),
            depends: BTreeMap::new(),
            builtin: BTreeSet::new(),
        };
        let mut missing: BTreeSet<String> = wanted.iter().map(|w| w.name.clone()).collect();
        let mut first = true;
        while first || !missing.is_empty() {
            let found = unpacked.pass(packages, unpack, &missing, first)?;
            first = false;
            if found == 0 {
                break;
            }
            missing = unpacked
                .depends
                .values()
                .flatten()
                .filter(|name| !unpacked.files.contains_key(*name))
                .filter(|name| !unpacked.builtin.contains(*name))
                .cloned()
                .collect();
        }
        Ok(unpacked)
    }

    /// Unpacks the modules named, and at first what every kernel needs; returns how many
    /// modules came.
    fn pass(
        &mut self,
        packages: &[Package],
        unpack: &dyn Unpack<KernelError>,
        names: &BTreeSet<String>,
        first: bool,
    ) -> Result<usize, KernelError> {
        let new = RefCell::new(BTreeMap::new());
        let keep = |path: &Path| {
            let text = path.to_string_lossy();
            if let Some(name) = modinfo::name_of(&text) {
                let likely = first && LIKELY.iter().any(|part| text.contains(part));
                let keep = names.contains(&name) || likely;
                if keep {
                    new.borrow_mut().insert(name, path.to_owned());
                }
                return keep;
            }
            first && (text.contains("vmlinuz") || text.ends_with("/modules.builtin"))
        };
        for package in packages {
            unpack(&package.path, self.dir.path(), &keep)?;
        }
        let new = new.into_inner();
        let count = new.len();
        for (name, path) in new {
            let path = self.dir.path().join(path);
            let bytes = read_module(&path)?;
            let needs = modinfo::depends(&bytes).ok_or_else(|| KernelError::Module {
                path: path.clone(),
                what: "not a kernel module: no .modinfo section with a depends entry".into(),
            })?;
            self.depends.insert(name.clone(), needs);
            self.files.insert(name, path);
        }
        if first {
            let text = self
                .find(&["modules.builtin"])
                .map(|path| files::read_text(&path));
            self.builtin = modinfo::builtin(&text.transpose()?.unwrap_or_default());
        }
        Ok(count)
    }

    /// The first of `names` that is in one of the kernel's folders.
    fn find(&self, names: &[&str]) -> Option<PathBuf> {
        self.candidates(names)
            .into_iter()
            .find(|path| path.is_file())
    }

    fn candidates(&self, names: &[&str]) -> Vec<PathBuf> {
        let release = &self.release;
        let dirs = [
            "boot".to_owned(),
            format!("usr/lib/modules/{release}"),
            format!("lib/modules/{release}"),
        ];
        let root = self.dir.path();
        dirs.iter()
            .flat_map(|dir| names.iter().map(move |name| root.join(dir).join(name)))
            .collect()
    }

    fn write_image(&self, dir: &Path) -> Result<(), KernelError> {
        let versioned = format!("vmlinuz-{}", self.release);
        let names = [versioned.as_str(), "vmlinuz"];
        let path = self.find(&names).ok_or_else(|| KernelError::NoImage {
            release: self.release.clone(),
            tried: self
                .candidates(&names)
                .iter()
                .filter_map(|path| path.strip_prefix(self.dir.path()).ok())
                .map(|path| path.display().to_string())
                .collect(),
        })?;
        let image = files::read(&path)?;
        let elf = payload::elf(&image).map_err(|source| KernelError::Payload { path, source })?;
        files::write_atomic(&dir.join("vmlinux"), &elf)?;
        Ok(files::write_atomic(&dir.join("vmlinuz"), &image)?)
    }

    fn write_modules(&self, dir: &Path, wanted: &[Wanted]) -> Result<(), KernelError> {
        let order = modinfo::order(wanted, &self.depends, &self.builtin).map_err(|source| {
            KernelError::Order {
                release: self.release.clone(),
                source,
            }
        })?;
        for name in &order {
            let bytes = read_module(&self.files[name])?;
            files::write_atomic(&dir.join(format!("{name}.ko")), &bytes)?;
        }
        let list: String = order.iter().map(|name| format!("{name}\n")).collect();
        Ok(files::write_atomic(
            &dir.join("modules.list"),
            list.as_bytes(),
        )?)
    }
}

/// The module's ELF file, whatever it is compressed with.
fn read_module(path: &Path) -> Result<Vec<u8>, KernelError> {
    let bytes = files::read(path)?;
    let mut out = Vec::new();
    let result = match path.extension().and_then(std::ffi::OsStr::to_str) {
        Some("xz") => liblzma::read::XzDecoder::new(&bytes[..]).read_to_end(&mut out),
        Some("gz") => flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut out),
        Some("zst") => zstd::stream::read::Decoder::new(&bytes[..])
            .and_then(|mut decoder| decoder.read_to_end(&mut out)),
        _ => return Ok(bytes),
    };
    result.map_err(|error| KernelError::Module {
        path: path.into(),
        what: error.to_string(),
    })?;
    Ok(out)
}
