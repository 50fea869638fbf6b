// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An HTTPS server on the loopback, with a certificate of its own authority.

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_ring::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

/// What everybody is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: &'static str,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    /// Of each question: the ETag that who asks has already.
    asked: Vec<Option<String>>,
}

/// A server, for as long as the tests run.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    pub(crate) port: u16,
    /// The certificate of its authority, in PEM.
    pub(crate) authority: String,
    state: Arc<Mutex<State>>,
}

impl Https {
    pub(crate) fn start(answer: Answer) -> Self {
        let (authority, config) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            answer,
            asked: Vec::new(),
        };
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            authority,
            state: Arc::new(Mutex::new(state)),
        };
        let serving = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Who does not trust us hangs up.
                let _ = serving.serve(stream.unwrap(), &config);
            }
        });
        server
    }

    pub(crate) fn answer(&self, answer: Answer) {
        self.state.lock().unwrap().answer = answer;
    }

    pub(crate) fn asked(&self) -> Vec<Option<String>> {
        self.state.lock().unwrap().asked.clone()
    }

    fn serve(&self, stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
        let connection = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        let request = String::from_utf8_lossy(&request).to_lowercase();
        let known = request
            .lines()
            .find_map(|line| line.strip_prefix("if-none-match: "));
        let mut state = self.state.lock().unwrap();
        state.asked.push(known.map(str::to_owned));
        let Answer { status, etag, body } = state.answer.clone();
        drop(state);
        let (status, body) = if status == 200 && known == Some(etag) {
            (304, Vec::new())
        } else {
            (status, body)
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} x\r\netag: {etag}\r\ncontent-length: {length}\r\n\
             connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        stream.conn.send_close_notify();
        stream.flush()
    }
}

fn certificates() -> (String, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority, Arc::new(config))
}
