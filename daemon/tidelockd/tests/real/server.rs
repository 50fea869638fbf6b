// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Policies that come from a server.

use std::{fs, os::unix::fs::PermissionsExt as _, thread, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidelock_policy::Bundle;
use tidelock_wire::Decision;

use crate::{
    fake::FakeModule,
    home::{Daemon, Home, write},
    https::{Answer, Https},
    subjects::sleeper,
};

const SECRET: &str = "a secret of 32 bytes, or of more";

fn rules(revision: &str) -> String {
    format!(
        "package tidelock\n\
         default decision := {{\"mode\": \"plain\", \"reason\": \"by {revision}\"}}\n"
    )
}

fn bundle(revision: &str) -> Bundle {
    let manifest = json!({"revision": revision, "roots": ["tidelock"]}).to_string();
    Bundle::from_files([(".manifest", manifest), ("p.rego", rules(revision))]).unwrap()
}

fn has(bundle: &Bundle, etag: &'static str) -> Answer {
    Answer {
        status: 200,
        etag,
        body: bundle.to_tar_gz().unwrap(),
    }
}

const NOTHING: Answer = Answer {
    status: 500,
    etag: "\"none\"",
    body: Vec::new(),
};

/// A folder whose configuration names the server.
fn home(server: &Https, more: &str) -> Home {
    let home = Home::new("");
    let authorities = home.path().join("authorities.pem");
    write(&authorities, &server.authority);
    let (port, authorities) = (server.port, authorities.display());
    let policy = format!(
        "[policy.server]\nurl = 'https://localhost:{port}/b.tar.gz?token=hidden'\n\
         authorities = '{authorities}'\ninterval-seconds = 1\n{more}\n"
    );
    home.configure_policy("deadline-ms = 30000", &policy);
    home
}

/// Waits until what is told of the policy is as wanted.
fn until(daemon: &Daemon, wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..600 {
        let policy = daemon.get("/v1/policy");
        if wanted(&policy) {
            return policy;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("it stays: {}", daemon.get("/v1/policy"));
}

fn troubled(daemon: &Daemon, by: &str) -> Value {
    until(daemon, |policy| {
        policy["trouble"]
            .as_str()
            .is_some_and(|text| text.contains(by))
    })
}

fn in_force(daemon: &Daemon, revision: &str) -> Value {
    until(daemon, |policy| {
        policy["revision"] == revision && policy["trouble"].is_null()
    })
}

#[test]
fn a_policy_comes_from_a_server_and_the_last_good_one_stays() {
    let server = Https::start(NOTHING);
    let home = home(&server, "");
    let subject = sleeper(home.path());
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&[]);
    let (opened, _) = module.serving();

    // Nothing has come yet: the built-in policy does not take its place.
    let policy = troubled(&daemon, "status 500");
    assert_eq!(
        (&policy["revision"], &policy["digest"]),
        (&json!("none"), &json!("none"))
    );
    opened.ask(1, subject.facts().ask("192.0.2.7:1".parse().unwrap()));
    assert_eq!(opened.verdict().1.decision, Decision::Deny);

    server.answer(has(&bundle("r1"), "\"one\""));
    let policy = in_force(&daemon, "r1");
    let shown = format!("https://localhost:{}/b.tar.gz", server.port);
    assert_eq!(policy["source"], shown);
    let settings = opened.configured();
    assert_eq!(policy["generation"], settings.generation);
    opened.ask(2, subject.facts().ask("192.0.2.7:1".parse().unwrap()));
    let (_, verdict) = opened.verdict();
    assert_eq!(
        (verdict.decision, verdict.generation),
        (Decision::Plain, settings.generation)
    );
    // Asked for by what it is called, it is not sent again.
    let known = Some("\"one\"".to_owned());
    while server.asked().last() != Some(&known) {
        thread::sleep(Duration::from_millis(100));
    }

    server.answer(has(&bundle("r2"), "\"two\""));
    in_force(&daemon, "r2");
    let second = opened.configured().generation;
    let broken = Bundle::from_files([("p.rego", "package tidelock\n")]).unwrap();
    server.answer(has(&broken, "\"broken\""));
    let policy = troubled(&daemon, "no rule data.tidelock.decision");
    assert_eq!(
        (&policy["revision"], &policy["generation"]),
        (&json!("r2"), &json!(second))
    );
    server.answer(NOTHING);
    troubled(&daemon, "status 500");

    // It is on the disk, whatever the server does.
    daemon.signal(Signal::KILL);
    daemon.ended();
    drop(opened);
    let daemon = home.start(&[]);
    let (_opened, settings) = module.serving();
    assert_eq!(settings.generation, second);
    let policy = troubled(&daemon, "status 500");
    assert_eq!(policy["revision"], "r2");

    let log = home.log();
    assert!(!log.contains("hidden"), "{log}");
    assert!(log.contains("ERROR"), "{log}");
}

/// What the server still has, also when the daemon asks it anew.
#[test]
fn what_was_rolled_back_is_not_taken_again() {
    let server = Https::start(has(&bundle("r1"), "\"one\""));
    let home = home(&server, "");
    let mut daemon = home.start(&[]);
    in_force(&daemon, "r1");
    server.answer(has(&bundle("r2"), "\"two\""));
    let second = in_force(&daemon, "r2");
    let (status, body) = daemon.curl(&["-X", "POST"], "/v1/policy/rollback");
    assert_eq!((status, &body["revision"]), (200, &json!("r1")), "{body}");
    assert!(body["generation"].as_u64() > second["generation"].as_u64());
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());

    let before = server.asked().len();
    let daemon = home.start(&[]);
    while server.asked().len() < before + 2 {
        thread::sleep(Duration::from_millis(100));
    }
    let policy = in_force(&daemon, "r1");
    assert_eq!(policy["generation"], body["generation"]);
    server.answer(has(&bundle("r3"), "\"three\""));
    in_force(&daemon, "r3");
}

/// As `opa sign` does it with a secret.
fn signed(bundle: &Bundle) -> Bundle {
    let files: Vec<Value> = bundle
        .files()
        .map(|(name, bytes)| {
            // The manifest is written canonically here already.
            let hash = hex::encode(Sha256::digest(bytes));
            json!({"name": name, "algorithm": "SHA-256", "hash": hash})
        })
        .collect();
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!(
        "{}.{}",
        part(&json!({"alg": "HS256"})),
        part(&json!({"files": files, "scope": "write"}))
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()));
    let signatures = json!({"signatures": [format!("{message}.{signature}")]}).to_string();
    let files = bundle
        .files()
        .map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    let own = (".signatures.json".to_owned(), signatures.into_bytes());
    Bundle::from_files(files.chain([own])).unwrap()
}

