// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Against a real HTTPS server on loopback.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::StatusCode;

use super::*;
use crate::testing::{Bytes, Server, header};

const TIMEOUT: Duration = Duration::from_secs(30);

async fn server(answer: fn(&str) -> testing::Response<Bytes>) -> Server {
    Server::start(move |request| answer(request.uri().path())).await
}

fn asking(authorities: Option<&[u8]>, redirects: Redirects) -> Asking<'_> {
    Asking {
        authorities,
        identity: None,
        timeout: TIMEOUT,
        redirects,
    }
}

fn trusting(server: &Server, redirects: Redirects) -> Client {
    client(&asking(Some(server.authority.as_bytes()), redirects)).unwrap()
}

#[tokio::test]
async fn answers_are_read_whole_or_not_at_all() {
    let server = server(|_| testing::Response::new(Bytes::from_static(b"0123456789"))).await;
    let client = trusting(&server, Redirects::Followed);
    let ask = async || client.get(server.url("/")).send().await.unwrap();
    assert_eq!(body(ask().await, 10).await.unwrap(), b"0123456789");
    let error = body(ask().await, 9).await.unwrap_err();
    assert_eq!(error.to_string(), "it sends more than 9 bytes");
}

/// A server that notes what it is asked.
async fn noting() -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    let server = Server::start(move |request| {
        let secret = request
            .headers()
            .get("secret")
            .map_or("-", |v| v.to_str().unwrap());
        let path = request.uri().path();
        log.lock().unwrap().push(format!("{path} {secret}"));
        let response = testing::Response::builder();
        if path == "/here" {
            let response = response.status(307).header(header::LOCATION, "/there");
            return response.body(Bytes::new()).unwrap();
        }
        response.body(Bytes::new()).unwrap()
    })
    .await;
    (server, asked)
}

#[tokio::test]
async fn who_is_not_vouched_for_is_not_asked() {
    let (server, asked) = noting().await;
    let (other, _) = noting().await;
    for (client, url) in [
        (trusting(&other, Redirects::Followed), server.url("/secret")),
        (
            trusting(&server, Redirects::Followed),
            server.url("/secret").replace("localhost", "127.0.0.1"),
        ),
    ] {
        let error = HttpsError::from(client.get(&url).send().await.unwrap_err());
        let told = error.to_string();
        assert!(told.contains("certificate"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_question_with_a_secret_goes_nowhere_else() {
    let (server, asked) = noting().await;
    let ask = async |redirects| {
        let client = trusting(&server, redirects);
        let question = client.get(server.url("/here")).header("secret", "s");
        question.send().await.unwrap().status()
    };
    assert_eq!(ask(Redirects::Followed).await, StatusCode::OK);
    assert_eq!(*asked.lock().unwrap(), ["/here s", "/there s"]);
    let refused = ask(Redirects::Refused).await;
    assert_eq!(refused, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(*asked.lock().unwrap(), ["/here s", "/there s", "/here s"]);
}

#[test]
fn authorities_are_certificates() {
    for pem in [b"".as_slice(), b"none"] {
        let told = client(&asking(Some(pem), Redirects::Followed))
            .unwrap_err()
            .to_string();
        assert!(told.starts_with("authorities: "), "{told}");
        let as_whom = Asking {
            identity: Some(pem),
            ..asking(None, Redirects::Followed)
        };
        let told = client(&as_whom).unwrap_err().to_string();
        assert!(told.starts_with("identity: "), "{told}");
    }
}

#[test]
fn addresses_are_of_https_and_are_shown_without_what_may_be_secret() {
    for bad in [
        "http://host/b",
        "host",
        "https://me:secret@host/b",
        "https://me@host/b",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    let told = shown("https://host:8443/b.tar.gz?token=secret#x").unwrap();
    assert_eq!(told, "https://host:8443/b.tar.gz");
    assert!(shown("https://me:secret@host/b").is_err());
}

#[test]
fn pauses_are_spread_around_the_interval() {
    let minute = Duration::from_mins(1);
    assert_eq!(pause(minute, 0.0), Duration::from_secs(48));
    assert_eq!(pause(minute, 0.5), minute);
    assert_eq!(pause(minute, 1.0), Duration::from_secs(72));
}
