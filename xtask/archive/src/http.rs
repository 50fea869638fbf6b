// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One file over HTTP, with patience for what may pass and none for what will not.

use std::{sync::Once, time::Duration};

use reqwest::{
    Method, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE},
};

use tidelock_host::files::FileError;

use crate::{
    address::Address,
    fetch_error::{FetchError, Kind},
    file::FileRef,
    part::Part,
    progress::{NoProgress, Progress},
};

/// How often and how soon a transfer that failed for a passing reason is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Attempts in all, the first one counted.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one, up to 32 times, and
    /// is spread over half to one and a half of it.
    pub pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts: 6,
            pause: Duration::from_millis(300),
        }
    }
}

impl Retry {
    /// The pause after attempt number `failed` (from 1), with `random` in 0..=1.
    fn pause_after(&self, failed: u32, random: f64) -> Duration {
        let doubled = self.pause * (1 << (failed - 1).min(5));
        doubled.mul_f64(0.5 + random)
    }
}

/// Why an attempt came to nothing.
enum Failure {
    /// It may go better the next time.
    Passing(String),
    /// It will not.
    Final(FetchError),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Final(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Final(error.into())
    }
}

pub(crate) struct Client {
    http: reqwest::Client,
    retry: Retry,
}

impl Client {
    pub(crate) fn new(retry: Retry) -> Result<Self, FetchError> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that somebody else has installed one: as good.
            let _ = rustls_ring::crypto::ring::default_provider().install_default();
        });
        let http = reqwest::Client::builder()
            .user_agent(concat!("tidelock/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(15))
            .read_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| FetchError::Client(chain(&error)))?;
        Ok(Self { http, retry })
    }

    /// Fills `part` from `address` and compares size and digest; the part stays for the next time
    /// when the transfer breaks, and is emptied when its content is wrong.
    pub(crate) async fn download(
        &self,
        address: &Address,
        file: &FileRef,
        kind: Kind,
        part: &mut Part<'_>,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        let mut told = Told { progress, bytes: 0 };
        let mut failed = 0;
        let result = loop {
            let Err(failure) = self.attempt(address, file, kind, part, &mut told).await else {
                break Ok(());
            };
            if let Err(error) = self.pause(&mut failed, failure, address, progress).await {
                break Err(error);
            }
        };
        if result.is_err() {
            told.set(0);
        }
        result
    }

    async fn attempt(
        &self,
        address: &Address,
        file: &FileRef,
        kind: Kind,
        part: &mut Part<'_>,
        told: &mut Told<'_>,
    ) -> Result<(), Failure> {
        let mut resumed = part.resume()?;
        if resumed < file.size {
            let mut response = self.get_from(address, resumed).await?;
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                // What we have is no prefix of what there is.
                part.restart()?;
            }
            if is_another_part(&response, resumed) {
                part.restart()?;
                resumed = 0;
                response = self.get_from(address, 0).await?;
                if is_another_part(&response, 0) {
                    return Err(Failure::Passing("it answered with another part".into()));
                }
            }
            let mut response = classify(address, response)?;
            if response.status() != StatusCode::PARTIAL_CONTENT {
                part.restart()?;
                resumed = 0;
            }
            let announced = response.content_length().map(|length| resumed + length);
            if let Some(size) = announced.filter(|size| *size != file.size) {
                return Err(FetchError::wrong_size(kind, address, file.size, size).into());
            }
            told.set(part.length());
            while let Some(chunk) = response.chunk().await.map_err(passing)? {
                part.write(&chunk)?;
                told.set(part.length());
                if part.length() > file.size {
                    let length = part.length();
                    part.restart()?;
                    return Err(FetchError::wrong_size(kind, address, file.size, length).into());
                }
            }
        }
        told.set(part.length());
        if part.length() < file.size {
            let reason = format!("it ended after {} of {} bytes", part.length(), file.size);
            return Err(Failure::Passing(reason));
        }
        let digest = part.digest();
        if digest == file.sha256 {
            return Ok(());
        }
        part.restart()?;
        if resumed > 0 {
            // The fault may be in what an earlier run left behind.
            return Err(Failure::Passing("what was resumed did not fit".into()));
        }
        Err(FetchError::wrong_digest(kind, address, &file.sha256, &digest).into())
    }

    async fn get_from(&self, address: &Address, offset: u64) -> Result<Response, Failure> {
        let mut request = self.http.get(address.url());
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        request.send().await.map_err(passing)
    }

    /// Gets a whole small document.
    pub(crate) async fn document(
        &self,
        address: &Address,
        limit: u64,
    ) -> Result<Vec<u8>, FetchError> {
        let mut failed = 0;
        loop {
            match self.document_once(address, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => {
                    self.pause(&mut failed, failure, address, &NoProgress)
                        .await?;
                }
            }
        }
    }

    async fn document_once(&self, address: &Address, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut response = classify(address, self.get_from(address, 0).await?)?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(passing)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > limit {
                let got = bytes.len() as u64;
                return Err(FetchError::wrong_size(Kind::Index, address, limit, got).into());
            }
        }
        Ok(bytes)
    }

    /// The size of a file as the server announces it.
    pub(crate) async fn size(&self, address: &Address) -> Result<Option<u64>, FetchError> {
        let mut failed = 0;
        loop {
            match self.size_once(address).await {
                Ok(size) => return Ok(size),
                Err(failure) => {
                    self.pause(&mut failed, failure, address, &NoProgress)
                        .await?;
                }
            }
        }
    }

    async fn size_once(&self, address: &Address) -> Result<Option<u64>, Failure> {
        let request = self.http.request(Method::HEAD, address.url());
        let response = classify(address, request.send().await.map_err(passing)?)?;
        let length = response.headers().get(CONTENT_LENGTH);
        Ok(length.and_then(|length| length.to_str().ok()?.parse().ok()))
    }

    /// Waits before the next attempt, or says that there is none.
    async fn pause(
        &self,
        failed: &mut u32,
        failure: Failure,
        address: &Address,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        *failed += 1;
        let reason = match failure {
            Failure::Final(error) => return Err(error),
            Failure::Passing(reason) => reason,
        };
        if *failed >= self.retry.attempts {
            return Err(FetchError::Transfer {
                address: address.clone(),
                attempts: *failed,
                reason,
            });
        }
        progress.retrying(&address.url(), &reason);
        tokio::time::sleep(self.retry.pause_after(*failed, fastrand::f64())).await;
        Ok(())
    }
}

