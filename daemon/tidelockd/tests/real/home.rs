// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The real daemon, as a process, in a folder of its own; and what administrators see of it, by
//! way of the real curl.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tidelock_host::process;

/// A folder with all that a daemon wants.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

/// A daemon that runs.
pub(crate) struct Daemon {
    child: Child,
    home: PathBuf,
    notify: UnixDatagram,
}

impl Home {
    /// With this at the beginning of its configuration.
    pub(crate) fn new(config: &str) -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        home.configure(config);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn device(&self) -> PathBuf {
        self.path().join("device")
    }

    /// Writes the configuration, with all paths in this folder.
    pub(crate) fn configure(&self, config: &str) {
        let folder = self.path().join("policy");
        let policy = format!("[policy]\nbundle = '{}'\n", folder.display());
        self.configure_policy(config, &policy);
    }

    /// The same, with this about where the policy is.
    pub(crate) fn configure_policy(&self, config: &str, policy: &str) {
        let at = self.path().display();
        let text = format!(
            "{config}\nstate-dir = '{at}/state'\nruntime-dir = '{at}/run'\n{policy}\
             [admin]\nsocket = '{at}/api.sock'\ngroup = 'no-such-group'\n\
             [audit]\nfile = '{at}/audit.jsonl'\nto-journal = false\n\
             [metrics]\nlisten = '127.0.0.1:{}'\n",
            self.port()
        );
        write(&self.path().join("tidelockd.toml"), &text);
    }

    /// Found once, and kept for the daemons of this folder.
    pub(crate) fn port(&self) -> u16 {
        let path = self.path().join("port");
        if let Ok(text) = fs::read_to_string(&path) {
            return text.parse().unwrap();
        }
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        write(&path, &port.to_string());
        port
    }

    /// Writes a policy: what is `plain` is left as it is, by the digest of its executable.
    pub(crate) fn policy(&self, revision: &str, plain: &[&str]) {
        let folder = self.path().join("policy");
        let manifest = serde_json::json!({"revision": revision, "roots": ["tidelock"]});
        write(&folder.join(".manifest"), &manifest.to_string());
        write(
            &folder.join("decision.rego"),
            &format!(
                "package tidelock\n\
                 default decision := {{\"mode\": \"deny\", \"reason\": \"not listed\"}}\n\
                 decision := {{\"mode\": \"plain\", \"reason\": \"listed\", \"ttl_seconds\": 7}} if \
                 input.process.exe_sha256 in {}\n",
                serde_json::json!(plain)
            ),
        );
    }

    /// Writes something that is no policy.
    pub(crate) fn broken_policy(&self) {
        write(
            &self.path().join("policy/decision.rego"),
            "package tidelock\ndecision := {\n",
        );
    }

    /// Starts the daemon with a fake device.
    pub(crate) fn start(&self, words: &[&str]) -> Daemon {
        let socket = self.path().join("notify.sock");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path().join("log"))
            .unwrap();
        let mut command = process::command(env!("CARGO_BIN_EXE_tidelockd"));
        command
            .arg("--config")
            .arg(self.path().join("tidelockd.toml"))
            .arg("--fake-device")
            .arg(self.device())
            .args(words)
            .env("NOTIFY_SOCKET", &socket)
            .env_remove("TIDELOCK_MODE")
            .stderr(log);
        let daemon = Daemon {
            child: command.spawn().unwrap(),
            home: self.path().to_owned(),
            notify,
        };
        daemon.told_systemd("READY=1");
        daemon
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path().join("log")).unwrap()
    }

    /// The lines of the audit.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path().join("audit.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Daemon {
    /// Waits until it has told systemd this.
    pub(crate) fn told_systemd(&self, wanted: &str) {
        let mut buffer = [0; 4096];
        loop {
            let len = self.notify.recv(&mut buffer).unwrap_or_else(|error| {
                let log = fs::read_to_string(self.home.join("log"));
                panic!(
                    "{wanted} was not told: {error}\n{}",
                    log.unwrap_or_default()
                )
            });
            let text = String::from_utf8_lossy(&buffer[..len]);
            if text.lines().any(|line| line.starts_with(wanted)) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Asks it by curl: status and body.
    pub(crate) fn curl(&self, words: &[&str], path: &str) -> (u32, Value) {
        let mut curl = process::command("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60"])
            .args(["--write-out", "\n%{http_code}", "--unix-socket"])
            .arg(self.home.join("api.sock"))
            .args(words)
            .arg(format!("http://tidelockd{path}"));
        split(&process::run(curl, None).unwrap())
    }

    /// What the number of a reason means, as administrators are told.
    pub(crate) fn reason(&self, number: u32) -> String {
        let reasons = self.get("/v1/reasons");
        let all = reasons["reasons"].as_array().unwrap();
        let found = all.iter().find(|reason| reason["number"] == number);
        found.unwrap()["text"].as_str().unwrap().to_owned()
    }

    /// Asks for something that it must have.
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, body) = self.curl(&[], path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body and, on a line of its own behind it, the status.
pub(crate) fn split(output: &[u8]) -> (u32, Value) {
    let text = String::from_utf8(output.to_vec()).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.into()));
    (status.parse().unwrap(), body)
}

/// Writes a file, and its folder.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}
