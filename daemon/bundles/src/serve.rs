// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundle endpoint of our own trust domain (SPIFFE Federation, 5.2): one document at one path,
//! for everybody.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls_ring::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// What is served, and as whom.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The path of the document, such as `/bundle.json`.
    pub path: String,
    /// The document ([`crate::Bundle::to_json`]) as it is now.
    pub document: watch::Receiver<String>,
    /// The certificate as it is now: for the name of the host by `https_web`, an X.509-SVID by
    /// `https_spiffe`. Connections take the newest one.
    pub identity: watch::Receiver<Arc<CertifiedKey>>,
    /// What everybody together may take.
    pub limits: Limits,
}

/// What everybody together may take of us: anybody on the network may come by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once; more wait at the door.
    pub connections: usize,
    /// How long one may take, from its first byte to the last one sent.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            patience: Duration::from_secs(15),
        }
    }
}

/// How long to wait when there are no descriptors left.
const BREATH: Duration = Duration::from_millis(100);

/// Serves until `stop`.
///
/// # Errors
/// When TLS cannot be set up.
pub async fn serve(
    listener: TcpListener,
    serving: Serving,
    stop: CancellationToken,
) -> io::Result<()> {
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Newest(serving.identity.clone())));
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let places = Arc::new(Semaphore::new(serving.limits.connections));
    // Dropped with all that is in it.
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            next = next => next,
        };
        // What has ended is forgotten.
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            time::sleep(BREATH).await;
            continue;
        };
        let (acceptor, serving) = (acceptor.clone(), serving.clone());
        connections.spawn(async move {
            let _place = place;
            // Whoever takes too long, or breaks off, has lost only his own connection.
            let _ = time::timeout(serving.limits.patience, one(stream, acceptor, &serving)).await;
        });
    }
}

/// One connection, one question.
async fn one(stream: TcpStream, acceptor: TlsAcceptor, serving: &Serving) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let reply = |asked: Request<Incoming>| {
        let response = reply(&asked, serving);
        async move { Ok::<_, Infallible>(response) }
    };
    let _ = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(reply))
        .await;
}

fn reply<B>(asked: &Request<B>, serving: &Serving) -> Response<String> {
    let mut response = Response::new(String::new());
    if asked.uri().path() != serving.path {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if ![Method::GET, Method::HEAD].contains(asked.method()) {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    } else {
        response.body_mut().clone_from(&serving.document.borrow());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// The certificate as it is when a connection begins.
#[derive(Debug)]
struct Newest(watch::Receiver<Arc<CertifiedKey>>);

impl ResolvesServerCert for Newest {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.borrow()))
    }
}
