// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Against a real HTTPS server on loopback, made here.

mod server;
mod signed;

use std::{sync::Arc, time::Duration};

use server::{Answer, Server};

use tidelock_https::HttpsError;

use super::{Remote, RemoteConfig, RemoteError};
use crate::{
    Bundle, Policy, PolicyError, Store,
    tests::{DENY, bundle, rules},
};

fn numbered(n: usize) -> Bundle {
    let manifest = format!("{{\"revision\": \"r{n}\"}}");
    Bundle::from_files([(".manifest", manifest.as_str()), ("p.rego", DENY)]).unwrap()
}

/// A server, a client that trusts it, and a store.
struct Bench {
    server: Server,
    remote: Remote,
    store: Arc<Store>,
    _dir: tempfile::TempDir,
}

async fn bench(change: impl FnOnce(&mut RemoteConfig)) -> Bench {
    let server = Server::start().await;
    let mut config = config(&server);
    change(&mut config);
    let dir = tempfile::tempdir().unwrap();
    Bench {
        remote: Remote::new(config).unwrap(),
        store: Arc::new(Store::open(dir.path()).unwrap()),
        _dir: dir,
        server,
    }
}

fn config(server: &Server) -> RemoteConfig {
    RemoteConfig {
        url: server.https.url("/bundle.tar.gz"),
        timeout: Duration::from_secs(30),
        authorities: Some(server.https.authority.clone().into_bytes()),
        verifier: None,
    }
}

impl Bench {
    async fn poll(&mut self) -> Result<Option<Arc<Policy>>, RemoteError> {
        let store = Arc::clone(&self.store);
        let activate = move |bundle| Ok(store.activate(&bundle)?);
        self.remote.poll(activate).await
    }

    async fn activated(&mut self) -> String {
        let policy = self.poll().await.unwrap().expect("nothing new");
        policy.revision().to_owned()
    }

    fn current(&self) -> String {
        self.store.current().unwrap().unwrap().revision().to_owned()
    }
}

#[tokio::test]
async fn a_bundle_is_fetched_once_and_again_when_it_has_changed() {
    let mut bench = bench(|_| {}).await;
    bench
        .server
        .answer(Answer::bundle(&numbered(1), Some("\"one\"")));
    assert_eq!(bench.activated().await, "r1");
    for _ in 0..2 {
        assert!(matches!(bench.poll().await, Ok(None)));
    }
    bench
        .server
        .answer(Answer::bundle(&numbered(2), Some("\"two\"")));
    assert_eq!(bench.activated().await, "r2");
    assert_eq!(bench.current(), "r2");
    let asked = [None, Some("\"one\""), Some("\"one\""), Some("\"one\"")];
    assert_eq!(
        bench.server.asked(),
        asked.map(|etag| etag.map(str::to_owned))
    );
}

#[tokio::test]
async fn what_is_no_good_policy_leaves_the_last_one_and_is_asked_for_again() {
    let mut bench = bench(|_| {}).await;
    bench
        .server
        .answer(Answer::bundle(&numbered(1), Some("\"one\"")));
    bench.activated().await;
    for (bad, etag) in [
        (rules("test_it if false\n"), "\"fails\""),
        (bundle("package tidelock\n"), "\"empty\""),
        (bundle("no rego"), "\"none\""),
    ] {
        bench.server.answer(Answer::bundle(&bad, Some(etag)));
        for _ in 0..2 {
            let error = bench.poll().await.unwrap_err();
            assert!(matches!(error, RemoteError::Policy(_)), "{error:?}");
            assert_eq!(bench.current(), "r1");
        }
    }
    let last = bench.server.asked().pop().unwrap();
    assert_eq!(
        last.as_deref(),
        Some("\"one\""),
        "a refused bundle is never taken for the active"
    );
}

#[tokio::test]
async fn a_failing_test_is_named() {
    let mut bench = bench(|_| {}).await;
    bench
        .server
        .answer(Answer::bundle(&rules("test_it if false\n"), None));
    let error = bench.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Policy(PolicyError::Tests(_))),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("data.tidelock.test_it"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_bundle_leaves_the_last_one() {
    let mut bench = bench(|_| {}).await;
    bench.server.answer(Answer::bundle(&numbered(1), None));
    bench.activated().await;
    let whole = numbered(2).to_tar_gz().unwrap();
    let of = |status: u16, body: &[u8]| Answer {
        status,
        etag: None,
        body: body.to_vec(),
    };
    for answer in [
        of(200, b""),
        of(200, b"<html>log in first</html>"),
        of(200, &whole[..whole.len() / 2]),
        of(206, &whole),
        of(204, b""),
        // Nothing was asked that this would answer: there is no ETag.
        of(304, b""),
        of(403, &whole),
        of(404, &whole),
        of(500, &whole),
    ] {
        let said = format!("{} of {} bytes", answer.status, answer.body.len());
        bench.server.answer(answer);
        assert!(bench.poll().await.is_err(), "{said}");
        assert_eq!(bench.current(), "r1");
    }
}

#[tokio::test]
async fn too_much_is_not_read() {
    let mut bench = bench(|_| {}).await;
    bench.server.answer(Answer {
        status: 200,
        etag: None,
        body: vec![0; super::MAX_PACKED + 1],
    });
    let error = bench.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Https(HttpsError::TooLarge { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_believed() {
    let other = Server::start().await;
    let stranger = other.https.authority.clone().into_bytes();
    let mut bench = bench(|config| config.authorities = Some(stranger)).await;
    bench.server.answer(Answer::bundle(&numbered(1), None));
    let error = bench.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Https(HttpsError::Transfer(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(bench.store.current().unwrap().is_none());
    assert!(bench.server.asked().is_empty());
}

#[tokio::test]
async fn a_server_of_another_name_is_not_believed() {
    let mut bench = bench(|config| config.url = config.url.replace("localhost", "127.0.0.1")).await;
    bench.server.answer(Answer::bundle(&numbered(1), None));
    let error = bench.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Https(HttpsError::Transfer(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_gone_leaves_the_last_one() {
    let mut bench = bench(|_| {}).await;
    bench.server.answer(Answer::bundle(&numbered(1), None));
    bench.activated().await;
    bench.server.https.stop().await;
    let error = bench.poll().await.unwrap_err();
    assert!(
        matches!(error, RemoteError::Https(HttpsError::Transfer(_))),
        "{error:?}"
    );
    assert_eq!(bench.current(), "r1");
}

#[tokio::test]
async fn only_https_with_real_authorities_is_configured() {
    let server = Server::start().await;
    let field = |change: fn(&mut RemoteConfig)| {
        let mut config = config(&server);
        change(&mut config);
        match Remote::new(config).err() {
            Some(RemoteError::Https(HttpsError::Config { field, .. })) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        field(|config| config.url = "http://localhost/b".into()),
        "url"
    );
    assert_eq!(
        field(|config| config.authorities = Some(Vec::new())),
        "authorities"
    );
}
