// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bundle from a server: asked for again and again, taken when it has changed and is good.
//!
//! Whatever fails leaves the policy that is active where it is, in memory and on disk.

mod error;
mod signature;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Once},
    time::Duration,
};

use reqwest::{
    Certificate, Client, Response, StatusCode, Url,
    header::{ACCEPT, ETAG, HeaderValue, IF_NONE_MATCH},
    redirect,
};

pub use error::RemoteError;
pub use signature::{Algorithm, SignatureError, Verifier};

use crate::{Bundle, Policy, Store};

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
    /// How long to wait between two questions, give or take a fifth.
    pub interval: Duration,
    /// How long an answer may take, from the first byte sent to the last one read.
    pub timeout: Duration,
    /// The authorities that may vouch for the server, in PEM. None: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// The key that must have signed the bundle. None: the connection is trusted alone, and a
    /// bundle that is signed is refused, for somebody thinks that this is checked.
    pub verifier: Option<Verifier>,
}

/// What a question came to.
#[derive(Clone, Debug)]
pub enum Polled {
    /// The server has nothing new.
    Unchanged,
    /// A new policy is active now.
    Activated(Arc<Policy>),
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
    interval: Duration,
    verifier: Option<Verifier>,
    /// Of the bundle that was activated last. One that was refused is asked for again, and
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
        let url = Url::parse(&config.url).map_err(|error| RemoteError::Config {
            field: "url",
            reason: error.to_string(),
        })?;
        if url.scheme() != "https" {
            return Err(RemoteError::Config {
                field: "url",
                reason: "only https is asked".into(),
            });
        }
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
            interval: config.interval,
            verifier: config.verifier,
            etag: None,
        })
    }

    /// Asks once, and activates what is new and good. After an error everything is as before.
    pub async fn poll(&mut self, store: &Arc<Store>) -> Result<Polled, RemoteError> {
        let Some(fetched) = self.fetch().await? else {
            return Ok(Polled::Unchanged);
        };
        let store = Arc::clone(store);
        // Compiling and waiting for a disk is work for a thread of its own.
        let policy = tokio::task::spawn_blocking(move || store.activate(&fetched.bundle))
            .await
            .map_err(|error| RemoteError::Transfer(error.to_string()))??;
        self.etag = fetched.etag;
        Ok(Polled::Activated(policy))
    }

    /// Asks for ever, and tells what each question came to. Drop the future to end it.
    pub async fn run(
        mut self,
        store: Arc<Store>,
        mut tell: impl FnMut(Result<Polled, RemoteError>),
    ) {
        loop {
            tell(self.poll(&store).await);
            tokio::time::sleep(pause(self.interval, fastrand::f64())).await;
        }
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

/// The pause before the next question, with `random` in 0..=1.
fn pause(interval: Duration, random: f64) -> Duration {
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
