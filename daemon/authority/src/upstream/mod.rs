// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Authorities elsewhere. What they answer is checked as [`Svid::take`] says: a server that is
//! wrong, or is not ours, gives nobody an identity.

mod est;
mod vault;

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::SystemTime,
};

use rustix::fs::OFlags;
use tidelock_https::HttpsError;
use zeroize::Zeroizing;

pub use est::{Est, EstConfig};
pub use vault::{Vault, VaultConfig};

use crate::{AuthorityError, Embedded, Request, Svid, SvidError, Trust, secret};

/// The longest secret in a file, in bytes.
const MAX_SECRET: usize = 4096;

/// An answer that is waited for.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Svid, IssueError>> + Send + 'a>>;

/// Whoever signs SVIDs.
pub trait Issuer: Send + Sync {
    /// Answers a request. Peers will check the answer by `trust`, and so does this.
    ///
    /// `now` is the time of the call: an answer is judged by how long it took since then.
    fn issue<'a>(&'a self, request: &'a Request, trust: &'a Trust, now: SystemTime) -> Answer<'a>;
}

/// There is no SVID.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Our own authority cannot sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file that the upstream is asked with cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file of a token or a password holds none, or is none.
    #[error("{} holds no secret: one line of printable characters without spaces", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
    },
    /// The file of a token or a password is open to everybody.
    #[error("{} can be read by everybody (mode {mode:04o}): chmod o= it, and get a new secret", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It takes too long, all questions together.
    #[error("the upstream has not answered in time")]
    Late,
    /// The upstream cannot be asked, or breaks off.
    #[error("the upstream: {0}")]
    Https(#[from] HttpsError),
    /// It refuses.
    #[error("the upstream answers with status {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says, in one line.
        said: String,
    },
    /// Its answer has another form.
    #[error("the upstream's answer: {reason}")]
    Answer {
        /// What is wrong.
        reason: String,
    },
    /// What it signed is not what was asked for.
    #[error("the upstream's SVID: {0}")]
    Svid(#[from] SvidError),
}

/// The one line of a file, read anew each time: whoever keeps it renews it. Not everybody may
/// read it.
async fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let file = path.to_owned();
    let read = tokio::task::spawn_blocking(move || read_secret(&file)).await;
    read.map_err(|error| IssueError::Answer {
        reason: error.to_string(),
    })?
}

fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let failed = |source| IssueError::File {
        path: path.to_owned(),
        source,
    };
    // Who mounts secrets into a container gives links to them.
    let opened = secret::open(path, OFlags::empty()).map_err(failed)?;
    let opened = opened.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    let path = || path.to_owned();
    let mode = opened.mode();
    if mode & 0o007 != 0 {
        return Err(IssueError::Open { path: path(), mode });
    }
    let text = opened.read(MAX_SECRET).map_err(failed)?;
    let text = text.ok_or_else(|| IssueError::Secret { path: path() })?;
    let line = text.trim_ascii();
    if line.is_empty() || !line.iter().all(u8::is_ascii_graphic) {
        return Err(IssueError::Secret { path: path() });
    }
    Ok(Zeroizing::new(line.to_vec()))
}

/// Whether a name can be a part of an address' path, and stays what it is there.
fn is_name(text: &str) -> bool {
    !["", ".", ".."].contains(&text) && !text.contains('/')
}

/// The disk may be waited for.
impl Issuer for Arc<Embedded> {
    fn issue<'a>(&'a self, request: &'a Request, trust: &'a Trust, now: SystemTime) -> Answer<'a> {
        Box::pin(async move {
            let (authority, asked) = (Self::clone(self), request.clone());
            let signed = tokio::task::spawn_blocking(move || authority.sign(&asked, now)).await;
            let signed = signed.map_err(|error| IssueError::Answer {
                reason: error.to_string(),
            })?;
            Ok(Svid::take(&signed?, request, trust, now)?)
        })
    }
}
