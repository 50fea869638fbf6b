// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The administrators' interface and the metrics of the real daemon, by way of the real curl.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use rustix::process::Signal;
use serde_json::json;
use tidelock_host::process;
use tidelock_wire::{Mode, Settings};

use crate::{
    fake::{FakeModule, Opened},
    home::{Daemon, Home, split},
    subjects::sleeper,
};

/// A daemon that serves a fake module.
fn serving(words: &[&str]) -> (Home, FakeModule, Daemon, Opened, Settings) {
    let home = Home::new("");
    home.policy("r1", &[]);
    let module = FakeModule::load(&home.device());
    let daemon = home.start(words);
    let (opened, settings) = module.serving();
    daemon.told_systemd("STATUS=Answering");
    (home, module, daemon, opened, settings)
}

#[test]
fn the_status_tells_what_the_kernel_and_the_daemon_say() {
    let (home, _module, daemon, opened, settings) = serving(&["--mode", "permissive"]);
    let status = std::thread::scope(|scope| {
        scope.spawn(|| opened.tell_status(&settings));
        daemon.get("/v1/status")
    });
    assert_eq!(status["mode"]["mode"], "permissive");
    assert_eq!(status["mode"]["source"], "default-file");
    assert_eq!(status["mode"]["kernel"], "permissive");
    assert_eq!(status["policy"]["revision"], "r1");
    assert_eq!(status["policy"]["generation"], settings.generation);
    assert_eq!(status["device"]["state"], "serving");
    assert_eq!(
        status["device"]["module"]["capabilities"],
        json!(["ktls", "ipv6"])
    );
    assert_eq!(
        (&status["kernel"]["kept"], &status["kernel"]["denied"]),
        (&json!(3), &json!(4))
    );
    // The module goes: that is told too.
    drop(opened);
    daemon.told_systemd("STATUS=Not answering");
    let status = daemon.get("/v1/status");
    assert_eq!(
        (&status["device"]["opened"], &status["kernel"]),
        (&json!(1), &json!(null))
    );
    drop(home);
}

