// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The PKI secrets engine of Vault and OpenBao: `POST /v1/MOUNT/sign/ROLE`.
//!
//! The role must take our keys (`key_type=ec`: `rsa` is the default), allow the URI
//! (`allowed_uri_sans`), not require a common name (`require_cn=false`), and have both extended key
//! usages, which is the default. The engine's own key must be of P-256: the kernel checks no other.

use std::{
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use pem::Pem;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use tidelock_https::{
    Asking, HttpsError, Redirects,
    reqwest::{Client, Response, StatusCode, Url, header::HeaderValue},
    told,
};

use super::{Answer, IssueError, Issuer, is_name, secret};
use crate::{Request, Svid, Trust, svid::SHORTEST};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 256 << 10;

/// Where Vault is, and as whom it is asked.
#[derive(Clone, Debug)]
pub struct VaultConfig {
    /// The `https` address, without `/v1`.
    pub url: String,
    /// Where the engine is mounted, such as `pki`.
    pub mount: String,
    /// The role.
    pub role: String,
    /// The namespace, where there are several.
    pub namespace: Option<String>,
    /// The file of the token. It is read anew for each request: an agent renews it.
    pub token: PathBuf,
    /// The authorities that may vouch for the server, in PEM. None: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long an SVID is valid.
    pub lifetime: Duration,
}

/// Asks a Vault.
pub struct Vault {
    client: Client,
    url: Url,
    config: VaultConfig,
}

#[derive(Serialize)]
struct Ask<'a> {
    csr: &'a str,
    uri_sans: &'a str,
    ttl: &'a str,
    format: &'a str,
    exclude_cn_from_sans: bool,
}

#[derive(Deserialize)]
struct Answered {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    certificate: String,
    #[serde(default)]
    issuing_ca: Option<String>,
    #[serde(default)]
    ca_chain: Vec<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

impl Vault {
    /// Checks the configuration; asks nobody yet.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn new(config: VaultConfig) -> Result<Self, HttpsError> {
        let bad = |field, reason: &str| HttpsError::Config {
            field,
            reason: reason.into(),
        };
        let mut url = tidelock_https::parse(&config.url)?;
        // Written with or without a slash at its end.
        let mount = config.mount.strip_suffix('/').unwrap_or(&config.mount);
        if !mount.split('/').all(is_name) {
            return Err(bad("mount", "it has no name, or a part that is none"));
        }
        if !is_name(&config.role) {
            return Err(bad("role", "it is no name"));
        }
        if config.lifetime < 2 * SHORTEST {
            return Err(bad("lifetime", "two minutes are the least"));
        }
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| bad("url", "it has no path"))?;
            path.pop_if_empty()
                .push("v1")
                .extend(mount.split('/'))
                .push("sign")
                .push(&config.role);
        }
        // A question holds the token: it goes to this server and to no other.
        let client = tidelock_https::client(&Asking {
            authorities: config.authorities.as_deref(),
            identity: None,
            timeout: config.timeout,
            redirects: Redirects::Refused,
        })?;
        Ok(Self {
            client,
            url,
            config,
        })
    }

    async fn ask(&self, request: &Request) -> Result<Vec<CertificateDer<'static>>, IssueError> {
        let body = serde_json::to_vec(&Ask {
            csr: &pem::encode(&Pem::new("CERTIFICATE REQUEST", request.der())),
            uri_sans: request.spiffe_id().as_str(),
            ttl: &format!("{}s", self.config.lifetime.as_secs()),
            format: "pem",
            exclude_cn_from_sans: true,
        })
        .map_err(|error| answer(&error))?;
        let mut ask = self
            .client
            .post(self.url.clone())
            .header("X-Vault-Token", self.token().await?)
            // Agents may be told to refuse what has it not.
            .header("X-Vault-Request", "true")
            .header("Content-Type", "application/json")
            .body(body);
        if let Some(namespace) = &self.config.namespace {
            ask = ask.header("X-Vault-Namespace", namespace);
        }
        let response = ask.send().await.map_err(HttpsError::from)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response).await);
        }
        let bytes = tidelock_https::body(response, MAX_ANSWER).await?;
        let Answered { data } = serde_json::from_slice(&bytes).map_err(|error| answer(&error))?;
        chain(&data)
    }

    async fn token(&self) -> Result<HeaderValue, IssueError> {
        let path = &self.config.token;
        let token = secret(path).await?;
        let mut value = HeaderValue::from_bytes(&token)
            .map_err(|_| IssueError::Secret { path: path.clone() })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Issuer for Vault {
    fn issue<'a>(&'a self, request: &'a Request, trust: &'a Trust, now: SystemTime) -> Answer<'a> {
        Box::pin(async move {
            let asked = Instant::now();
            let answered = self.ask(request).await?;
            Ok(Svid::take(
                &answered,
                request,
                trust,
                now + asked.elapsed(),
            )?)
        })
    }
}

/// The leaf, and what may be between it and the root: which of it is, [`Svid::take`] finds out.
/// Without `ca_chain`, as from a root alone, its issuer.
fn chain(data: &Data) -> Result<Vec<CertificateDer<'static>>, IssueError> {
    let mut texts = vec![&data.certificate];
    if data.ca_chain.is_empty() {
        texts.extend(&data.issuing_ca);
    } else {
        texts.extend(&data.ca_chain);
    }
    texts
        .into_iter()
        .map(|text| {
            CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| IssueError::Answer {
                reason: "a certificate is not in PEM".into(),
            })
        })
        .collect()
}

/// Why it refuses, in its own words, as far as they are fit for a log.
async fn refused(response: Response) -> IssueError {
    let status = response.status().as_u16();
    let body = tidelock_https::body(response, MAX_ANSWER).await;
    let errors: Option<Errors> = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let said = errors.map_or_else(String::new, |errors| errors.errors.join("; "));
    let said = if said.is_empty() && (300..400).contains(&status) {
        "it sends us elsewhere: ask the active node itself".into()
    } else {
        told(&said)
    };
    IssueError::Refused { status, said }
}

fn answer(error: &serde_json::Error) -> IssueError {
    IssueError::Answer {
        reason: told(&error.to_string()),
    }
}
