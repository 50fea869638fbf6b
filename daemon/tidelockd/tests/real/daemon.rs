// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real daemon against a fake of the module, about real processes.

use std::{collections::HashSet, fs};

use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use crate::{
    fake::{FakeModule, hello},
    home::{Daemon, Home},
    subjects::{Subject, copy, sleeper, start},
};
use tidelock_wire::{ABI_VERSION, Decision, Hello, Mode};

const REMOTE: &str = "192.0.2.7:443";

/// A daemon's folder with a policy by which `subject` alone is left as it is.
fn listed(revision: &str) -> (Home, Subject) {
    let home = Home::new("deadline-ms = 30000");
    let subject = sleeper(home.path());
    home.policy(revision, &[&sha256(&subject)]);
    (home, subject)
}

fn sha256(subject: &Subject) -> String {
    hex::encode(Sha256::digest(fs::read(&subject.exe).unwrap()))
}

#[test]
fn questions_are_answered_by_policy() {
    let (home, subject) = listed("r1");
    home.configure("deadline-ms = 30000\nexempt = ['192.0.2.128/25']");
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&["--mode", "permissive"]);
    let (opened, settings) = module.serving();
    assert_eq!(
        (settings.mode, settings.deadline_ms),
        (Mode::Permissive, 30_000)
    );
    assert_eq!(settings.exempt.iter().count(), 1);
    let facts = subject.facts();

    opened.ask(11, facts.ask(REMOTE.parse().unwrap()));
    let (id, verdict) = opened.verdict();
    assert_eq!(
        (id, verdict.decision),
        (11, Decision::Plain),
        "{}",
        home.log()
    );
    assert_eq!(
        (verdict.ttl_ms, verdict.generation),
        (7000, settings.generation)
    );

    // Another program is refused by policy, and that may be kept.
    let other = Home::new("");
    let other = sleeper_of(&other, "/bin/cat");
    opened.ask(12, other.facts().ask(REMOTE.parse().unwrap()));
    let (id, denied) = opened.verdict();
    assert_eq!((id, denied.decision), (12, Decision::Deny));
    assert_ne!(denied.reason, verdict.reason);
    assert!(denied.ttl_ms > 0);

    // A number that was reused is refused, and that is not kept.
    let mut reused = facts.clone();
    reused.started -= 1_000_000_000;
    opened.ask(13, reused.ask(REMOTE.parse().unwrap()));
    let (id, refused) = opened.verdict();
    assert_eq!(
        (id, refused.decision, refused.ttl_ms),
        (13, Decision::Deny, 0)
    );

    assert_eq!(daemon.reason(verdict.reason), "listed");
    assert_eq!(daemon.reason(denied.reason), "not listed");
    assert!(daemon.reason(refused.reason).contains("reused"));
    let top = daemon.get("/v1/denied");
    assert_eq!(top["denied"].as_array().unwrap().len(), 2);

    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    check_audit(&home, &sha256(&subject));
}

/// One line each, in no order: a line is written after its answer.
fn check_audit(home: &Home, digest: &str) {
    let audit = home.audit();
    let line = |event: &str| {
        let found: Vec<_> = audit.iter().filter(|line| line["event"] == event).collect();
        assert_eq!(found.len(), 1, "{event}: {audit:?}");
        found[0]
    };
    let allowed = line("allowed");
    assert_eq!(allowed["exe_sha256"], digest);
    assert_eq!(allowed["mode"], "permissive");
    assert_eq!(line("denied")["reason"], "not listed");
    let detail = line("error")["detail"].as_str().unwrap();
    assert!(detail.contains("belongs to another process"), "{detail}");
    assert_eq!(audit.len(), 3);
}

/// A copy of a program that waits for its input.
fn sleeper_of(home: &Home, program: &str) -> Subject {
    let path = copy(program, home.path(), "waiter");
    start(tidelock_host::process::command(path), "waiter")
}

#[test]
fn many_questions_are_each_answered_once() {
    let (home, subject) = listed("r1");
    home.configure("deadline-ms = 60000\nconcurrent = 4");
    let module = FakeModule::load(&home.device());
    let _daemon = home.start(&[]);
    let (opened, _) = module.serving();
    let facts = subject.facts();
    let total = 500;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for id in 1..=total {
                opened.ask(id, facts.ask(REMOTE.parse().unwrap()));
            }
        });
        let mut answered = HashSet::new();
        for _ in 0..total {
            let (id, verdict) = opened.verdict();
            assert_eq!(verdict.decision, Decision::Plain, "{}", home.log());
            assert!(answered.insert(id), "{id} is answered twice");
        }
    });
}

#[test]
fn another_version_is_named_and_waited_out() {
    let (home, subject) = listed("r1");
    let module = FakeModule::load(&home.device());
    let daemon = home.start(&[]);
    let other = Hello {
        abi: ABI_VERSION + 1,
        ..hello()
    };
    let first = module.opened(other);
    assert!(first.heard().is_none(), "nothing is said to it");
    daemon.told_systemd("STATUS=Not answering: the module speaks version");
    let log = home.log();
    for version in [ABI_VERSION, ABI_VERSION + 1] {
        assert!(log.contains(&format!("version {version}")), "{log}");
    }
    // The right one is loaded in its place.
    let (opened, _) = module.serving();
    opened.ask(1, subject.facts().ask(REMOTE.parse().unwrap()));
    assert_eq!(opened.verdict().1.decision, Decision::Plain);
}