/// Keeps the sum of what was told equal to what there is.
struct Told<'a> {
    progress: &'a dyn Progress,
    bytes: u64,
}

impl Told<'_> {
    fn set(&mut self, bytes: u64) {
        if bytes != self.bytes {
            let signed = |n| i64::try_from(n).unwrap_or(i64::MAX);
            self.progress.advance(signed(bytes) - signed(self.bytes));
            self.bytes = bytes;
        }
    }
}

fn classify(address: &Address, response: Response) -> Result<Response, Failure> {
    let status = response.status();
    let error = |error: FetchError| Err(Failure::Final(error));
    match status.as_u16() {
        _ if status.is_success() => Ok(response),
        code @ (404 | 410) => error(FetchError::Vanished {
            address: address.clone(),
            status: code,
        }),
        408 | 416 | 425 | 429 | 500 | 502 | 503 | 504 => {
            Err(Failure::Passing(format!("HTTP {status}")))
        }
        code => error(FetchError::Refused {
            address: address.clone(),
            status: code,
        }),
    }
}

/// Whether the answer is a part that does not begin where ours ends: a cache between us and the
/// mirror may hold the wrong one, which says nothing of the file.
fn is_another_part(response: &Response, offset: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE);
    let range = range.and_then(|range| range.to_str().ok());
    let begins = range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")));
    response.status() == StatusCode::PARTIAL_CONTENT && !begins
}

/// Connections break, name servers stumble: each error of the transport may pass, except the
/// ones that say that our own request makes no sense.
fn passing(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    if error.is_builder() || error.is_redirect() {
        return Failure::Final(FetchError::Client(chain(&error)));
    }
    Failure::Passing(chain(&error))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_spread() {
        let retry = Retry {
            attempts: 9,
            pause: Duration::from_millis(100),
        };
        let millis = |failed, random| retry.pause_after(failed, random).as_millis();
        assert_eq!(millis(1, 0.5), 100);
        assert_eq!(millis(3, 0.5), 400);
        assert_eq!(millis(3, 0.0), 200);
        assert_eq!(millis(3, 1.0), 600);
        assert_eq!(millis(8, 0.5), 3200);
    }
}
