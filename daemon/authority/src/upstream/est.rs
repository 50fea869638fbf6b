// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Enrollment over Secure Transport: `POST /.well-known/est[/LABEL]/simpleenroll` (RFC 7030, with
//! what RFC 8951 says of its encoding).
//!
//! The answer holds the leaf alone (RFC 7030, 4.2.3): what is between it and the root comes from
//! `/cacerts` (4.1). That is asked for when it is needed, and again when it does not fit any more.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cms::{cert::CertificateChoices, content_info::ContentInfo, signed_data::SignedData};
use der::{Decode as _, Encode as _, asn1::ObjectIdentifier};
use rustls_pki_types::CertificateDer;
use tidelock_https::{
    Asking, HttpsError, Redirects,
    reqwest::{
        Client, RequestBuilder, Response, StatusCode, Url,
        header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
    },
    told,
};
use zeroize::Zeroizing;

use super::{Answer, IssueError, Issuer, is_name, secret};
use crate::{Request, Svid, SvidError, Trust, keyfile::push_lines};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 256 << 10;
/// `id-signedData` (RFC 5652, 5.1).
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// Where the server is, and as whom it is asked.
#[derive(Clone)]
pub struct EstConfig {
    /// The `https` address, without `/.well-known`.
    pub url: String,
    /// Which of several authorities of the server (3.2.2).
    pub label: Option<String>,
    /// The file of a user's name and password, with a colon between them (3.2.3). It is read anew
    /// for each request.
    pub credentials: Option<PathBuf>,
    /// A certificate and its key, by which the server knows us (3.3.2), in PEM.
    pub identity: Option<Zeroizing<Vec<u8>>>,
    /// The authorities that may vouch for the server, in PEM. None: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// How long an answer may take.
    pub timeout: Duration,
}

impl fmt::Debug for EstConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EstConfig")
            .field("url", &self.url)
            .field("label", &self.label)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// Asks an EST server.
pub struct Est {
    client: Client,
    url: Url,
    credentials: Option<PathBuf>,
    /// For all questions of one answer together.
    patience: Duration,
    /// What `/cacerts` answered last.
    between: Mutex<Vec<CertificateDer<'static>>>,
}

