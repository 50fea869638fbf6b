// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Endpoints of both profiles, served over real TLS on loopback.

use std::time::Duration;

use rustls_pki_types::PrivateKeyDer;
use tidelock_https::testing::{Bytes, Request, Response, Server, header};
use tidelock_tls::{SpiffeId, TrustDomain};

use super::{Domain, id, name};
use crate::{Bundle, Endpoint, EndpointConfig, EndpointError, Profile, refresh_after};

/// What serves a text, and sends who asks for `/moved` to it.
fn serving(text: String) -> impl FnMut(Request<Bytes>) -> Response<Bytes> + Send + 'static {
    move |asked| {
        let response = Response::builder();
        if asked.uri().path() == "/moved" {
            let response = response.status(307).header(header::LOCATION, "/bundle");
            return response.body(Bytes::new()).unwrap();
        }
        assert_eq!(asked.method(), "GET");
        response.body(Bytes::from(text.clone())).unwrap()
    }
}

async fn as_workload(domain: &Domain, who: &SpiffeId, text: String) -> Server {
    let (chain, key) = domain.svid(who);
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Server::start_as(chain, key, serving(text)).await
}

fn endpoint(url: String, profile: Profile) -> Endpoint {
    Endpoint::new(EndpointConfig {
        trust_domain: name("example.org"),
        url,
        profile,
        timeout: Duration::from_secs(30),
    })
    .unwrap()
}

fn knows(bundle: &Bundle) -> impl Fn(&TrustDomain) -> Option<Bundle> {
    let bundle = bundle.clone();
    move |domain| (domain.as_str() == "example.org").then(|| bundle.clone())
}

#[tokio::test]
async fn by_https_web_a_server_is_trusted_by_the_name_of_its_host() {
    let bundle = Domain::new("example.org").bundle(3);
    let server = Server::start(serving(bundle.to_json().unwrap())).await;
    let web = || Profile::Web(Some(server.authority.clone().into_bytes()));
    for path in ["/bundle", "/moved"] {
        let fetched = endpoint(server.url(path), web()).fetch(|_| None).await;
        assert_eq!(fetched.unwrap(), bundle, "{path}");
    }
    let elsewhere = server.url("/bundle").replace("localhost", "127.0.0.1");
    let error = endpoint(elsewhere, web())
        .fetch(|_| None)
        .await
        .unwrap_err();
    assert!(matches!(error, EndpointError::Https { .. }), "{error}");
    // The authorities of the system do not know it.
    let system = endpoint(server.url("/bundle"), Profile::Web(None));
    assert!(system.fetch(|_| None).await.is_err());
}

#[tokio::test]
async fn by_https_spiffe_a_server_is_trusted_by_its_svid_and_nothing_else() {
    let (domain, other) = (Domain::new("example.org"), Domain::new("example.org"));
    let who = id("spiffe://example.org/bundles");
    let bundle = domain.bundle(3);
    let text = bundle.to_json().unwrap();
    let server = as_workload(&domain, &who, text.clone()).await;
    let of = |url, who: &SpiffeId| endpoint(url, Profile::Spiffe(who.clone()));
    // By its address as well: no name of a host is looked at.
    for url in [
        server.url("/bundle"),
        server.url("/moved"),
        server.url("/bundle").replace("localhost", "127.0.0.1"),
    ] {
        let fetched = of(url, &who).fetch(knows(&bundle)).await;
        assert_eq!(fetched.unwrap(), bundle);
    }
    let refused = async |server: &Server, who: &SpiffeId, known: &Bundle| {
        let fetched = of(server.url("/bundle"), who).fetch(knows(known)).await;
        fetched.unwrap_err().to_string()
    };
    let another = id("spiffe://example.org/web");
    let told = refused(&server, &another, &bundle).await;
    assert!(told.contains("NotValidForName"), "another workload: {told}");
    let told = refused(&server, &who, &other.bundle(3)).await;
    assert!(told.contains("UnknownIssuer"), "another authority: {told}");
    let told = refused(
        &server,
        &who,
        &Bundle {
            authorities: vec![],
            ..bundle.clone()
        },
    )
    .await;
    assert!(told.contains("UnknownIssuer"), "nobody is trusted: {told}");
    let web = Server::start(serving(text)).await;
    let told = refused(&web, &who, &bundle).await;
    assert!(
        told.contains("UnknownIssuer"),
        "a host's certificate: {told}"
    );
}

#[tokio::test]
async fn by_https_spiffe_the_server_may_be_of_a_domain_that_is_known_already() {
    let (serves, served) = (Domain::new("example.com"), Domain::new("example.org"));
    let who = id("spiffe://example.com/bundles");
    let bundle = served.bundle(1);
    let server = as_workload(&serves, &who, bundle.to_json().unwrap()).await;
    let endpoint = endpoint(server.url("/bundle"), Profile::Spiffe(who));
    let known = serves.bundle(9);
    let knows = |domain: &TrustDomain| (domain.as_str() == "example.com").then(|| known.clone());
    assert_eq!(endpoint.fetch(knows).await.unwrap(), bundle);
    let error = endpoint.fetch(|_| None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the bundle endpoint of example.org is spiffe://example.com/bundles, and there is no \
         bundle of its trust domain yet: configure one to begin with"
    );
}

#[tokio::test]
async fn what_is_no_bundle_is_told_with_whose_it_should_be() {
    let server = Server::start(serving("{}".into())).await;
    let web = Profile::Web(Some(server.authority.clone().into_bytes()));
    let error = endpoint(server.url("/"), web).fetch(|_| None).await;
    let told = error.unwrap_err().to_string();
    assert!(
        told.starts_with("the bundle endpoint of example.org: the bundle is no JWK Set"),
        "{told}"
    );
    let gone = |_| Response::builder().status(404).body(Bytes::new()).unwrap();
    let server = Server::start(gone).await;
    let web = Profile::Web(Some(server.authority.clone().into_bytes()));
    let error = endpoint(server.url("/"), web).fetch(|_| None).await;
    assert!(matches!(
        error,
        Err(EndpointError::Status { status: 404, .. })
    ));
}

#[test]
fn a_relationship_that_makes_no_sense_is_refused() {
    let refused = |url: &str, profile| {
        Endpoint::new(EndpointConfig {
            trust_domain: name("example.org"),
            url: url.into(),
            profile,
            timeout: Duration::from_secs(30),
        })
        .unwrap_err()
        .to_string()
    };
    let of = "the bundle endpoint of example.org: ";
    let told = refused("http://example.org/", Profile::Web(None));
    assert_eq!(told, format!("{of}url: only https is asked"));
    let told = refused("https://me:secret@example.org/", Profile::Web(None));
    assert!(told.starts_with(of) && !told.contains("secret"), "{told}");
    let told = refused("https://example.org/", Profile::Web(Some(vec![])));
    assert_eq!(told, format!("{of}authorities: no certificate in it"));
    let told = refused(
        "https://example.org/",
        Profile::Spiffe(id("spiffe://example.org")),
    );
    assert_eq!(
        told,
        format!("{of}the endpoint's SPIFFE ID: it names no workload")
    );
}

#[test]
fn a_hint_is_taken_within_limits() {
    let mut bundle = Domain::new("example.org").bundle(1);
    let mut after = |hint: Option<u64>| {
        bundle.refresh_hint = hint.map(Duration::from_secs);
        refresh_after(&bundle).as_secs()
    };
    assert_eq!(after(None), 300);
    assert_eq!(after(Some(0)), 10);
    assert_eq!(after(Some(60)), 60);
    assert_eq!(after(Some(u64::MAX)), 86_400);
}
