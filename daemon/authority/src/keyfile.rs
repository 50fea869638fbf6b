// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A private key and its certificate, together in one file, so that no crash parts them.

use std::{
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rcgen::Certificate;
use rustix::fs::{Mode, OFlags};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

use crate::{AuthorityError, key::Key};

/// For its owner alone.
const MODE: u32 = 0o600;
/// The longest that is read, in bytes.
const MAX_FILE: u64 = 16 << 10;

/// What a file holds. The key is wiped when it goes.
pub(crate) struct Held {
    pub(crate) key: Key,
    pub(crate) certificate: CertificateDer<'static>,
}

/// Whether a file that is there may be replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It stays, and the new one is refused.
    Kept,
    /// It goes.
    Replaced,
}

/// Writes both. When this returns they outlive a crash of the machine.
pub(crate) fn write(
    path: &Path,
    key: &Key,
    certificate: &Certificate,
    existing: Existing,
) -> Result<(), AuthorityError> {
    let text = Zeroizing::new(format!("{}{}", &*key.to_pem(), certificate.pem()));
    let written = match existing {
        Existing::Kept => tidelock_durable::create(path, text.as_bytes(), MODE),
        Existing::Replaced => tidelock_durable::write(path, text.as_bytes(), MODE),
    };
    written.map_err(failed("write", path))
}

/// Reads both; none when there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Held>, AuthorityError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(failed("open", path)(errno.into())),
    };
    let metadata = file.metadata().map_err(failed("look at", path))?;
    let damaged = |reason: &str| AuthorityError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    };
    if !metadata.is_file() || metadata.len() > MAX_FILE {
        return Err(damaged("it is no file of ours"));
    }
    check_access(path, &metadata, 0o077)?;
    let mut text = Zeroizing::new(Vec::new());
    file.take(MAX_FILE)
        .read_to_end(&mut text)
        .map_err(failed("read", path))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&text)
        .map_err(|_| damaged("it holds no private key"))?;
    let key = Key::from_pkcs8(&key).map_err(|_| damaged("its private key cannot be read"))?;
    let mut certificates = CertificateDer::pem_slice_iter(&text);
    let (Some(Ok(certificate)), None) = (certificates.next(), certificates.next()) else {
        return Err(damaged("it holds not one certificate"));
    };
    Ok(Some(Held { key, certificate }))
}

/// Refuses what belongs to another user, or what others may do these things with.
pub(crate) fn check_access(
    path: &Path,
    metadata: &Metadata,
    forbidden: u32,
) -> Result<(), AuthorityError> {
    let mode = metadata.mode() & 0o7777;
    if mode & forbidden != 0 {
        let path = path.to_owned();
        return Err(AuthorityError::Open { path, mode });
    }
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(AuthorityError::Owner {
            path: path.to_owned(),
            uid: metadata.uid(),
        });
    }
    Ok(())
}

pub(crate) fn failed(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::File {
        action,
        path,
        source,
    }
}