impl Est {
    /// Checks the configuration; asks nobody yet.
    ///
    /// # Errors
    /// When it makes no sense.
    pub fn new(config: &EstConfig) -> Result<Self, HttpsError> {
        let bad = |field, reason: &str| HttpsError::Config {
            field,
            reason: reason.into(),
        };
        if config.credentials.is_none() && config.identity.is_none() {
            return Err(bad(
                "est",
                "neither a password nor a certificate to be known by",
            ));
        }
        let mut url = tidelock_https::parse(&config.url)?;
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| bad("url", "it has no path"))?;
            path.pop_if_empty().push(".well-known").push("est");
            if let Some(label) = &config.label {
                if !is_name(label) {
                    return Err(bad("label", "it is no name"));
                }
                path.push(label);
            }
        }
        let client = tidelock_https::client(&Asking {
            authorities: config.authorities.as_deref(),
            identity: config.identity.as_ref().map(|pem| pem.as_slice()),
            timeout: config.timeout,
            // A question holds the password: it goes to this server and to no other.
            redirects: Redirects::Refused,
        })?;
        Ok(Self {
            client,
            url,
            credentials: config.credentials.clone(),
            patience: config.timeout,
            between: Mutex::default(),
        })
    }

    fn operation(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        // An address of https has a path: `new` has extended it already.
        if let Ok(mut path) = url.path_segments_mut() {
            path.push(name);
        }
        url
    }

    async fn enroll(&self, request: &Request) -> Result<CertificateDer<'static>, IssueError> {
        // What reads base64 by OpenSSL wants it in lines.
        let mut body = String::new();
        push_lines(&mut body, &STANDARD.encode(request.der()));
        let mut ask = self
            .client
            .post(self.operation("simpleenroll"))
            .header(CONTENT_TYPE, "application/pkcs10")
            // RFC 8951 has done away with it; servers of before it decode nothing without.
            .header("Content-Transfer-Encoding", "base64")
            .body(body);
        if let Some(path) = &self.credentials {
            let text = secret(path).await?;
            let encoded = Zeroizing::new(STANDARD.encode(&*text));
            let text = Zeroizing::new(format!("Basic {}", &*encoded));
            let mut value = HeaderValue::from_str(&text)
                .map_err(|_| IssueError::Secret { path: path.clone() })?;
            value.set_sensitive(true);
            ask = ask.header(AUTHORIZATION, value);
        }
        let found = certificates(ask).await?;
        match <[_; 1]>::try_from(found) {
            Ok([leaf]) => Ok(leaf),
            Err(found) => Err(IssueError::Answer {
                reason: format!("{} certificates, and one was asked for", found.len()),
            }),
        }
    }

    async fn answer(
        &self,
        request: &Request,
        trust: &Trust,
        now: SystemTime,
    ) -> Result<Svid, IssueError> {
        let asked = Instant::now();
        let leaf = self.enroll(request).await?;
        // Nobody waits for another's question: it is held to read and to write.
        let known = self.between().clone();
        let take = |between: &[CertificateDer<'static>]| {
            let answered = [std::slice::from_ref(&leaf), between].concat();
            Svid::take(&answered, request, trust, now + asked.elapsed())
        };
        match take(&known) {
            Err(SvidError::Path { .. }) => {}
            taken => return Ok(taken?),
        }
        let fresh = certificates(self.client.get(self.operation("cacerts"))).await?;
        let taken = take(&fresh)?;
        *self.between() = fresh;
        Ok(taken)
    }

    fn between(&self) -> MutexGuard<'_, Vec<CertificateDer<'static>>> {
        self.between.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issuer for Est {
    fn issue<'a>(&'a self, request: &'a Request, trust: &'a Trust, now: SystemTime) -> Answer<'a> {
        Box::pin(async move {
            let answer = self.answer(request, trust, now);
            let answer = tokio::time::timeout(self.patience, answer).await;
            answer.map_err(|_| IssueError::Late)?
        })
    }
}

/// What is in an answer of certificates only.
async fn certificates(ask: RequestBuilder) -> Result<Vec<CertificateDer<'static>>, IssueError> {
    let response = ask.send().await.map_err(HttpsError::from)?;
    match response.status() {
        StatusCode::OK => {}
        // Somebody has to approve it by hand (4.2.3): no connection waits for that.
        status => return Err(refused(status, response).await),
    }
    let bytes = tidelock_https::body(response, MAX_ANSWER).await?;
    let wrong = |reason: &str| IssueError::Answer {
        reason: reason.into(),
    };
    // Lines are broken as the server likes (RFC 8951, 3.1).
    let text: Vec<u8> = bytes
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let der = STANDARD.decode(text).map_err(|_| wrong("no base64"))?;
    let unreadable = || wrong("no certificates in PKCS #7");
    let content = ContentInfo::from_der(&der).map_err(|_| unreadable())?;
    if content.content_type != SIGNED_DATA {
        return Err(unreadable());
    }
    let signed: SignedData = content.content.decode_as().map_err(|_| unreadable())?;
    let certificates = signed.certificates.ok_or_else(unreadable)?;
    certificates
        .0
        .iter()
        .map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => {
                let der = certificate.to_der().map_err(|_| unreadable())?;
                Ok(CertificateDer::from(der))
            }
            CertificateChoices::Other(_) => Err(unreadable()),
        })
        .collect()
}

/// A refusal is a text for people (4.2.3).
async fn refused(status: StatusCode, response: Response) -> IssueError {
    let body = tidelock_https::body(response, MAX_ANSWER).await;
    let said = body.unwrap_or_default();
    IssueError::Refused {
        status: status.as_u16(),
        said: told(&String::from_utf8_lossy(&said)),
    }
}