#[test]
fn the_mode_that_is_set_reaches_the_kernel_and_outlives_the_daemon() {
    let (home, module, mut daemon, opened, first) = serving(&["--mode", "permissive"]);
    assert_eq!(first.mode, Mode::Permissive);
    let put = |daemon: &Daemon, body: &str| daemon.curl(&["-X", "PUT", "--data", body], "/v1/mode");
    std::thread::scope(|scope| {
        let told = scope.spawn(|| opened.configured());
        let (status, body) = put(&daemon, r#"{"mode":"enforce"}"#);
        assert_eq!((status, &body["mode"]), (200, &json!("enforce")), "{body}");
        let settings = told.join().unwrap();
        assert_eq!(settings.mode, Mode::Enforce);
        assert_eq!(settings.generation, first.generation);
    });
    daemon.signal(Signal::KILL);
    daemon.ended();
    drop(opened);
    let daemon = home.start(&["--mode", "permissive"]);
    let (opened, settings) = module.serving();
    assert_eq!(settings.mode, Mode::Enforce);
    std::thread::scope(|scope| {
        let told = scope.spawn(|| opened.configured());
        let (_, body) = put(&daemon, r#"{"mode":null}"#);
        assert_eq!(
            (&body["mode"], &body["source"]),
            (&json!("permissive"), &json!("default-file"))
        );
        assert_eq!(told.join().unwrap().mode, Mode::Permissive);
    });
}

#[test]
fn what_is_not_understood_is_refused_in_words() {
    let (_home, _module, daemon, _opened, _) = serving(&[]);
    let put = |body: &str| daemon.curl(&["-X", "PUT", "--data", body], "/v1/mode");
    let post = |path: &str, body: &str| daemon.curl(&["-X", "POST", "--data", body], path);
    for ((status, body), expected, word) in [
        (put(r#"{"mode":"on"}"#), 400, "unknown variant `on`"),
        (
            put(r#"{"mode":"off","force":true}"#),
            400,
            "unknown field `force`",
        ),
        (put("off"), 400, "not understood"),
        (post("/v1/mode", "{}"), 422, "does not take POST"),
        (daemon.curl(&[], "/v1/nothing"), 404, "/v1/nothing"),
        (
            post("/v1/policy/activate", r#"{"path":"policy"}"#),
            422,
            "no absolute path",
        ),
        (
            post("/v1/policy/activate", r#"{"path":"/no/such"}"#),
            422,
            "/no/such",
        ),
        (post("/v1/policy/rollback", ""), 422, "no policy before"),
        (
            post(
                "/v1/explain",
                r#"{"pid":4194999,"direction":"connect","remote":"192.0.2.1:1"}"#,
            ),
            404,
            "ended",
        ),
    ] {
        assert_eq!(status, expected, "{word}: {body}");
        let error = body["error"].as_str().unwrap_or_default();
        assert!(error.contains(word), "{word}: {body}");
    }
    // Where there is no module there is no table.
    let (status, body) = daemon.curl(&[], "/v1/connections");
    if !Path::new("/proc/tidelock/connections").exists() {
        assert_eq!(status, 503, "{body}");
    }
}

/// What curl gets that runs as a user who is nobody.
fn as_nobody(socket: &Path, words: &[&str]) -> (u32, serde_json::Value) {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let how = ["--silent", "--show-error", "--write-out", "\n%{http_code}"];
    let mut command = process::command("setpriv");
    command
        .args(user)
        .arg("curl")
        .args(how)
        .arg("--unix-socket")
        .arg(socket)
        .args(words);
    split(&process::run(command, None).unwrap())
}

#[test]
fn who_is_not_root_may_read_and_not_change() {
    // A skip would count as a pass.
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs a second user: run it as root, as CI does"
    );
    let (home, _module, daemon, _opened, _) = serving(&[]);
    // As if it were in the socket's group.
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let socket = home.path().join("api.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "there is no group to open it to");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let curl = |words: &[&str]| as_nobody(&socket, words);
    assert_eq!(curl(&["http://t/v1/policy"]).0, 200);
    let before = daemon.get("/v1/policy");
    for words in [
        &[
            "-X",
            "PUT",
            "--data",
            r#"{"mode":"off"}"#,
            "http://t/v1/mode",
        ][..],
        &[
            "-X",
            "POST",
            "--data",
            r#"{"path":"/x"}"#,
            "http://t/v1/policy/activate",
        ],
        &[
            "-X",
            "POST",
            "--data",
            r#"{"path":"/x"}"#,
            "http://t/v1/policy/test",
        ],
        &["-X", "POST", "http://t/v1/policy/rollback"],
    ] {
        let (status, body) = curl(words);
        assert_eq!(status, 403, "{words:?}: {body}");
        assert!(
            body["error"].as_str().unwrap().contains("uid 65534"),
            "{body}"
        );
    }
    assert_eq!(daemon.get("/v1/policy"), before);
    assert!(
        home.log().contains("was refused to uid 65534"),
        "{}",
        home.log()
    );
}

#[test]
fn a_policy_is_activated_rolled_back_and_remembered() {
    let (home, module, mut daemon, opened, first) = serving(&[]);
    let post = |path: &str, body: &str| daemon.curl(&["-X", "POST", "--data", body], path);
    let other = Home::new("");
    other.policy("other", &["0"]);
    let path = json!({"path": other.path().join("policy")}).to_string();
    let (status, tested) = post("/v1/policy/test", &path);
    assert_eq!((status, &tested["tests"]), (200, &json!([])));
    let activated = std::thread::scope(|scope| {
        let told = scope.spawn(|| opened.configured());
        let (status, body) = post("/v1/policy/activate", &path);
        assert_eq!(
            (status, &body["revision"]),
            (200, &json!("other")),
            "{body}"
        );
        told.join().unwrap()
    });
    assert_eq!(activated.generation, first.generation + 1);
    let history = daemon.get("/v1/policy/history");
    let revisions: Vec<_> = history["revisions"].as_array().unwrap().iter().collect();
    assert_eq!(revisions.len(), 2);
    assert_eq!(
        (&revisions[0]["revision"], &revisions[0]["current"]),
        (&json!("other"), &json!(true))
    );
    // It stays over a restart, for the configured folder has not changed since it was taken.
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    drop(opened);
    let mut daemon = home.start(&[]);
    let (opened, settings) = module.serving();
    assert_eq!(settings.generation, activated.generation);
    let post = |path: &str, body: &str| daemon.curl(&["-X", "POST", "--data", body], path);
    std::thread::scope(|scope| {
        let told = scope.spawn(|| opened.configured());
        let (_, body) = post("/v1/policy/rollback", "");
        assert_eq!(body["revision"], "r1", "{body}");
        // Never the number that it had before.
        assert_eq!(told.join().unwrap().generation, first.generation + 2);
    });
    // What was rolled back to stays over a restart, for the folder has not changed.
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().success());
    drop(opened);
    let daemon = home.start(&[]);
    let (_opened, settings) = module.serving();
    assert_eq!(settings.generation, first.generation + 2);
    assert_eq!(daemon.get("/v1/policy")["revision"], "r1");
}

#[test]
fn a_real_process_is_explained() {
    let (home, _module, daemon, _opened, _) = serving(&[]);
    let subject = sleeper(home.path());
    let request = json!({"pid": subject.pid(), "direction": "accept", "remote": "192.0.2.9:5"});
    let (status, body) = daemon.curl(
        &["-X", "POST", "--data", &request.to_string()],
        "/v1/explain",
    );
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["decision"]["mode"], "deny");
    assert_eq!(body["decision"]["reason"], "not listed");
    assert_eq!(body["attested"]["exe"], subject.exe.to_str().unwrap());
    assert_eq!(
        body["input"]["remote"],
        json!({"ip": "192.0.2.9", "port": 0})
    );
    assert_eq!(
        body["account"]["rules"][0]["rule"],
        "data.tidelock.decision"
    );
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let (home, _module, daemon, opened, settings) = serving(&[]);
    let subject = sleeper(home.path());
    opened.ask(1, subject.facts().ask("192.0.2.7:1".parse().unwrap()));
    opened.verdict();
    // Counted after it is answered: the answer is what somebody waits for.
    while daemon.get("/v1/denied")["denied"]
        .as_array()
        .unwrap()
        .is_empty()
    {
        std::thread::yield_now();
    }
    let text = std::thread::scope(|scope| {
        scope.spawn(|| opened.tell_status(&settings));
        let mut curl = process::command("curl");
        let url = format!("http://127.0.0.1:{}/metrics", home.port());
        curl.args(["--silent", "--show-error", "--fail", &url]);
        String::from_utf8(process::run(curl, None).unwrap()).unwrap()
    });
    for line in [
        r#"tidelockd_answers_total{decision="deny",direction="connect"} 1"#,
        "tidelockd_device_up 1",
        "tidelockd_busy 0",
        r#"tidelock_kernel_total{what="denied"} 4"#,
        r#"tidelock_kernel_now{what="kept"} 3"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
