// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real command line against the real daemon, which runs in a thread of the test and speaks
//! with a fake of the module.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail by panicking"
)]

#[path = "../../tidelockd/tests/real/fake.rs"]
#[expect(
    dead_code,
    reason = "shared with the daemon's own tests, which use all of it"
)]
mod fake;
#[path = "../../tidelockd/tests/real/subjects.rs"]
#[expect(
    dead_code,
    reason = "shared with the daemon's own tests, which use all of it"
)]
mod subjects;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
};

use fake::{FakeModule, Opened};
use subjects::sleeper;
use tidelock_api::Mode;
use tidelock_host::process;
use tidelock_wire::{Answer, Request, Settings};
use tidelockd::{
    admin::socket,
    config::{Config, Source},
    device::Place,
    run::{Start, run},
};

struct Home {
    dir: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a daemon and the module, and waits until the settings are in force.
    fn serve(&self) -> (FakeModule, Opened, Settings) {
        let at = self.dir.path().display();
        let text = format!(
            "state-dir = '{at}/state'\nruntime-dir = '{at}/run'\n\
             [audit]\nfile = '{at}/audit'\nto-journal = false\n[metrics]\nenabled = false\n"
        );
        let module = FakeModule::load(&self.path("device"));
        let start = Start {
            config: Config::parse(Path::new("test"), &text).unwrap(),
            source: Source::Implicit,
            default_file: Some(Mode::Permissive),
            place: Place::Fake(self.path("device")),
            admin: socket::make(&self.path("api.sock"), "no-such-group").unwrap(),
            metrics: None,
        };
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(run(start)).unwrap();
        });
        let (opened, settings) = module.serving();
        (module, opened, settings)
    }

    fn ctl(&self, words: &[&str]) -> Command {
        let mut command = process::command(env!("CARGO_BIN_EXE_tidelockctl"));
        command
            .arg("--socket")
            .arg(self.path("api.sock"))
            .args(words);
        command
    }

    /// Exit code, output, errors.
    fn run(&self, words: &[&str]) -> (i32, String, String) {
        let outcome = process::outcome(self.ctl(words), None).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = outcome.status.code().expect("it ends by itself");
        (code, text(outcome.stdout), text(outcome.stderr))
    }

    fn policy(&self, name: &str, test: &str) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, text: &str| {
            let mut file = fs::File::create(folder.join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write(".manifest", &format!("{{\"revision\": \"{name}\"}}"));
        write(
            "decision.rego",
            "package tidelock\n\
             default decision := {\"mode\": \"deny\", \"reason\": \"no\"}\n\
             decision := {\"mode\": \"plain\", \"reason\": \"yes\"} if input.remote.port == 443\n",
        );
        write(
            "decision_test.rego",
            &format!("package tidelock_test\n{test}\n"),
        );
        folder
    }
}

/// Answers whatever is asked from now on; each settings that are put in force are sent on.
fn attend(opened: Opened, mut settings: Settings) -> Receiver<Settings> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        while let Some(frame) = opened.heard() {
            if let Request::Configure(other) = frame.message {
                settings = other;
                let _ = send.send(settings);
            }
            opened.say(frame.id, Answer::Status(fake::status(&settings)));
        }
    });
    receive
}

const PASSES: &str = "test_port if data.tidelock.decision.mode == \"plain\" with input as \
                      {\"remote\": {\"port\": 443}}";

