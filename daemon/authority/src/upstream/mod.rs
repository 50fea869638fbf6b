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
    time::SystemTime,
};

use rustls_pki_types::CertificateDer;
use tidelock_https::HttpsError;
use zeroize::Zeroizing;

pub use est::{Est, EstConfig};
pub use vault::{Vault, VaultConfig};

use crate::{AuthorityError, Embedded, Request, Svid, SvidError};

/// The longest secret in a file, in bytes.
const MAX_SECRET: usize = 4096;
/// How much of a refusal is told, in characters.
const MAX_SAID: usize = 300;

/// An answer that is waited for.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<Svid, IssueError>> + Send + 'a>>;

/// Whoever signs SVIDs.
pub trait Issuer: Send + Sync {
    /// Answers a request; `authorities` are those of the trust domain, by which peers will check
    /// the answer.
    fn issue<'a>(
        &'a self,
        request: &'a Request,
        authorities: &'a [CertificateDer<'static>],
        now: SystemTime,
    ) -> Answer<'a>;
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
    /// The file of a token or a password holds none.
    #[error("{} holds no secret: one line of printable characters without spaces", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
    },
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

impl IssueError {
    /// A refusal in the upstream's own words, as far as they are fit for a log.
    fn refused(status: u16, said: &str) -> Self {
        let said: String = said
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_SAID)
            .collect();
        Self::Refused { status, said }
    }
}

/// The one line of a file, read anew each time: whoever keeps it renews it.
async fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, IssueError> {
    let text = tokio::fs::read(path).await;
    let text = Zeroizing::new(text.map_err(|source| IssueError::File {
        path: path.to_owned(),
        source,
    })?);
    let line = text.trim_ascii();
    if line.is_empty() || line.len() > MAX_SECRET || !line.iter().all(u8::is_ascii_graphic) {
        let path = path.to_owned();
        return Err(IssueError::Secret { path });
    }
    Ok(Zeroizing::new(line.to_vec()))
}

impl Issuer for Embedded {
    fn issue<'a>(
        &'a self,
        request: &'a Request,
        authorities: &'a [CertificateDer<'static>],
        now: SystemTime,
    ) -> Answer<'a> {
        Box::pin(async move {
            let chain = self.sign(request, now)?;
            Ok(Svid::take(chain, request, authorities, now)?)
        })
    }
}
