// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A private key and its certificate, together in one file, so that no crash parts them.

use std::{fs::Metadata, io, os::unix::fs::MetadataExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::OFlags;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use zeroize::{Zeroize as _, Zeroizing};

use crate::{AuthorityError, key::Key, secret};

/// For its owner alone.
const MODE: u32 = 0o600;
/// The longest that is read or written, in bytes.
const MAX_FILE: usize = 16 << 10;
/// Characters in a line of PEM (RFC 7468, 2).
const LINE: usize = 64;

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

/// What [`write()`] writes.
pub(crate) fn text(held: &Held) -> Zeroizing<String> {
    // It never grows, which would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE));
    push(&mut text, "PRIVATE KEY", held.key.pkcs8());
    push(&mut text, "CERTIFICATE", &held.certificate);
    text
}

fn push(text: &mut String, label: &str, der: &[u8]) {
    let mut base64 = Zeroizing::new(String::with_capacity(der.len().div_ceil(3) * 4));
    STANDARD.encode_string(der, &mut base64);
    for part in ["-----BEGIN ", label, "-----\n"] {
        text.push_str(part);
    }
    push_lines(text, &base64);
    for part in ["-----END ", label, "-----\n"] {
        text.push_str(part);
    }
}

/// Base64 as PEM breaks it, each line ended.
pub(crate) fn push_lines(text: &mut String, base64: &str) {
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
}

/// Writes what [`text`] gave. When this returns it outlives a crash of the machine.
pub(crate) fn write(path: &Path, text: &str, existing: Existing) -> Result<(), AuthorityError> {
    let written = match existing {
        Existing::Kept => tidelock_durable::create(path, text.as_bytes(), MODE),
        Existing::Replaced => tidelock_durable::write(path, text.as_bytes(), MODE),
    };
    written.map_err(failed("write", path))
}

/// Reads both; none when there is no file.
pub(crate) fn read(path: &Path) -> Result<Option<Held>, AuthorityError> {
    let Some(opened) = secret::open(path, OFlags::NOFOLLOW).map_err(failed("open", path))? else {
        return Ok(None);
    };
    let damaged = |reason: &str| AuthorityError::Damaged {
        path: path.to_owned(),
        reason: reason.into(),
    };
    check_access(path, &opened.metadata, 0o077)?;
    let text = opened
        .read(MAX_FILE)
        .map_err(failed("read", path))?
        .ok_or_else(|| damaged("it is no file of ours"))?;
    let mut der = PrivatePkcs8KeyDer::from_pem_slice(&text)
        .map_err(|_| damaged("it holds no private key"))?;
    let key = Key::from_pkcs8(&der);
    der.zeroize();
    let key = key.map_err(|_| damaged("its private key cannot be read"))?;
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
