// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SVIDs for real processes, by the node's own authority. Their keys are made here by the code
//! that makes them in the kernel.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::process::Signal;
use serde_json::{Value, json};
use tidelock_tls::{
    Allowed, Expected, Identity, NoEntropy, Platform, SecretKey, SessionState, SpiffeId, Trust,
    TrustDomain, accept, connect,
};
use tidelock_wire::{Answer, Bundle, Certificate, Decision, Issued, Peer, Scope, Sign, Terms};

use crate::{
    fake::{FakeModule, Opened},
    home::{Daemon, Home, write},
    subjects::{Facts, Subject, program, sleeper, start},
};

/// The kernel, as far as keys need it.
#[derive(Debug)]
struct Host;

impl Platform for Host {
    fn fill_random(out: &mut [u8]) -> Result<(), NoEntropy> {
        SystemRandom::new().fill(out).map_err(|_| NoEntropy)
    }

    fn unix_time() -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.unwrap().as_secs()
    }
}

const REMOTE: &str = "192.0.2.7:443";
const ID: &str = "spiffe://example.org/sleeper";
const PEER: &str = "spiffe://example.org/db";
const DOMAIN: &str = "[svid]\ntrust-domain = 'example.org'\nscope = 'workload'\n";

/// A folder with a policy by which the sleeper in it is somebody, and nobody else is.
fn home(svid: &str) -> (Home, Subject) {
    let home = Home::new("");
    let folder = home.path().join("policy");
    let policy = format!("[policy]\nbundle = '{}'\n{svid}", folder.display());
    home.configure_policy("deadline-ms = 30000", &policy);
    let subject = sleeper(home.path());
    let decision = json!({
        "mode": "mtls", "spiffe_id": ID, "peers": [PEER, "spiffe://example.com/*"],
        "reason": "it sleeps", "ttl_seconds": 7,
    });
    let exe = json!(subject.exe);
    let rules = format!(
        "package tidelock\n\
         default decision := {{\"mode\": \"plain\", \"reason\": \"nobody\"}}\n\
         decision := {decision} if input.process.exe == {exe}\n"
    );
    write(&folder.join("decision.rego"), &rules);
    (home, subject)
}

/// What the kernel does for a process whose verdict was mTLS.
fn request(opened: &Opened, id: u64, facts: &Facts, key: &SecretKey, name: &str) {
    let name = SpiffeId::parse(name).unwrap();
    let csr = key.request(&name).unwrap();
    let ask = facts.ask(REMOTE.parse().unwrap());
    opened.say(id, Answer::Sign(Sign { ask, csr: &csr }));
}

fn key() -> SecretKey {
    SecretKey::generate::<Host>().unwrap()
}

/// The reason why number `id` was not issued.
fn refused(daemon: &Daemon, opened: &Opened, id: u64) -> String {
    match opened.issued() {
        (found, Issued::Refused(number)) if found == id => daemon.reason(number),
        other => panic!("{other:?}"),
    }
}

fn issued(opened: &Opened, id: u64) -> Vec<&'static [u8]> {
    match opened.issued() {
        (found, Issued::Svid(chain)) if found == id => chain.iter().map(Certificate::der).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_process_gets_the_identity_that_policy_gives_it() {
    let (home, subject) = home(DOMAIN);
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&[]);
    let (opened, _) = module.serving();
    // Before it is asked anything: who vouches for the SVIDs that it will issue.
    let bundles = opened.bundles();
    let [bundle] = bundles.as_slice() else {
        panic!("{bundles:?}");
    };
    assert_eq!(bundle.domain.as_str(), "example.org");
    let facts = subject.facts();
    opened.ask(11, facts.ask(REMOTE.parse().unwrap()));
    let (_, verdict) = opened.verdict();
    let Decision::Mtls(Terms { scope, own, peers }) = verdict.decision else {
        panic!("{verdict:?}\n{}", home.log());
    };
    assert_eq!((scope, own.as_str()), (Scope::Workload, ID));
    let peers: Vec<String> = peers.iter().map(|peer| named(&peer)).collect();
    assert_eq!(peers, [PEER, "example.com"]);

    let key = key();
    request(&opened, 1, &facts, &key, ID);
    let chain = issued(&opened, 1);
    assert_eq!(chain.len(), 2, "the leaf and its intermediate");
    // As the kernel takes it: the key fits, and the name is the one.
    let identity = Identity::new(key, chain.iter().copied()).unwrap();
    assert_eq!(identity.spiffe_id().as_str(), ID);
    shakes_hands(&identity, bundle);
    let status = daemon.get("/v1/status");
    let expected = json!({
        "trust_domain": "example.org", "trouble": null, "issued": 1, "refused": 0,
    });
    assert_eq!(status["authority"], expected);
    check_files(&home);

    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    let lines = home.audit();
    let line = lines.iter().find(|line| line["event"] == "issued").unwrap();
    assert_eq!(
        (&line["spiffe_id"], &line["reason"]),
        (&json!(ID), &json!("it sleeps"))
    );
    let serial = line["svid_serial"].as_str().unwrap();
    assert!(
        contains(chain[0], &hex::decode(serial).unwrap()),
        "{serial}"
    );
    let until = line["svid_not_after"].as_str().unwrap();
    assert!(until.ends_with('Z'), "{until}");
}

/// As the kernel does, with somebody of the same authority: by the bundle that it was told.
fn shakes_hands(identity: &Identity, bundle: &Bundle<'_>) {
    let domain: TrustDomain = bundle.domain.into();
    let roots = bundle.authorities.iter().map(Certificate::der);
    let trust = Trust::nobody().with_bundle(domain.clone(), roots).unwrap();
    let trust = Arc::new(trust);
    let expected = || Expected::any_of([Allowed::Domain(domain.clone())]);
    let mut client = connect::<Host>(identity, Arc::clone(&trust), expected()).unwrap();
    let mut server = accept::<Host>(identity, trust, expected()).unwrap();
    server.receive(&client.take_output()).unwrap();
    client.receive(&server.take_output()).unwrap();
    server.receive(&client.take_output()).unwrap();
    assert_eq!(server.state(), SessionState::Open);
}

