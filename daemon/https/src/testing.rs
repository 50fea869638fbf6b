// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An HTTPS server on loopback with a certificate of its own authority, for tests.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{TlsAcceptor, rustls};

pub use hyper::{
    Request, Response,
    body::Bytes,
    header::{self, HeaderMap, HeaderValue},
};

/// What answers a question, whose body is whole.
pub type Handler = Box<dyn FnMut(Request<Bytes>) -> Response<Bytes> + Send>;

/// The server.
pub struct Server {
    /// Where it listens, on `localhost`.
    pub port: u16,
    /// The certificate of its own authority, in PEM.
    pub authority: String,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no port to be had.
    pub async fn start(
        handler: impl FnMut(Request<Bytes>) -> Response<Bytes> + Send + 'static,
    ) -> Self {
        let (authority, chain, key) = certificates();
        let mut server = Self::start_as(chain, key, handler).await;
        server.authority = authority;
        server
    }

    /// Starts it with another certificate, which leads to an authority of the caller's.
    ///
    /// # Panics
    /// When the certificate and the key do not fit, or there is no port to be had.
    pub async fn start_as(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        handler: impl FnMut(Request<Bytes>) -> Response<Bytes> + Send + 'static,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let handler: Arc<Mutex<Handler>> = Arc::new(Mutex::new(Box::new(handler)));
        let task = tokio::spawn(serve(listener, acceptor, handler));
        Self {
            port,
            authority: String::new(),
            task,
        }
    }

    /// Its address, and `path`.
    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    /// Ends it, with its connections.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, handler: Arc<Mutex<Handler>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // One connection at a time, one question each: stopping the server stops all of it.
        let Ok(stream) = acceptor.accept(stream).await else {
            continue;
        };
        let handler = &handler;
        let reply = move |request: Request<Incoming>| async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let response = (handler.lock().unwrap())(Request::from_parts(parts, body));
            Ok::<_, Infallible>(response.map(Full::new))
        };
        let _ = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service_fn(reply))
            .await;
    }
}

fn certificates() -> (String, Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (authority, vec![certificate.into()], key)
}
