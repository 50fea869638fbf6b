// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An EST server that is a fake: it answers as RFC 7030 says, over real TLS on loopback, and signs
//! by an authority of ours. No EST server is in a registry that is reached.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use cms::content_info::ContentInfo;
use der::{Decode as _, Encode as _};
use rustls_pki_types::CertificateDer;
use tidelock_https::testing::{Bytes, Request as Asked, Response, Server, header};
use x509_cert::{Certificate, PkiPath};
use zeroize::Zeroizing;

use super::{NOW, at, id, open, request};
use crate::{Embedded, Est, EstConfig, IssueError, Issuer as _, Request, Svid, SvidError};

/// What OpenSSL makes of a certificate (`openssl crl2pkcs7 -nocrl -certfile`), in lines.
const OF_OPENSSL: &str = include_str!("openssl.p7b.b64");

/// `certs-only`, in lines of 64 as most servers break them.
fn certs_only(certificates: &[CertificateDer<'_>]) -> String {
    let path: PkiPath = certificates
        .iter()
        .map(|der| Certificate::from_der(der).unwrap())
        .collect();
    let text = STANDARD.encode(ContentInfo::try_from(path).unwrap().to_der().unwrap());
    let lines = text.as_bytes().chunks(64);
    lines
        .map(|line| format!("{}\r\n", str::from_utf8(line).unwrap()))
        .collect()
}

/// How the fake behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    /// A second certificate beside the leaf.
    Two,
    /// What OpenSSL made of some other certificate.
    Foreign,
    Text,
    /// Each answer in less than the time that all have together.
    Slow,
    Pending,
    Refuses,
}

struct Bench {
    server: Server,
    dir: tempfile::TempDir,
    authority: Arc<Embedded>,
    /// Methods, paths, types and credentials.
    asked: Arc<Mutex<Vec<String>>>,
}

fn answer(manner: Manner, authority: &Embedded, asked: &Asked<Bytes>) -> (u16, String) {
    if manner == Manner::Slow {
        thread::sleep(Duration::from_millis(700));
    }
    if asked.uri().path().ends_with("/cacerts") {
        let request = request();
        let chain = authority.sign(&request, at(NOW)).unwrap();
        return (
            200,
            certs_only(&[authority.trust().authorities[0].clone(), chain[1].clone()]),
        );
    }
    // As OpenBao and libest read it: base64 that says so, in lines that end.
    let encoding = asked.headers().get("content-transfer-encoding");
    assert_eq!(encoding.unwrap(), "base64");
    let body = str::from_utf8(asked.body()).unwrap();
    assert!(body.ends_with('\n') && body.lines().all(|line| line.len() <= 64));
    let csr = STANDARD.decode(body.replace('\n', "")).unwrap();
    let request = Request::check(&csr, &id()).unwrap();
    let leaf = authority.sign(&request, at(NOW)).unwrap().remove(0);
    match manner {
        Manner::Good | Manner::Slow => (200, certs_only(&[leaf])),
        Manner::Two => (
            200,
            certs_only(&[leaf, authority.trust().authorities[0].clone()]),
        ),
        Manner::Foreign => (200, OF_OPENSSL.into()),
        Manner::Text => (200, "<html>".into()),
        Manner::Pending => (202, String::new()),
        Manner::Refuses => (401, "who\nare you?\n".into()),
    }
}

impl Bench {
    async fn new(manner: Manner) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(open(&dir.path().join("authority"), NOW).unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, signer) = (Arc::clone(&asked), Arc::clone(&authority));
        let server = Server::start(move |asked| {
            let header = |name| {
                asked
                    .headers()
                    .get(name)
                    .map_or("-", |v| v.to_str().unwrap())
            };
            let (method, path) = (asked.method(), asked.uri().path());
            let (kind, who) = (header(header::CONTENT_TYPE), header(header::AUTHORIZATION));
            let told = format!("{method} {path} {kind} {who}");
            log.lock().unwrap().push(told);
            let (status, text) = answer(manner, &signer, &asked);
            let response = Response::builder().status(status);
            response.body(Bytes::from(text)).unwrap()
        })
        .await;
        put(&dir.path().join("password"), "node:secret\n");
        Self {
            server,
            dir,
            authority,
            asked,
        }
    }

    fn config(&self) -> EstConfig {
        EstConfig {
            url: self.server.url("/"),
            label: None,
            credentials: Some(self.dir.path().join("password")),
            identity: None,
            authorities: Some(self.server.authority.clone().into_bytes()),
            timeout: Duration::from_secs(30),
        }
    }

    async fn issue(&self, est: &Est) -> Result<Svid, IssueError> {
        est.issue(&request(), &self.authority.trust(), at(NOW))
            .await
    }

    async fn once(&self) -> IssueError {
        let est = Est::new(&self.config()).unwrap();
        self.issue(&est).await.unwrap_err()
    }
}

fn put(path: &Path, text: &str) {
    tidelock_durable::write(path, text.as_bytes(), 0o600).unwrap();
}

