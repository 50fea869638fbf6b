// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Binary packages (deb(5)): an `ar` archive of two tar archives.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use tidelock_host::files::FileError;

use crate::{
    deb822::{self, Deb822Error},
    unpack::Root,
};

/// A package could not be read or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum DebError {
    /// The package's file or the folder to unpack into cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not a package, or is damaged.
    #[error("{} is not a usable Debian package: {what}", deb.display())]
    Malformed {
        /// The package's file.
        deb: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// One of its entries leads outside of the folder it is unpacked into.
    #[error("{}: the entry {entry:?} leads outside of the package", deb.display())]
    Escapes {
        /// The package's file.
        deb: PathBuf,
        /// The entry's path or the target of its link.
        entry: String,
    },
    /// One of its entries cannot be made.
    #[error("{}: cannot unpack {}: {source}", deb.display(), entry.display())]
    Entry {
        /// The package's file.
        deb: PathBuf,
        /// The entry's path in the package.
        entry: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DebError {
    /// The stable name of the verdict.
    pub const fn verdict(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-package",
            Self::Escapes { .. } => "escaping-package",
            Self::File(_) | Self::Entry { .. } => "file-error",
        }
    }
}

/// Unpacks the files of `deb` for which `keep` holds into the existing folder `dest`.
///
/// `keep` is asked with paths such as `usr/bin/gcc-10`, for folders too; the parents of what is
/// kept are made in any case. Modes and times of modification are kept, owners are not, nor are
/// set-user-ID bits: it works without being root. Entries cannot leave `dest`: a path with `..`
/// or a leading `/` is refused, and symbolic links on the way are followed as if `dest` were the
/// root of the file system. So a package that ships `/bin/x` is unpacked into `usr/bin` where
/// `dest` has the links of [`merge_usr`].
pub fn extract(deb: &Path, dest: &Path, keep: &dyn Fn(&Path) -> bool) -> Result<(), DebError> {
    let mut root = Root::open(dest)?;
    with_member(deb, "data.tar", |reader| {
        let mut archive = tar::Archive::new(reader);
        let damaged = |error: io::Error| malformed(deb, error.to_string());
        for entry in archive.entries().map_err(damaged)? {
            root.add(deb, &mut entry.map_err(damaged)?, keep)?;
        }
        // The compression's own check sum stands at the end, after tar's last block.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(damaged)?;
        Ok(())
    })
}

/// Makes the links of a merged `/usr` (`bin -> usr/bin`, ...) in an empty `dest`, so that
/// packages of before the merge land where their successors do.
pub fn merge_usr(dest: &Path) -> Result<(), DebError> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let target = Path::new("usr").join(name);
        tidelock_host::files::make_dir(&dest.join(&target))?;
        let link = dest.join(name);
        std::os::unix::fs::symlink(&target, &link).map_err(FileError::of("create", &link))?;
    }
    Ok(())
}

/// The fields of the package's control file.
pub fn control(deb: &Path) -> Result<BTreeMap<String, String>, DebError> {
    let text = with_member(deb, "control.tar", |reader| {
        let damaged = |error: io::Error| malformed(deb, error.to_string());
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(damaged)? {
            let mut entry = entry.map_err(damaged)?;
            let path = entry.path().map_err(damaged)?.into_owned();
            if path == Path::new("./control") || path == Path::new("control") {
                let mut text = String::new();
                entry.read_to_string(&mut text).map_err(damaged)?;
                return Ok(text);
            }
        }
        Err(malformed(deb, "it has no control file".into()))
    })?;
    let not_deb822 = |error: Deb822Error| malformed(deb, format!("its control file, {error}"));
    let paragraph = deb822::paragraph(&text).map_err(not_deb822)?;
    Ok(paragraph
        .fields()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// Finds the member whose name starts with `stem` and hands it over decompressed.
fn with_member<R>(
    deb: &Path,
    stem: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<R, DebError>,
) -> Result<R, DebError> {
    let file = fs::File::open(deb).map_err(FileError::of("read", deb))?;
    let mut archive = ar::Archive::new(BufReader::with_capacity(1 << 18, file));
    let mut first = true;
    while let Some(member) = archive.next_entry() {
        let mut member = member.map_err(|error| malformed(deb, error.to_string()))?;
        let name = String::from_utf8_lossy(member.header().identifier())
            .trim_end_matches('/')
            .to_owned();
        if std::mem::take(&mut first) {
            check_format(deb, &name, &mut member)?;
            continue;
        }
        let Some(suffix) = name.strip_prefix(stem) else {
            continue;
        };
        let damaged = |error: io::Error| malformed(deb, error.to_string());
        return match suffix {
            "" => read(&mut member),
            ".gz" => read(&mut flate2::read::MultiGzDecoder::new(member)),
            ".xz" => read(&mut liblzma::read::XzDecoder::new_multi_decoder(member)),
            ".zst" => read(&mut zstd::stream::read::Decoder::new(member).map_err(damaged)?),
            _ => Err(malformed(
                deb,
                format!("the compression of {name} is unknown"),
            )),
        };
    }
    Err(malformed(deb, format!("it has no {stem}")))
}

fn check_format(deb: &Path, name: &str, member: &mut dyn Read) -> Result<(), DebError> {
    let mut text = String::new();
    if name != "debian-binary" || member.take(16).read_to_string(&mut text).is_err() {
        return Err(malformed(
            deb,
            "it does not begin with debian-binary".into(),
        ));
    }
    if text.starts_with("2.") {
        return Ok(());
    }
    Err(malformed(
        deb,
        format!("its format is {:?}, not 2", text.trim()),
    ))
}

pub(crate) fn malformed(deb: &Path, what: String) -> DebError {
    DebError::Malformed {
        deb: deb.into(),
        what,
    }
}