#[test]
fn a_module_that_comes_late_or_goes_is_waited_for() {
    let (home, subject) = listed("r1");
    let daemon = home.start(&[]);
    daemon.told_systemd("STATUS=Not answering");
    assert!(
        home.log().contains("is the module loaded?"),
        "{}",
        home.log()
    );
    let status = daemon.get("/v1/status");
    assert_eq!(status["device"]["state"], "waiting");
    assert_eq!(status["kernel"], serde_json::Value::Null);

    let module = FakeModule::load(&home.device());
    let (opened, first) = module.serving();
    daemon.told_systemd("STATUS=Answering");
    // A frame that is none: the daemon does not guess.
    opened.say_bytes(b"nonsense");
    let (opened, second) = module.serving();
    assert_eq!(first, second);
    assert!(home.log().contains("no frame"), "{}", home.log());
    // It goes away while a question is under way.
    opened.ask(1, subject.facts().ask(REMOTE.parse().unwrap()));
    drop(opened);
    let (opened, third) = module.serving();
    assert_eq!(first, third);
    opened.ask(2, subject.facts().ask(REMOTE.parse().unwrap()));
    assert_eq!(opened.verdict().0, 2);
    assert!(home.log().contains("has gone away"), "{}", home.log());
}

#[test]
fn a_restart_goes_on_with_the_same_generation() {
    let (home, subject) = listed("r1");
    let module = FakeModule::load(&home.device());
    let mut daemon = home.start(&[]);
    let (opened, first) = module.serving();
    let facts = subject.facts();
    opened.ask(1, facts.ask(REMOTE.parse().unwrap()));
    let (_, before) = opened.verdict();
    // Killed with a question under way.
    opened.ask(2, facts.ask(REMOTE.parse().unwrap()));
    daemon.signal(Signal::KILL);
    daemon.ended();
    drop(opened);
    let mut daemon = home.start(&[]);
    let (opened, second) = module.serving();
    assert_eq!(first, second);
    opened.ask(3, facts.ask(REMOTE.parse().unwrap()));
    let (id, after) = opened.verdict();
    assert_eq!(
        (id, after),
        (3, before),
        "the same verdict, its reason's number included"
    );
    // Another policy is another generation, before and after a restart.
    home.policy("r2", &[]);
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    drop(opened);
    let _daemon = home.start(&[]);
    let (_, third) = module.serving();
    assert_ne!(third.generation, second.generation);
}

#[test]
fn a_broken_policy_changes_nothing() {
    let (home, subject) = listed("r1");
    let module = FakeModule::load(&home.device());
    let daemon = home.start(&[]);
    let (opened, first) = module.serving();
    let facts = subject.facts();
    let ask = |id| {
        opened.ask(id, facts.ask(REMOTE.parse().unwrap()));
        opened.verdict().1
    };
    home.broken_policy();
    reload(&daemon);
    let verdict = ask(1);
    assert_eq!(
        (verdict.decision, verdict.generation),
        (Decision::Plain, first.generation)
    );
    let policy = daemon.get("/v1/policy");
    assert_eq!(policy["revision"], "r1");
    assert!(
        policy["trouble"]
            .as_str()
            .unwrap()
            .contains("decision.rego"),
        "{policy}"
    );
    // A broken configuration too.
    home.policy("r1", &[&sha256(&subject)]);
    home.configure("dead-line = 1");
    reload(&daemon);
    assert!(
        home.log().contains("unknown field `dead-line`"),
        "{}",
        home.log()
    );
    assert_eq!(ask(2).generation, first.generation);
    // Mended: the new one is in force.
    home.configure("deadline-ms = 20000");
    home.policy("r2", &[]);
    daemon.signal(Signal::HUP);
    let mut settings = opened.configured();
    while settings.generation == first.generation {
        settings = opened.configured();
    }
    assert_eq!(settings.deadline_ms, 20_000);
    let verdict = ask(3);
    assert_eq!(
        (verdict.decision, verdict.generation),
        (Decision::Deny, settings.generation)
    );
    assert_eq!(daemon.get("/v1/policy")["trouble"], serde_json::Value::Null);
}

fn reload(daemon: &Daemon) {
    daemon.signal(Signal::HUP);
    daemon.told_systemd("RELOADING=1");
    daemon.told_systemd("READY=1");
}

#[test]
fn without_a_policy_that_can_be_used_everything_is_refused() {
    let (home, subject) = listed("r1");
    home.broken_policy();
    let module = FakeModule::load(&home.device());
    let daemon = home.start(&[]);
    let (opened, _) = module.serving();
    opened.ask(1, subject.facts().ask(REMOTE.parse().unwrap()));
    let (_, verdict) = opened.verdict();
    assert_eq!((verdict.decision, verdict.ttl_ms), (Decision::Deny, 0));
    assert_eq!(daemon.get("/v1/policy")["revision"], "none");
}
