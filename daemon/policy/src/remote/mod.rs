// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bundle from a server: asked for again and again, taken when it has changed and is good.
//!
//! Whatever fails leaves the policy that is active where it is, in memory and on disk.

mod error;
mod signature;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tidelock_https::{
    Asking, HttpsError, Redirects,
    reqwest::{
        Client, StatusCode, Url,
        header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH},
    },
};

pub use error::RemoteError;
pub use signature::{Algorithm, SignatureError, Verifier};

use crate::Bundle;

/// The most bytes of a packed bundle.
const MAX_PACKED: usize = 16 << 20;
/// The longest `ETag` that is kept, in bytes.
const MAX_ETAG: usize = 1024;

/// Where a bundle is and how it is trusted.
#[derive(Clone, Debug)]
pub struct RemoteConfig {
    /// The `https` address of the `tar.gz`.
    pub url: String,
    /// How long an answer may take, from the first byte sent to the last one read.
    pub timeout: Duration,
    /// The authorities that may vouch for the server, in PEM. None: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The key that must have signed the bundle. None: the connection is trusted alone, and a
    /// bundle that is signed is refused, for somebody thinks that this is checked.
    pub verifier: Option<Verifier>,
}

/// A bundle and what the server calls this state of it.
struct Fetched {
    bundle: Bundle,
    etag: Option<HeaderValue>,
}

/// Asks one server for one bundle.
pub struct Remote {
    client: Client,
    url: Url,
    verifier: Option<Verifier>,
    /// Of the bundle that was taken last. One that was refused is asked for again, and
    /// refused again, loudly, until the server has a better one.
    etag: Option<HeaderValue>,
}

impl Remote {
    /// Checks the configuration; asks nobody yet.
    pub fn new(config: RemoteConfig) -> Result<Self, RemoteError> {
        let url = tidelock_https::parse(&config.url)?;
        let client = tidelock_https::client(&Asking {
            authorities: config.authorities.as_deref(),
            identity: None,
            timeout: config.timeout,
            redirects: Redirects::Followed,
        })?;
        Ok(Self {
            client,
            url,
            verifier: config.verifier,
            etag: None,
        })
    }

    /// Asks once, and hands what is new and may be trusted to `take`, on a thread that may block.
    /// None where the server has nothing new. What was not taken is asked for again.
    pub async fn poll<T: Send + 'static>(
        &mut self,
        take: impl FnOnce(Bundle) -> Result<T, RemoteError> + Send + 'static,
    ) -> Result<Option<T>, RemoteError> {
        let Some(fetched) = self.fetch().await? else {
            return Ok(None);
        };
        // Compiling and waiting for a disk is work for a thread of its own.
        let taken = tokio::task::spawn_blocking(move || take(fetched.bundle))
            .await
            .map_err(|error| RemoteError::NotTaken(error.to_string()))??;
        self.etag = fetched.etag;
        Ok(Some(taken))
    }

    /// What the server has, if that is something else than what is active.
    async fn fetch(&self) -> Result<Option<Fetched>, RemoteError> {
        let mut request = self
            .client
            .get(self.url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/gzip"));
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(HttpsError::from)?;
        if response.status() == StatusCode::NOT_MODIFIED && self.etag.is_some() {
            return Ok(None);
        }
        // Nothing but a whole answer: a part of a bundle is none.
        if response.status() != StatusCode::OK {
            return Err(RemoteError::Status(response.status().as_u16()));
        }
        let etag = response.headers().get(ETAG);
        let etag = etag.filter(|etag| etag.len() <= MAX_ETAG).cloned();
        let bundle = Bundle::from_tar_gz(&tidelock_https::body(response, MAX_PACKED).await?)?;
        match &self.verifier {
            Some(verifier) => verifier.verify(&bundle)?,
            None if signature::is_signed(&bundle) => return Err(SignatureError::NoKey.into()),
            None => {}
        }
        Ok(Some(Fetched { bundle, etag }))
    }
}