#[test]
fn status_and_mode_are_told_and_set() {
    let home = Home::new();
    let (_module, opened, settings) = home.serve();
    let (code, text, errors) = std::thread::scope(|scope| {
        scope.spawn(|| opened.tell_status(&settings));
        home.run(&["status"])
    });
    assert_eq!(code, 0, "{text}{errors}");
    for word in [
        "answering the kernel",
        "permissive (by the default file)",
        "built in",
        "ktls ipv6",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(
        !text.contains('\u{1b}'),
        "no colours where nobody sees them"
    );
    // The kernel has something else in force: that is not healthy.
    let other = Settings {
        generation: settings.generation + 1,
        ..settings
    };
    let (code, text, _) = std::thread::scope(|scope| {
        scope.spawn(|| opened.tell_status(&other));
        home.run(&["status", "--json"])
    });
    assert_eq!(code, 1, "{text}");
    let told = attend(opened, settings);
    let (code, text, errors) = home.run(&["mode", "enforce"]);
    assert_eq!(told.recv().unwrap().mode, tidelock_wire::Mode::Enforce);
    assert_eq!(
        (code, text.as_str()),
        (0, "enforce (set by hand, until the next boot)\n"),
        "{errors}"
    );
    let (code, _, errors) = home.run(&["mode", "enforced"]);
    assert_eq!(code, 2, "{errors}");
    assert!(errors.contains("off, permissive or enforce"), "{errors}");
}

#[test]
fn a_process_is_explained_with_the_exit_code_of_the_answer() {
    let home = Home::new();
    let (_module, _opened, _) = home.serve();
    let good = home.policy("good", PASSES);
    let (code, text, errors) = home.run(&["policy", "activate", good.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}{errors}");
    assert!(text.starts_with("in force: good ("), "{text}");
    let subject = sleeper(home.dir.path());
    let pid = subject.pid().to_string();
    let (code, text, _) = home.run(&["explain", &pid, "192.0.2.7:443"]);
    assert_eq!(code, 0, "{text}");
    for word in [
        "plain",
        "yes",
        subject.exe.to_str().unwrap(),
        "data.tidelock.decision",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let (code, text, _) = home.run(&["explain", &pid, "[2001:db8::7]:80", "--accept", "--json"]);
    assert_eq!(code, 1, "{text}");
    let report: tidelock_api::ExplainReport = serde_json::from_str(&text).unwrap();
    assert_eq!(report.decision.reason, "no");
    // What it was asked can be asked of any bundle, without a daemon.
    let input = home.path("input.json");
    fs::File::create(&input)
        .unwrap()
        .write_all(report.input.to_string().as_bytes())
        .unwrap();
    let words = [
        "policy",
        "explain",
        good.to_str().unwrap(),
        input.to_str().unwrap(),
    ];
    let (code, text, errors) = home.run(&words);
    assert_eq!(
        (code, text.lines().next()),
        (1, Some("deny: no")),
        "{errors}"
    );
    let (code, _, errors) = home.run(&["explain", "4194999", "192.0.2.7:443"]);
    assert_eq!(code, 3);
    assert!(errors.contains("ended"), "{errors}");
}

#[test]
fn policies_are_tested_activated_and_rolled_back() {
    let home = Home::new();
    let (_module, _opened, _) = home.serve();
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (first, second) = (
        path(&home.policy("first", PASSES)),
        path(&home.policy("second", PASSES)),
    );
    let failing = path(&home.policy("failing", "test_never if false"));
    let untested = path(&home.policy("untested", ""));
    assert_eq!(home.run(&["policy", "test", &first]).0, 0);
    let (code, text, _) = home.run(&["policy", "test", &failing]);
    assert_eq!(code, 1);
    assert!(
        text.contains("decision_test.rego:2: data.tidelock_test.test_never: FAIL"),
        "{text}"
    );
    assert_eq!(
        home.run(&["policy", "test", &untested]).0,
        1,
        "nothing tested is no pass"
    );
    assert_eq!(home.run(&["policy", "test", "/no/such"]).0, 2);

    assert!(home.run(&["policy", "history"]).1.contains("built-in"));
    assert_eq!(home.run(&["policy", "activate", &first]).0, 0);
    assert_eq!(home.run(&["policy", "activate", &second]).0, 0);
    let (code, _, errors) = home.run(&["policy", "activate", &failing]);
    assert_eq!(code, 3);
    assert!(errors.contains("test_never"), "{errors}");
    let (_, text, _) = home.run(&["policy", "history"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].starts_with('*') && lines[1].contains("second"),
        "{text}"
    );
    let (code, text, _) = home.run(&["policy", "rollback"]);
    assert_eq!(
        (code, text.starts_with("in force: first ")),
        (0, true),
        "{text}"
    );
    assert_eq!(
        home.run(&["policy", "rollback"]).0,
        3,
        "there is none before"
    );
}

#[test]
fn without_a_daemon_it_says_so() {
    let home = Home::new();
    for words in [&["status"][..], &["top"], &["mode"], &["policy", "history"]] {
        let (code, text, errors) = home.run(words);
        assert_eq!((code, text.as_str()), (3, ""), "{words:?}");
        assert!(errors.contains("is it running?"), "{errors}");
    }
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let home = Home::new();
    let mut command = home.ctl(&["completions", "bash"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let outcome = child.wait_with_output().unwrap();
    assert_eq!(outcome.status.code(), Some(0));
    assert_eq!(String::from_utf8(outcome.stderr).unwrap(), "");
}
