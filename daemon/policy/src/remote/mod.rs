// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bundle from a server: asked for again and again, taken when it has changed and is good.
//!
//! Whatever fails leaves the policy that is active where it is, in memory and on disk.

mod error;
mod signature;
#[cfg(test)]
mod tests;

use std::{sync::Once, time::Duration};

use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH},
    redirect,
};

pub use error::RemoteError;
pub use signature::{Algorithm, SignatureError, Verifier};

use crate::Bundle;

/// The most bytes of a packed bundle.
const MAX_PACKED: usize = 16 << 20;
/// The longest `ETag` that is kept, in bytes.
const MAX_ETAG: usize = 1024;
/// How often a server may send us elsewhere.
const MAX_REDIRECTS: usize = 3;
/// The part of the interval by which a pause is longer or shorter, so that many nodes do not
/// ask at once.
const SPREAD: f64 = 0.2;

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
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that somebody else has installed one: as good.
            let _ = rustls_ring::crypto::ring::default_provider().install_default();
        });
        let url = parse(&config.url)?;
        let mut builder = Client::builder()
            .user_agent(concat!("tidelockd/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .redirect(redirect::Policy::limited(MAX_REDIRECTS))
            .timeout(config.timeout);
        if let Some(pem) = &config.authorities {
            let bad = |reason: String| RemoteError::Config {
                field: "authorities",
                reason,
            };
            let found = Certificate::from_pem_bundle(pem).map_err(|error| bad(chain(&error)))?;
            if found.is_empty() {
                return Err(bad("no certificate in it".into()));
            }
            builder = builder.tls_certs_only(found);
        }
        let client = builder.build().map_err(|error| RemoteError::Config {
            field: "TLS",
            reason: chain(&error),
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
            .map_err(|error| RemoteError::Transfer(error.to_string()))??;
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
        let response = request.send().await.map_err(transfer)?;
        if response.status() == StatusCode::NOT_MODIFIED && self.etag.is_some() {
            return Ok(None);
        }
        // Nothing but a whole answer: a part of a bundle is none.
        if response.status() != StatusCode::OK {
            return Err(RemoteError::Status(response.status().as_u16()));
        }
        let etag = response.headers().get(ETAG);
        let etag = etag.filter(|etag| etag.len() <= MAX_ETAG).cloned();
        let bundle = Bundle::from_tar_gz(&body(response).await?)?;
        match &self.verifier {
            Some(verifier) => verifier.verify(&bundle)?,
            None if signature::is_signed(&bundle) => return Err(SignatureError::NoKey.into()),
            None => {}
        }
        Ok(Some(Fetched { bundle, etag }))
    }
}

/// The body, as long as it is not too long. What the server says of its length is not relied on.
async fn body(mut response: Response) -> Result<Vec<u8>, RemoteError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(transfer)? {
        if bytes.len() + chunk.len() > MAX_PACKED {
            return Err(RemoteError::TooLarge { limit: MAX_PACKED });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An address that may be asked, as it may be shown: without what may be secret, its query.
///
/// # Errors
/// When it is none of `https`, or holds a user's name or password.
pub fn shown(url: &str) -> Result<String, RemoteError> {
    let mut url = parse(url)?;
    url.set_query(None);
    url.set_fragment(None);
    Ok(url.into())
}

fn parse(url: &str) -> Result<Url, RemoteError> {
    let bad = |reason: String| RemoteError::Config {
        field: "url",
        reason,
    };
    let url = Url::parse(url).map_err(|error| bad(error.to_string()))?;
    if url.scheme() != "https" {
        return Err(bad("only https is asked".into()));
    }
    // It would be in the configuration, which others may read.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a user's name or password".into()));
    }
    Ok(url)
}

/// The pause before the next question, with `random` in 0..=1: the interval, give or take a fifth.
pub fn pause(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
}

fn transfer(error: reqwest::Error) -> RemoteError {
    RemoteError::Transfer(chain(&error.without_url()))
}

/// An error with all its causes: the first alone says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
