// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Authorities elsewhere. What they answer is checked as [`Svid::take`] says: a server that is
//! wrong, or is not ours, gives nobody an identity.

mod vault;

use std::{future::Future, io, path::PathBuf, pin::Pin, time::SystemTime};

use rustls_pki_types::CertificateDer;
use tidelock_https::HttpsError;

pub use vault::{Vault, VaultConfig};

use crate::{AuthorityError, Embedded, Request, Svid, SvidError};

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
    /// The file of the token holds none.
    #[error("{} holds no token: one line of printable characters", path.display())]
    Token {
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
