// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An OPA bundle: files by name, from a folder or from a `tar.gz`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

/// The file that says revision and roots.
pub(crate) const MANIFEST: &str = ".manifest";
/// The file that signs the others.
pub(crate) const SIGNATURES: &str = ".signatures.json";

/// The most files of one bundle.
const MAX_FILES: usize = 1024;
/// The most bytes of all files together, unpacked.
const MAX_BYTES: usize = 16 << 20;
/// The longest name, in bytes.
const MAX_NAME: usize = 255;
/// The deepest folder.
const MAX_DEPTH: usize = 16;

/// The files of a bundle, by name: relative, with slashes. Nothing of it is understood yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bundle {
    files: BTreeMap<String, Vec<u8>>,
}

/// Files are no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The archive is damaged.
    #[error("the bundle is no whole tar.gz: {0}")]
    Archive(io::Error),
    /// Something that is neither a file nor a folder.
    #[error("{0} is neither a file nor a folder: a bundle holds nothing else")]
    Kind(String),
    /// A link to a folder, which could lead in circles.
    #[error("{0} is a link to a folder: put the folder itself into the bundle")]
    LinkedFolder(String),
    /// A name that leads out of the bundle, or cannot be a name.
    #[error(
        "{0:?} is no name for a file of a bundle: relative, UTF-8, without . and .., \
         {MAX_NAME} bytes at most"
    )]
    Name(String),
    /// Two files of one name.
    #[error("the bundle holds {0} twice")]
    Twice(String),
    /// Too many files.
    #[error("the bundle holds more than {MAX_FILES} files")]
    TooMany,
    /// Too many bytes.
    #[error("the bundle holds more than {MAX_BYTES} bytes, unpacked")]
    TooLarge,
    /// Too deep.
    #[error("the folders of the bundle are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The archive could not be written.
    #[error("cannot pack the bundle: {0}")]
    Pack(io::Error),
}

impl Bundle {
    /// One of these files.
    pub fn from_files<N: Into<String>, B: Into<Vec<u8>>>(
        files: impl IntoIterator<Item = (N, B)>,
    ) -> Result<Self, BundleError> {
        let mut bundle = Self::default();
        for (name, bytes) in files {
            bundle.add(name.into(), bytes.into())?;
        }
        Ok(bundle)
    }

    /// Reads a folder. Hidden files and folders are left out, but for `.manifest` and
    /// `.signatures.json`; links to files are followed, as Kubernetes mounts a `ConfigMap`.
    pub fn from_dir(dir: &Path) -> Result<Self, BundleError> {
        let mut bundle = Self::default();
        bundle.add_dir(dir, "", 0)?;
        Ok(bundle)
    }

    /// Unpacks a `tar.gz`, as `opa build` makes it.
    pub fn from_tar_gz(bytes: &[u8]) -> Result<Self, BundleError> {
        // What is packed to nothing must not fill the memory: names and padding count too.
        let limit = MAX_BYTES + 2 * 1024 * MAX_FILES;
        let mut unpacked = Vec::new();
        // To the end, for the checksum comes last.
        GzDecoder::new(bytes)
            .take(limit as u64 + 1)
            .read_to_end(&mut unpacked)
            .map_err(BundleError::Archive)?;
        if unpacked.len() > limit {
            return Err(BundleError::TooLarge);
        }
        let mut bundle = Self::default();
        let mut archive = tar::Archive::new(unpacked.as_slice());
        for entry in archive.entries().map_err(BundleError::Archive)? {
            let mut entry = entry.map_err(BundleError::Archive)?;
            let raw = entry.path_bytes();
            let name = String::from_utf8_lossy(&raw).into_owned();
            let kind = entry.header().entry_type();
            if kind.is_dir() || kind.is_pax_global_extensions() {
                continue;
            }
            if !kind.is_file() {
                return Err(BundleError::Kind(name));
            }
            let name = std::str::from_utf8(&raw).map_err(|_| BundleError::Name(name.clone()))?;
            let name = name.strip_prefix("./").unwrap_or(name);
            let name = name.strip_prefix('/').unwrap_or(name).to_owned();
            let size = usize::try_from(entry.size()).map_err(|_| BundleError::TooLarge)?;
            if size > MAX_BYTES {
                return Err(BundleError::TooLarge);
            }
            let mut content = Vec::new();
            entry
                .read_to_end(&mut content)
                .map_err(BundleError::Archive)?;
            if content.len() != size {
                let end = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(BundleError::Archive(end));
            }
            bundle.add(name, content)?;
        }
        Ok(bundle)
    }

