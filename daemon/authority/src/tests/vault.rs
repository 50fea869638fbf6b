// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Vault that is a fake: it answers as the documentation of its HTTP API says, over real TLS on
//! loopback, and signs by an authority of ours. Vault itself is in no registry that is reached.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use pem::Pem;
use serde_json::{Value, json};
use tidelock_https::testing::{Bytes, Request as Asked, Response, Server, header};

use super::{NOW, at, id, open, request};
use crate::{Embedded, IssueError, Issuer as _, Request, Svid, SvidError, Vault, VaultConfig};

/// Where the answers come from: the request, and its body.
type Answering = Box<dyn FnMut(&Asked<Bytes>, &Value) -> (u16, Value) + Send>;

struct Bench {
    server: Server,
    dir: tempfile::TempDir,
    authority: Arc<Embedded>,
}

fn pem(der: &[u8]) -> String {
    pem::encode(&Pem::new("CERTIFICATE", der))
}

/// As Vault signs: by the CSR that it was given, with the chain to the root, which is in it.
fn signs(authority: &Embedded, body: &Value) -> (u16, Value) {
    signs_at(authority, body, NOW)
}

fn signs_at(authority: &Embedded, body: &Value, now: u64) -> (u16, Value) {
    let csr = pem::parse(body["csr"].as_str().unwrap()).unwrap();
    assert_eq!(csr.tag(), "CERTIFICATE REQUEST");
    let request = Request::check(csr.contents(), &id()).unwrap();
    let chain = authority.sign(&request, at(now)).unwrap();
    let root = &authority.trust().authorities[0];
    let chain: Vec<String> = chain.iter().chain([root]).map(|der| pem(der)).collect();
    let (leaf, rest) = chain.split_first().unwrap();
    let data = json!({
        "certificate": leaf, "issuing_ca": rest[0], "ca_chain": rest,
        "serial_number": "39:dd", "expiration": 1_800_003_600_u64,
    });
    let answer = json!({
        "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": data, "auth": null, "warnings": null,
    });
    (200, answer)
}

impl Bench {
    async fn new(answering: impl FnOnce(Arc<Embedded>) -> Answering) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Arc::new(open(&dir.path().join("authority"), NOW).unwrap());
        let mut answering = answering(Arc::clone(&authority));
        let server = Server::start(move |asked| {
            let body = serde_json::from_slice(asked.body()).unwrap();
            let (status, answer) = answering(&asked, &body);
            let mut response = Response::builder().status(status);
            if status == 307 {
                response = response.header(header::LOCATION, "/elsewhere");
            }
            response.body(Bytes::from(answer.to_string())).unwrap()
        })
        .await;
        put(&dir.path().join("token"), "s.secret\n");
        Self {
            server,
            dir,
            authority,
        }
    }

    fn config(&self) -> VaultConfig {
        VaultConfig {
            url: self.server.url("/base/"),
            mount: "team/pki/".into(),
            role: "node".into(),
            namespace: None,
            token: self.dir.path().join("token"),
            authorities: Some(self.server.authority.clone().into_bytes()),
            timeout: Duration::from_secs(30),
            lifetime: Duration::from_hours(1),
        }
    }

    async fn issue(&self, change: impl FnOnce(&mut VaultConfig)) -> Result<Svid, IssueError> {
        let mut config = self.config();
        change(&mut config);
        let vault = Vault::new(config).unwrap();
        let (request, trust) = (request(), self.authority.trust());
        vault.issue(&request, &trust, at(NOW)).await
    }
}

fn put(path: &Path, text: &str) {
    tidelock_durable::write(path, text.as_bytes(), 0o600).unwrap();
}

/// Changes what a Vault that signs well says.
fn changed(change: fn(&mut Value)) -> impl FnOnce(Arc<Embedded>) -> Answering {
    move |authority| {
        Box::new(move |_, body| {
            let (status, mut answer) = signs(&authority, body);
            change(&mut answer["data"]);
            (status, answer)
        })
    }
}

