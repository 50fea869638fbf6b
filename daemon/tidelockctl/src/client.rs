// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asking the daemon: HTTP/1 over its Unix socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tidelock_api::ErrorReport;
use tokio::{net::UnixStream, time::timeout};

/// How long the daemon may take. Activating a policy runs its tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// The daemon does not answer, or not with what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// There is no daemon.
    #[error("no tidelockd listens on {}: is it running? (systemctl status tidelockd)", .0.display())]
    NoDaemon(PathBuf),
    /// Its socket may not be used.
    #[error(
        "{} is for root and the members of its group: use sudo, or join the group tidelock",
        .0.display()
    )]
    Forbidden(PathBuf),
    /// It said no.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("tidelockd does not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// The way to the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    /// By this socket.
    pub(crate) fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Reads.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.call(Method::GET, path, Bytes::new())
    }

    /// Sets.
    pub(crate) fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::PUT, path, serde_json::to_vec(body)?.into())
    }

    /// Asks for something to be done.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T> {
        self.call(Method::POST, path, serde_json::to_vec(body)?.into())
    }

    fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T> {
        let (status, bytes) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(async {
                timeout(PATIENCE, self.exchange(method, path, body))
                    .await
                    .map_err(|_| ClientError::Silent)?
            })?;
        understand(status, &bytes).with_context(|| format!("asking for {path}"))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| self.unreachable(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "tidelockd")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let answer = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        // The connection ends with the answer, or says why there is none.
        tokio::select! {
            answer = answer => answer,
            Err(error) = connection => Err(error.into()),
        }
    }

    fn unreachable(&self, error: io::Error) -> anyhow::Error {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NoDaemon(self.socket.clone()).into()
            }
            io::ErrorKind::PermissionDenied => ClientError::Forbidden(self.socket.clone()).into(),
            _ => anyhow::Error::new(error)
                .context(format!("connecting to {}", self.socket.display())),
        }
    }
}

fn understand<T: DeserializeOwned>(status: StatusCode, bytes: &[u8]) -> Result<T> {
    if status.is_success() {
        return serde_json::from_slice(bytes).context(
            "the answer is not understood: are tidelockctl and tidelockd of one release?",
        );
    }
    let told = serde_json::from_slice(bytes).map_or_else(
        |_| format!("status {status}, without a reason"),
        |report: ErrorReport| report.error,
    );
    Err(ClientError::Refused(told).into())
}
