// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An HTTPS server with a certificate of its own authority.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{ETAG, IF_NONE_MATCH},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::Bundle;

/// What every question is answered with.
#[derive(Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn bundle(bundle: &Bundle, etag: Option<&str>) -> Self {
        Self {
            status: 200,
            etag: etag.map(Into::into),
            body: bundle.to_tar_gz().unwrap(),
        }
    }
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    asked: Vec<Option<String>>,
}

pub(super) struct Server {
    pub(super) port: u16,
    /// The certificate of its authority, in PEM.
    pub(super) authority: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let (authority, acceptor) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let task = tokio::spawn(serve(listener, acceptor, Arc::clone(&state)));
        Self {
            port,
            authority,
            state,
            task,
        }
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = Some(answer);
    }

    /// The `If-None-Match` of each question.
    pub(super) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.clone()
    }

    pub(super) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<Mutex<State>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // One connection at a time, one question each: stopping the server stops all of it.
        let Ok(stream) = acceptor.accept(stream).await else {
            continue;
        };
        let reply = |request: Request<Incoming>| {
            let response = reply(&request, &mut state.lock().unwrap());
            async move { Ok::<_, Infallible>(response) }
        };
        let _ = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service_fn(reply))
            .await;
    }
}

/// A server that knows its own `ETag`.
fn reply(request: &Request<Incoming>, state: &mut State) -> Response<Full<Bytes>> {
    let known = request.headers().get(IF_NONE_MATCH);
    let known = known.map(|etag| etag.to_str().unwrap().to_owned());
    state.asked.push(known.clone());
    let answer = state.answer.clone().unwrap();
    let mut response = Response::builder().status(answer.status);
    if let Some(etag) = &answer.etag {
        response = response.header(ETAG, etag);
        if known.as_ref() == Some(etag) {
            return response.status(304).body(Full::default()).unwrap();
        }
    }
    response.body(Full::from(answer.body)).unwrap()
}

fn certificates() -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority, TlsAcceptor::from(Arc::new(config)))
}