#[tokio::test]
async fn a_vault_is_asked_as_its_documentation_says_and_its_answer_is_taken() {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = Arc::clone(&asked);
    let bench = Bench::new(|authority| {
        Box::new(move |asked, body| {
            let header = |name: &str| asked.headers().get(name).map(|v| v.to_str().unwrap());
            let mut told = json!({
                "method": asked.method().as_str(), "path": asked.uri().path(),
                "agent": header("x-vault-request"), "token": header("x-vault-token"), "namespace": header("x-vault-namespace"),
            });
            for field in ["uri_sans", "ttl", "format", "exclude_cn_from_sans"] {
                told[field] = body[field].clone();
            }
            log.lock().unwrap().push(told);
            signs(&authority, body)
        })
    })
    .await;
    let svid = bench.issue(|_| ()).await.unwrap();
    assert_eq!(svid.chain.len(), 2, "the root is left out");
    assert_eq!(svid.validity.to, at(NOW + 3600));
    put(&bench.dir.path().join("token"), "s.renewed");
    let namespace = |config: &mut VaultConfig| config.namespace = Some("ns1".into());
    bench.issue(namespace).await.unwrap();
    let question = |token, namespace| {
        json!({
            "method": "POST", "path": "/base/v1/team/pki/sign/node", "agent": "true", "token": token,
            "namespace": namespace, "uri_sans": "spiffe://example.org/db", "ttl": "3600s",
            "format": "pem", "exclude_cn_from_sans": true,
        })
    };
    assert_eq!(
        *asked.lock().unwrap(),
        [
            question("s.secret", None::<&str>),
            question("s.renewed", Some("ns1"))
        ]
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_vaults_own_words_and_without_the_token() {
    let refuse = |_| -> Answering {
        Box::new(|_, _| (403, json!({"errors": ["1 error:\n\t* permission denied"]})))
    };
    let bench = Bench::new(refuse).await;
    let told = bench.issue(|_| ()).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "the upstream answers with status 403: 1 error:  * permission denied"
    );
    // Nor is a secret sent where the server would have it.
    let elsewhere = |_| -> Answering { Box::new(|_, _| (307, json!({}))) };
    let bench = Bench::new(elsewhere).await;
    let told = bench.issue(|_| ()).await.unwrap_err().to_string();
    assert_eq!(
        told,
        "the upstream answers with status 307: it sends us elsewhere: ask the active node itself"
    );
}

#[tokio::test]
async fn what_is_no_answer_is_none() {
    for (change, told) in [
        (
            (|data: &mut Value| data["certificate"] = json!(7)) as fn(&mut Value),
            "invalid type",
        ),
        (|data| *data = json!({}), "missing field `certificate`"),
        (|data| data["certificate"] = json!("none"), "not in PEM"),
        (|data| data["ca_chain"] = json!([""]), "not in PEM"),
    ] {
        let error = Bench::new(changed(change)).await.issue(|_| ()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, IssueError::Answer { .. }), "{error:?}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn without_its_intermediate_or_by_another_authority_it_is_not_taken() {
    let bench = Bench::new(changed(|data| data["ca_chain"] = json!([]))).await;
    bench.issue(|_| ()).await.unwrap();
    let both = |data: &mut Value| {
        data["ca_chain"] = json!([]);
        data["issuing_ca"] = json!(null);
    };
    let error = Bench::new(changed(both)).await.issue(|_| ()).await;
    assert!(matches!(
        error,
        Err(IssueError::Svid(SvidError::Path { .. }))
    ));
    let stranger = |_| -> Answering {
        let dir = tempfile::tempdir().unwrap();
        let other = open(dir.path(), NOW).unwrap();
        Box::new(move |_, body| signs(&other, body))
    };
    let error = Bench::new(stranger).await.issue(|_| ()).await;
    assert!(matches!(
        error,
        Err(IssueError::Svid(SvidError::Path { .. }))
    ));
}

#[tokio::test]
async fn a_token_is_one_word_in_a_file() {
    let bench = Bench::new(changed(|_| ())).await;
    for bad in ["", "\n", "two words", "b\u{e4}d", &"x".repeat(5000)] {
        put(&bench.dir.path().join("token"), bad);
        let error = bench.issue(|_| ()).await.unwrap_err();
        assert!(matches!(error, IssueError::Secret { .. }), "{error:?}");
    }
    let token = bench.dir.path().join("token");
    put(&token, "s.secret");
    fs::set_permissions(&token, Permissions::from_mode(0o604)).unwrap();
    let error = bench.issue(|_| ()).await.unwrap_err();
    assert!(
        matches!(error, IssueError::Open { mode: 0o604, .. }),
        "{error}"
    );
    // A link to one is as good.
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    let link = bench.dir.path().join("link");
    std::os::unix::fs::symlink("token", &link).unwrap();
    bench.issue(|config| config.token = link).await.unwrap();
    // What never ends is not read to its end, and a pipe is not waited for.
    let endless = |config: &mut VaultConfig| config.token = "/dev/zero".into();
    let error = bench.issue(endless).await.unwrap_err();
    assert!(
        matches!(error, IssueError::Open { .. } | IssueError::Secret { .. }),
        "{error}"
    );
    let nowhere = |config: &mut VaultConfig| config.token = "/nowhere/token".into();
    let error = bench.issue(nowhere).await.unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/token"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused() {
    let bench = Bench::new(changed(|_| ())).await;
    let refused = |change: fn(&mut VaultConfig)| {
        let mut config = bench.config();
        change(&mut config);
        Vault::new(config).err().unwrap().to_string()
    };
    assert!(refused(|config| config.url = "http://vault".into()).starts_with("url: "));
    for mount in ["", "/pki", "a//b", "a/../b", "."] {
        let mut config = bench.config();
        config.mount = mount.into();
        let told = Vault::new(config).err().unwrap().to_string();
        assert!(told.starts_with("mount: "), "{told}");
    }
    assert!(refused(|config| config.role = String::new()).starts_with("role: "));
    for role in ["a/b", "..", "."] {
        let mut config = bench.config();
        config.role = role.into();
        let told = Vault::new(config).err().unwrap().to_string();
        assert!(told.starts_with("role: "), "{told}");
    }
    assert!(refused(|config| config.lifetime = Duration::ZERO).starts_with("lifetime: "));
    assert!(refused(|config| config.authorities = Some(vec![])).starts_with("authorities: "));
}

/// A server that does not backdate, and takes its time: what it signs is not valid yet when it is
/// asked, and is when it answers.
#[tokio::test]
async fn an_answer_is_judged_by_the_time_at_which_it_came() {
    let later = |authority: Arc<Embedded>| -> Answering {
        Box::new(move |_, body| {
            thread::sleep(Duration::from_millis(1200));
            signs_at(&authority, body, NOW + 61)
        })
    };
    let bench = Bench::new(later).await;
    let svid = bench.issue(|_| ()).await.unwrap();
    assert_eq!(svid.validity.from, at(NOW + 1));
}
