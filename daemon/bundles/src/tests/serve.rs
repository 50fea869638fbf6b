// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Our own endpoint, asked by our own client and by hand.

use std::{sync::Arc, time::Duration};

use rustls_pki_types::PrivateKeyDer;
use rustls_ring::{crypto::ring::sign::any_supported_type, sign::CertifiedKey};
use tidelock_tls::{SpiffeId, TrustDomain};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Domain, id, name};
use crate::{Bundle, Endpoint, EndpointConfig, EndpointError, Limits, Profile, Serving, serve};

const WHO: &str = "spiffe://example.org/bundles";
/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(30);

struct Bench {
    domain: Domain,
    port: u16,
    document: watch::Sender<String>,
    identity: watch::Sender<Arc<CertifiedKey>>,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

fn identity(domain: &Domain, who: &SpiffeId) -> Arc<CertifiedKey> {
    let (chain, key) = domain.svid(who);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(CertifiedKey::new(chain, any_supported_type(&key).unwrap()))
}

impl Bench {
    async fn new(limits: Limits) -> Self {
        let domain = Domain::new("example.org");
        let text = domain.bundle(1).to_json().unwrap();
        let (document, document_now) = watch::channel(text);
        let (identity, identity_now) = watch::channel(identity(&domain, &id(WHO)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = Serving {
            path: "/bundle.json".into(),
            document: document_now,
            identity: identity_now,
            limits,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, serving, stop.clone()));
        Self {
            domain,
            port,
            document,
            identity,
            stop,
            task,
        }
    }

    async fn fetch(&self, path: &str, who: &str) -> Result<Bundle, EndpointError> {
        let known = self.domain.bundle(1);
        Endpoint::new(EndpointConfig {
            trust_domain: name("example.org"),
            url: format!("https://127.0.0.1:{}{path}", self.port),
            profile: Profile::Spiffe(id(who)),
            timeout: LONG,
        })
        .unwrap()
        .fetch(|_: &TrustDomain| Some(known.clone()))
        .await
    }
}

#[tokio::test]
async fn the_newest_document_is_served_under_the_newest_identity() {
    let bench = Bench::new(Limits::default()).await;
    let fetched = bench.fetch("/bundle.json", WHO).await.unwrap();
    assert_eq!(fetched, bench.domain.bundle(1));
    let text = bench.domain.bundle(2).to_json().unwrap();
    bench.document.send(text).unwrap();
    let fetched = bench.fetch("/bundle.json", WHO).await.unwrap();
    assert_eq!(fetched.sequence, Some(2));
    let renewed = "spiffe://example.org/renewed";
    assert!(bench.fetch("/bundle.json", renewed).await.is_err());
    let new = identity(&bench.domain, &id(renewed));
    bench.identity.send(new).unwrap();
    bench.fetch("/bundle.json", renewed).await.unwrap();
    for path in ["/", "/bundle.json/", "/other"] {
        let error = bench.fetch(path, renewed).await;
        assert!(
            matches!(error, Err(EndpointError::Status { status: 404, .. })),
            "{path}"
        );
    }
}

#[tokio::test]
async fn who_says_nothing_is_left_and_holds_up_nobody_for_long() {
    let bench = Bench::new(Limits {
        connections: 1,
        // Enough for a handshake on a busy host.
        patience: Duration::from_secs(3),
    })
    .await;
    // It takes the only place, and its time.
    let mut silent = TcpStream::connect(("127.0.0.1", bench.port)).await.unwrap();
    silent.write_all(&[0x16]).await.unwrap();
    bench.fetch("/bundle.json", WHO).await.unwrap();
    // Nobody else was served before its time was over.
    let mut rest = Vec::new();
    let ended = timeout(Duration::from_millis(500), silent.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it still has its place");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_with_what_is_open() {
    let bench = Bench::new(Limits {
        patience: LONG * 100,
        ..Limits::default()
    })
    .await;
    bench.fetch("/bundle.json", WHO).await.unwrap();
    let mut open = TcpStream::connect(("127.0.0.1", bench.port)).await.unwrap();
    open.write_all(&[0x16]).await.unwrap();
    bench.stop.cancel();
    bench.task.await.unwrap().unwrap();
    let mut rest = Vec::new();
    let ended = timeout(LONG, open.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is still open");
    assert!(TcpStream::connect(("127.0.0.1", bench.port)).await.is_err());
}