fn named(peer: &Peer<'_>) -> String {
    match peer {
        Peer::Workload(id) => id.as_str().to_owned(),
        Peer::Domain(domain) => domain.as_str().to_owned(),
    }
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// Nobody else may read keys.
fn check_files(home: &Home) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = home.path().join("state/authority");
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.clone()), 0o700);
    let files = fs::read_dir(&folder).unwrap();
    let files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for file in files {
        assert_eq!(mode(file), 0o600);
    }
}

#[test]
fn nobody_gets_the_identity_of_another() {
    let (home, subject) = home(DOMAIN);
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&[]);
    let (opened, _) = module.serving();
    let (facts, key) = (subject.facts(), key());

    // Another name than the one that was decided.
    request(&opened, 1, &facts, &key, PEER);
    let why = refused(&daemon, &opened, 1);
    assert_eq!(why, "svid: the request is not what was decided");

    // A process that policy gives no identity.
    let other = Home::new("");
    let mut command = tidelock_host::process::command(program(other.path(), "other"));
    command.arg("1000");
    let nobody = start(command, "other");
    request(&opened, 2, &nobody.facts(), &key, ID);
    let why = refused(&daemon, &opened, 2);
    assert_eq!(why, "svid: policy gives the process no identity");

    // A number that another process has by now.
    let mut reused = facts.clone();
    reused.started -= 1_000_000_000;
    request(&opened, 3, &reused, &key, ID);
    let why = refused(&daemon, &opened, 3);
    assert!(why.contains("reused"), "{why}");

    // What is no request at all.
    let ask = facts.ask(REMOTE.parse().unwrap());
    opened.say(4, Answer::Sign(Sign { ask, csr: b"none" }));
    let why = refused(&daemon, &opened, 4);
    assert_eq!(why, "svid: the request is not what was decided");

    let authority = &daemon.get("/v1/status")["authority"];
    assert_eq!(
        (&authority["issued"], &authority["refused"]),
        (&json!(0), &json!(4))
    );
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    let unissued = |line: &&Value| line["event"] == "unissued";
    let lines = home.audit();
    let details: Vec<&str> = lines
        .iter()
        .filter(unissued)
        .map(|line| line["detail"].as_str().unwrap())
        .collect();
    assert_eq!(details.len(), 4, "{lines:?}");
    let wanted = format!("the request is for {PEER}, and {ID} was decided");
    assert!(details.contains(&wanted.as_str()), "{details:?}");
}

#[test]
fn who_signed_yesterday_signs_tomorrow() {
    let (home, subject) = home(DOMAIN);
    let module = FakeModule::load(&home.device());
    let facts = subject.facts();
    let intermediate = |daemon: &mut Daemon| {
        let (opened, _) = module.serving();
        request(&opened, 1, &facts, &key(), ID);
        let chain = issued(&opened, 1);
        daemon.signal(Signal::KILL);
        daemon.ended();
        chain[1]
    };
    let first = intermediate(&mut home.start(&[]));
    let second = intermediate(&mut home.start(&[]));
    assert!(first == second, "a restart keeps the authority");
}

#[test]
fn an_authority_that_is_none_signs_nothing_and_says_so() {
    let (home, subject) = home("");
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&[]);
    let (opened, _) = module.serving();
    let facts = subject.facts();
    request(&opened, 1, &facts, &key(), ID);
    let why = refused(&daemon, &opened, 1);
    assert_eq!(why, "svid: no trust domain is configured");
    assert_eq!(
        daemon.get("/v1/status")["authority"]["trouble"],
        Value::Null
    );
    daemon.signal(Signal::KILL);
    daemon.ended();
    drop(opened);

    // Damaged: the daemon decides on, and signs nothing.
    let folder = home.path().join("policy");
    let policy = format!("[policy]\nbundle = '{}'\n{DOMAIN}", folder.display());
    home.configure_policy("deadline-ms = 30000", &policy);
    let authority = home.path().join("state/authority");
    let mut make = tidelock_host::process::command("install");
    make.args(["-d", "-m", "700"]).arg(&authority);
    tidelock_host::process::run(make, None).unwrap();
    let mut make = tidelock_host::process::command("install");
    make.args(["-m", "600", "/dev/null"])
        .arg(authority.join("root.pem"));
    tidelock_host::process::run(make, None).unwrap();
    let daemon = home.start(&[]);
    let (opened, _) = module.serving();
    request(&opened, 2, &facts, &key(), ID);
    let why = refused(&daemon, &opened, 2);
    assert_eq!(why, "svid: the authority cannot be used");
    let trouble = daemon.get("/v1/status")["authority"]["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("root.pem"), "{trouble}");
    opened.ask(3, facts.ask(REMOTE.parse().unwrap()));
    assert!(matches!(opened.verdict().1.decision, Decision::Mtls(_)));

    // Mended: it is tried again, without a restart.
    fs::remove_file(authority.join("root.pem")).unwrap();
    for id in 10.. {
        request(&opened, id, &facts, &key(), ID);
        match opened.issued() {
            (_, Issued::Svid(_)) => break,
            (_, Issued::Refused(_)) => std::thread::sleep(Duration::from_millis(200)),
        }
        assert!(id < 300, "{}", home.log());
    }
    let trouble = &daemon.get("/v1/status")["authority"]["trouble"];
    assert_eq!(trouble, &Value::Null);
}