    /// Packs it as a `tar.gz`: the same files give the same bytes.
    pub fn to_tar_gz(&self) -> Result<Vec<u8>, BundleError> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
        for (name, bytes) in &self.files {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            archive
                .append_data(&mut header, name, bytes.as_slice())
                .map_err(BundleError::Pack)?;
        }
        let packed = archive.into_inner().map_err(BundleError::Pack)?;
        packed.finish().map_err(BundleError::Pack)
    }

    /// The files, in order of their names.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// One file.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// SHA-256 over names and contents in order of the names, each after its length. The
    /// signatures are left out: the same policy signed anew is the same policy.
    pub fn digest(&self) -> [u8; 32] {
        let mut sha256 = Sha256::new();
        sha256.update(b"tidelock policy bundle 1\0");
        for (name, bytes) in self.files().filter(|(name, _)| *name != SIGNATURES) {
            for part in [name.as_bytes(), bytes] {
                sha256.update((part.len() as u64).to_be_bytes());
                sha256.update(part);
            }
        }
        sha256.finalize().into()
    }

    fn add(&mut self, name: String, bytes: Vec<u8>) -> Result<(), BundleError> {
        let legal = |part: &str| !part.is_empty() && part != "." && part != "..";
        let text = |name: &str| !name.chars().any(|c| c.is_control() || c == '\\');
        if name.len() > MAX_NAME || !name.split('/').all(legal) || !text(&name) {
            return Err(BundleError::Name(name));
        }
        if name.split('/').count() > MAX_DEPTH {
            return Err(BundleError::TooDeep);
        }
        if self.files.len() == MAX_FILES {
            return Err(BundleError::TooMany);
        }
        let held: usize = self.files.values().map(Vec::len).sum();
        if held + bytes.len() > MAX_BYTES {
            return Err(BundleError::TooLarge);
        }
        if self.files.contains_key(&name) {
            return Err(BundleError::Twice(name));
        }
        self.files.insert(name, bytes);
        Ok(())
    }

    fn add_dir(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<(), BundleError> {
        if depth == MAX_DEPTH {
            return Err(BundleError::TooDeep);
        }
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| BundleError::Read { path, source }
        };
        for entry in fs::read_dir(dir).map_err(fail(dir))? {
            let path = entry.map_err(fail(dir))?.path();
            let file_name = path.file_name().unwrap_or_default();
            let Some(name) = file_name.to_str() else {
                return Err(BundleError::Name(file_name.to_string_lossy().into_owned()));
            };
            if name.starts_with('.') && ![MANIFEST, SIGNATURES].contains(&name) {
                continue;
            }
            let name = format!("{prefix}{name}");
            let linked = fs::symlink_metadata(&path)
                .map_err(fail(&path))?
                .is_symlink();
            let kind = fs::metadata(&path).map_err(fail(&path))?;
            if kind.is_dir() && linked {
                return Err(BundleError::LinkedFolder(name));
            } else if kind.is_dir() {
                self.add_dir(&path, &format!("{name}/"), depth + 1)?;
            } else if kind.is_file() {
                if kind.len() > MAX_BYTES as u64 {
                    return Err(BundleError::TooLarge);
                }
                self.add(name, fs::read(&path).map_err(fail(&path))?)?;
            } else {
                return Err(BundleError::Kind(name));
            }
        }
        Ok(())
    }
}