#[test]
fn what_is_not_signed_as_configured_is_not_taken() {
    let server = Https::start(has(&bundle("unsigned"), "\"a\""));
    let keys = Home::new("");
    let key = keys.path().join("secret");
    write(&key, SECRET);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let more = format!(
        "key = '{}'\nalgorithm = 'HS256'\nscope = 'write'",
        key.display()
    );
    let home = home(&server, &more);
    let daemon = home.start(&[]);
    troubled(&daemon, "chmod o=");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let policy = troubled(&daemon, "not signed");
    assert_eq!(policy["revision"], "none");
    server.answer(has(&signed(&bundle("signed")), "\"b\""));
    in_force(&daemon, "signed");
    assert!(!home.log().contains(SECRET));
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_believed_until_the_configuration_is_mended() {
    let server = Https::start(has(&bundle("r1"), "\"one\""));
    let stranger = Https::start(NOTHING);
    let home = home(&server, "");
    let authorities = home.path().join("authorities.pem");
    write(&authorities, &stranger.authority);
    let daemon = home.start(&[]);
    let policy = troubled(&daemon, "certificate");
    assert_eq!(policy["revision"], "none");
    assert!(server.asked().is_empty());
    write(&authorities, &server.authority);
    daemon.signal(Signal::HUP);
    in_force(&daemon, "r1");
}