#[tokio::test]
async fn a_server_is_asked_as_the_standard_says_and_its_chain_is_put_together() {
    let bench = Bench::new(Manner::Good).await;
    let config = EstConfig {
        label: Some("nodes".into()),
        ..bench.config()
    };
    let est = Est::new(&config).unwrap();
    let enroll =
        "POST /.well-known/est/nodes/simpleenroll application/pkcs10 Basic bm9kZTpzZWNyZXQ=";
    let between = "GET /.well-known/est/nodes/cacerts - -";
    for _ in 0..2 {
        assert_eq!(bench.issue(&est).await.unwrap().chain.len(), 2);
    }
    // What is between is asked for once, and again when the server has a new intermediate.
    bench.authority.roll(at(NOW)).unwrap();
    assert_eq!(bench.issue(&est).await.unwrap().chain.len(), 2);
    let asked = bench.asked.lock().unwrap().clone();
    assert_eq!(asked, [enroll, between, enroll, enroll, between]);
}

#[tokio::test]
async fn refusals_are_told() {
    let told = async |manner| Bench::new(manner).await.once().await.to_string();
    assert_eq!(
        told(Manner::Refuses).await,
        "the upstream answers with status 401: who are you?"
    );
    assert_eq!(
        told(Manner::Pending).await,
        "the upstream answers with status 202: "
    );
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    let told = async |manner| Bench::new(manner).await.once().await;
    let two = told(Manner::Two).await.to_string();
    assert!(
        two.contains("2 certificates, and one was asked for"),
        "{two}"
    );
    let text = told(Manner::Text).await.to_string();
    assert!(text.ends_with("no base64"), "{text}");
    // It is read as OpenSSL writes it, and is not ours.
    assert!(matches!(
        told(Manner::Foreign).await,
        IssueError::Svid(SvidError::Key)
    ));
}

#[tokio::test]
async fn the_password_is_read_each_time_and_must_be_there() {
    let bench = Bench::new(Manner::Good).await;
    let est = Est::new(&bench.config()).unwrap();
    bench.issue(&est).await.unwrap();
    put(&bench.dir.path().join("password"), "node:new");
    bench.issue(&est).await.unwrap();
    let last = bench.asked.lock().unwrap().last().cloned().unwrap();
    assert!(last.ends_with("Basic bm9kZTpuZXc="), "{last}");
    put(&bench.dir.path().join("password"), "");
    let error = bench.issue(&est).await.unwrap_err();
    assert!(matches!(error, IssueError::Secret { .. }), "{error}");
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused() {
    let bench = Bench::new(Manner::Good).await;
    let refused = |change: fn(&mut EstConfig)| {
        let mut config = bench.config();
        change(&mut config);
        Est::new(&config).err().unwrap().to_string()
    };
    assert!(refused(|config| config.url = "http://est".into()).starts_with("url: "));
    assert!(refused(|config| config.label = Some(String::new())).starts_with("label: "));
    for label in ["a/b", ".."] {
        let mut config = bench.config();
        config.label = Some(label.into());
        let told = Est::new(&config).err().unwrap().to_string();
        assert!(told.starts_with("label: "), "{told}");
    }
    assert!(
        refused(|config| config.identity = Some(Zeroizing::new(vec![]))).starts_with("identity: ")
    );
    assert_eq!(
        refused(|config| config.credentials = None),
        "est: neither a password nor a certificate to be known by"
    );
}

#[test]
fn what_is_told_of_a_configuration_is_not_its_key() {
    let config = EstConfig {
        url: "https://est".into(),
        label: None,
        credentials: None,
        identity: Some(Zeroizing::new(b"PRIVATE".to_vec())),
        authorities: None,
        timeout: Duration::from_secs(1),
    };
    let told = format!("{config:?}");
    assert!(told.contains("https://est"), "{told}");
    assert!(!told.contains("identity") && !told.contains("80"), "{told}");
}

#[tokio::test]
async fn who_takes_too_long_is_not_waited_for_and_holds_up_nobody() {
    let bench = Bench::new(Manner::Good).await;
    let patience = Duration::from_millis(300);
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = EstConfig {
        url: format!("https://localhost:{}", silent.local_addr().unwrap().port()),
        timeout: patience,
        ..bench.config()
    };
    let est = Est::new(&config).unwrap();
    let (one, other) = tokio::join!(bench.issue(&est), bench.issue(&est));
    for error in [one.unwrap_err(), other.unwrap_err()] {
        assert!(
            matches!(error, IssueError::Late | IssueError::Https(_)),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_questions_of_an_answer_have_one_time_together() {
    let bench = Bench::new(Manner::Slow).await;
    let config = EstConfig {
        timeout: Duration::from_secs(1),
        ..bench.config()
    };
    let error = bench.issue(&Est::new(&config).unwrap()).await.unwrap_err();
    assert!(
        matches!(error, IssueError::Late | IssueError::Https(_)),
        "{error}"
    );
}
