// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the daemon asks servers: by TLS alone, for answers that are not too long.
//!
//! Policies, certificates and trust bundles come from servers. What is the same for all of them
//! is here: who may vouch for a server, how much of an answer is read, and errors that say why
//! without the address, which may hold a secret.
#![forbid(unsafe_code)]

#[cfg(feature = "testing")]
pub mod testing;
#[cfg(test)]
mod tests;
mod text;

use std::{sync::Once, time::Duration};

pub use reqwest;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response, Url, redirect};
use rustls_ring::ClientConfig;
pub use text::told;

/// How often a server may send us elsewhere.
const MAX_REDIRECTS: usize = 3;
/// The part of an interval by which a pause is longer or shorter, so that many nodes do not
/// ask at once.
const SPREAD: f64 = 0.2;

/// A server could not be asked, or did not answer as it must.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The configuration makes no sense.
    #[error("{field}: {reason}")]
    Config {
        /// Which part of it.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The server cannot be reached, is not trusted, or broke off.
    #[error("{0}")]
    Transfer(String),
    /// It sends too much.
    #[error("it sends more than {limit} bytes")]
    TooLarge {
        /// How many are allowed.
        limit: usize,
    },
}

impl From<reqwest::Error> for HttpsError {
    fn from(error: reqwest::Error) -> Self {
        Self::Transfer(chain(&error.without_url()))
    }
}

/// Whether a server may send us to another address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redirects {
    /// A few times, by TLS again. What goes with a question, such as a token, goes with it.
    Followed,
    /// Never: where the question holds a secret.
    Refused,
}

/// How servers are asked. It holds a private key, and is not for logs.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// Who may vouch for them, in PEM. None: the authorities of the system.
    pub authorities: Option<&'a [u8]>,
    /// A certificate and its key, by which they know us, in PEM.
    pub identity: Option<&'a [u8]>,
    /// How long an answer may take, from the first byte sent to the last one read.
    pub timeout: Duration,
    /// Whether they may send us elsewhere.
    pub redirects: Redirects,
}

/// What asks servers: by TLS alone.
///
/// # Errors
/// When what is in PEM is not what it should be, or TLS cannot be set up.
pub fn client(asking: &Asking<'_>) -> Result<Client, HttpsError> {
    let bad = |field, reason| HttpsError::Config { field, reason };
    let mut builder = builder(asking.timeout, asking.redirects);
    if let Some(pem) = asking.authorities {
        let found =
            Certificate::from_pem_bundle(pem).map_err(|error| bad("authorities", chain(&error)))?;
        if found.is_empty() {
            return Err(bad("authorities", "no certificate in it".into()));
        }
        builder = builder.tls_certs_only(found);
    }
    if let Some(pem) = asking.identity {
        let identity = Identity::from_pem(pem).map_err(|error| bad("identity", chain(&error)))?;
        builder = builder.identity(identity);
    }
    finish(builder)
}

/// As [`client`], where somebody else says who is the right server.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client_by(
    tls: ClientConfig,
    timeout: Duration,
    redirects: Redirects,
) -> Result<Client, HttpsError> {
    finish(builder(timeout, redirects).tls_backend_preconfigured(tls))
}

fn builder(timeout: Duration, redirects: Redirects) -> ClientBuilder {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // An error says that somebody else has installed one: as good.
        let _ = rustls_ring::crypto::ring::default_provider().install_default();
    });
    Client::builder()
        .user_agent(concat!("tidelockd/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(match redirects {
            Redirects::Followed => redirect::Policy::limited(MAX_REDIRECTS),
            Redirects::Refused => redirect::Policy::none(),
        })
        .timeout(timeout)
}

fn finish(builder: ClientBuilder) -> Result<Client, HttpsError> {
    builder.build().map_err(|error| HttpsError::Config {
        field: "TLS",
        reason: chain(&error),
    })
}

/// The body, as long as it is not too long. What the server says of its length is not relied on.
///
/// # Errors
/// When it has more than `limit` bytes, or the server breaks off.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, HttpsError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(HttpsError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An address that may be asked.
///
/// # Errors
/// When it is none of `https`, or holds a user's name or password.
pub fn parse(url: &str) -> Result<Url, HttpsError> {
    let bad = |reason: String| HttpsError::Config {
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

/// An address that may be asked, as it may be shown: without what may be secret, its query.
///
/// # Errors
/// As [`parse`].
pub fn shown(url: &str) -> Result<String, HttpsError> {
    let mut url = parse(url)?;
    url.set_query(None);
    url.set_fragment(None);
    Ok(url.into())
}

/// The pause before the next question, with `random` in 0..=1: the interval, give or take a fifth.
pub fn pause(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(1.0 - SPREAD + 2.0 * SPREAD * random)
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
