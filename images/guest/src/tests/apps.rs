// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `apps.`: unmodified programs talk TCP with each other, and every connection of theirs is decided.
//!
//! Each is a scenario of its own, so that other tests can repeat it under another policy.

use std::net::SocketAddr;

use tidelock_wire::{Decision, Direction, Mode};

use super::{MIDDLE, Test, child};
use crate::{
    failure::{Checked, Failure, ensure},
    intercept::{self, Decider},
    module,
    userland::{Output, TRACING, USUAL, Userland},
};

pub(super) const TESTS: &[Test] = &[
    child("apps.curl_nginx", MIDDLE, |_| decided(curl_nginx)),
    child("apps.python_asyncio", MIDDLE, |_| decided(python_asyncio)),
    child("apps.netcat", MIDDLE, |_| decided(netcat)),
    child("apps.redis", MIDDLE, |_| decided(redis)),
    child("apps.openssh", MIDDLE, |_| decided(openssh)),
    child("apps.caddy", MIDDLE, |_| decided(caddy)),
    child("apps.bpftrace", MIDDLE, |_| bpftrace()),
    child("apps.namespaces", MIDDLE, |_| namespaces()),
];

/// What programs do with each other; returns what was found.
pub(crate) type Scenario = fn(&Userland) -> Checked<String>;

/// A scenario where nothing is left to itself: every connection is asked about, and allowed. The
/// programs must not notice.
fn decided(scenario: Scenario) -> Checked<String> {
    let userland = Userland::enter()?;
    module::load()?;
    intercept::configure(Mode::Enforce, DEADLINE_MS)?;
    let decider = Decider::start(|_| Some(Decision::Plain))?;
    let found = scenario(&userland)?;
    let seen = decider.stop()?;
    userland.leave()?;
    for direction in [Direction::Connect, Direction::Accept] {
        ensure(seen.iter().any(|one| one.direction == direction), || {
            format!("nobody was asked about a {direction:?}: {seen:?}")
        })?;
    }
    module::unload()?;
    Ok(found)
}

/// A daemon of this deadline would be slow.
const DEADLINE_MS: u32 = 30_000;

const V4: &str = "127.0.0.1";
const V6: &str = "[::1]";

fn at(host: &str, port: u16) -> Checked<SocketAddr> {
    format!("{host}:{port}")
        .parse()
        .map_err(|_| Failure::Assertion(format!("{host}:{port} is no address")))
}

/// Bytes that no program makes by itself, longer than what fits into one segment.
fn payload() -> String {
    (0..20_000u64)
        .map(|n| format!("{:x}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect()
}

fn same(got: &Output, wanted: &[u8]) -> Checked<()> {
    ensure(got.stdout == wanted, || {
        format!(
            "{} gave {} bytes that are not the {} that were sent",
            got.what,
            got.stdout.len(),
            wanted.len()
        )
    })
}

/// curl fetches a page from nginx.
pub(crate) fn curl_nginx(userland: &Userland) -> Checked<String> {
    const PORT: u16 = 8080;
    let page = payload();
    userland.write("/tmp/www/page", &page)?;
    userland.write(
        "/tmp/nginx.conf",
        "daemon off; pid /run/nginx.pid; error_log stderr; user root;\n\
         events { worker_connections 64; }\n\
         http { access_log off; server { root /tmp/www; listen 127.0.0.1:8080; listen [::1]:8080; } }\n",
    )?;
    let server = userland
        .program("/usr/sbin/nginx")
        .args(["-c", "/tmp/nginx.conf"])
        .start()?
        .listening(&[at(V4, PORT)?, at(V6, PORT)?])?;
    for host in [V4, V6] {
        let url = format!("http://{host}:{PORT}/page");
        let fetched = userland
            .program("/usr/bin/curl")
            .args(["--silent", "--show-error", "--fail", &url])
            .run()?
            .ok()?;
        same(&fetched, page.as_bytes())?;
    }
    drop(server);
    Ok(format!("{} bytes by IPv4 and by IPv6", page.len()))
}

const ECHO: &str = include_str!("echo.py");

/// Two programs of Python's asyncio, with 200 connections at once.
pub(crate) fn python_asyncio(userland: &Userland) -> Checked<String> {
    const PORT: u16 = 8090;
    userland.write("/tmp/echo.py", ECHO)?;
    let python = |role: &str, more: &[&str]| {
        let program = userland.program("/usr/bin/python3");
        program
            .args(["/tmp/echo.py", role, "127.0.0.1", "8090"])
            .args(more)
    };
    let server = python("server", &[]).start()?.listening(&[at(V4, PORT)?])?;
    let client = python("client", &["200"]).run()?.ok()?;
    drop(server);
    Ok(client.text())
}

/// One netcat sends to another, which answers.
pub(crate) fn netcat(userland: &Userland) -> Checked<String> {
    const PORT: u16 = 8100;
    let (question, answer) = (payload(), payload().to_uppercase());
    for (family, host) in [("-4", "127.0.0.1"), ("-6", "::1")] {
        let nc = || userland.program("/bin/nc.openbsd").args([family, "-N"]);
        let server = nc()
            .args(["-l", host, "8100"])
            .input(answer.as_bytes())
            .start()?
            .listening(&[at(if family == "-4" { V4 } else { V6 }, PORT)?])?;
        let client = nc()
            .args([host, "8100"])
            .input(question.as_bytes())
            .run()?
            .ok()?;
        same(&client, answer.as_bytes())?;
        same(&server.end(USUAL)?.ok()?, question.as_bytes())?;
    }
    Ok(format!(
        "{} bytes each way by IPv4 and by IPv6",
        question.len()
    ))
}

/// Redis and its command line.
pub(crate) fn redis(userland: &Userland) -> Checked<String> {
    const PORT: u16 = 6379;
    let server = userland
        .program("/usr/bin/redis-server")
        .args([
            "--bind",
            "127.0.0.1",
            "::1",
            "--port",
            "6379",
            "--dir",
            "/tmp",
        ])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .by_user(100, 100)
        .start()?
        .listening(&[at(V4, PORT)?, at(V6, PORT)?])?;
    let ask = |host: &str, words: &[&str]| {
        let program = userland
            .program("/usr/bin/redis-cli")
            .args(["-e", "-h", host]);
        Ok::<_, Failure>(program.args(words).run()?.ok()?.text())
    };
    let set = ask("127.0.0.1", &["SET", "name", "spiffe"])?;
    let got = ask("::1", &["GET", "name"])?;
    ensure((set.as_str(), got.as_str()) == ("OK", "spiffe"), || {
        format!("SET gave {set:?} and GET {got:?}")
    })?;
    let counted = ask("127.0.0.1", &["-r", "200", "INCR", "count"])?;
    drop(server);
    ensure(counted.lines().last() == Some("200"), || {
        format!("200 times INCR ended in {:?}", counted.lines().last())
    })?;
    Ok("202 commands".into())
}

/// A command through OpenSSH, with keys made here.
pub(crate) fn openssh(userland: &Userland) -> Checked<String> {
    const PORT: u16 = 8122;
    for key in ["/tmp/ssh/host", "/tmp/ssh/user"] {
        userland.write(key, "")?;
        std::fs::remove_file(key).map_err(Failure::system(format!("remove {key}")))?;
        let keygen = userland.program("/usr/bin/ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f", key])
            .run()?
            .ok()?;
    }
    let public = crate::procfs::read("/tmp/ssh/host.pub")?;
    userland.write("/tmp/ssh/known", format!("[127.0.0.1]:{PORT} {public}"))?;
    userland.write("/run/sshd/.keep", "")?;
    userland.write(
        "/tmp/ssh/config",
        "Port 8122\nListenAddress 127.0.0.1\nHostKey /tmp/ssh/host\nPidFile none\nUsePAM no\n\
         AuthorizedKeysFile /tmp/ssh/user.pub\nStrictModes no\nPasswordAuthentication no\n",
    )?;
    let server = userland
        .program("/usr/sbin/sshd")
        .args(["-D", "-e", "-f", "/tmp/ssh/config"])
        .start()?
        .listening(&[at(V4, PORT)?])?;
    let sent = payload();
    let client = userland
        .program("/usr/bin/ssh")
        .args(["-F", "none", "-i", "/tmp/ssh/user", "-p", "8122"])
        .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "UserKnownHostsFile=/tmp/ssh/known"])
        .args(["root@127.0.0.1", "tr a-f A-F"])
        .input(sent.as_bytes())
        .run()?
        .ok()?;
    drop(server);
    same(&client, sent.to_uppercase().as_bytes())?;
    Ok(format!("{} bytes through a remote command", sent.len()))
}

/// Caddy, a program of Go, as a server and as the client of another Caddy.
pub(crate) fn caddy(userland: &Userland) -> Checked<String> {
    let page = payload();
    userland.write("/tmp/www/page", &page)?;
    userland.write(
        "/tmp/Caddyfile",
        "{\n admin off\n auto_https off\n}\n\
         http://127.0.0.1:8082 {\n bind 127.0.0.1\n root * /tmp/www\n file_server\n}\n\
         http://127.0.0.1:8081 {\n bind 127.0.0.1\n reverse_proxy 127.0.0.1:8082 {\n\
         header_up Host 127.0.0.1:8082\n}\n}\n",
    )?;
    let server = userland
        .program("/usr/bin/caddy")
        .args([
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            "/tmp/Caddyfile",
        ])
        .start()?
        .listening(&[at(V4, 8081)?, at(V4, 8082)?])?;
    let fetched = userland
        .program("/usr/bin/curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "http://127.0.0.1:8081/page",
        ])
        .run()?
        .ok()?;
    drop(server);
    same(&fetched, page.as_bytes())?;
    Ok(format!("{} bytes through a proxy", page.len()))
}

/// A server in a network of its own, and who a program is inside and outside of namespaces.
fn namespaces() -> Checked<String> {
    const PORT: u16 = 8200;
    let userland = Userland::enter()?;
    userland.network("inner")?;
    let socat = || userland.program("/usr/bin/socat");
    let server = socat()
        .args(["TCP4-LISTEN:8200,bind=127.0.0.1,fork", "EXEC:/bin/true"])
        .in_network("inner")
        .start()?
        .listening(&[at(V4, PORT)?])?;
    let client = || socat().args(["-u", "/dev/null", "TCP4:127.0.0.1:8200"]);
    client().in_network("inner").run()?.ok()?;
    let outside = client().limit(USUAL).run()?;
    let said = String::from_utf8_lossy(&outside.stderr).into_owned();
    ensure(said.contains("Connection refused"), || {
        format!(
            "from another network namespace: {}, {said:?}",
            outside.status
        )
    })?;
    drop(server);
    let script = "echo $$ $(id -u) $(id -g) $ASKED";
    let bash = userland.program("/bin/bash").env("ASKED", "yes");
    let inner = bash
        .args(["-c", script])
        .by_user(1000, 1001)
        .in_own_processes();
    let inner = inner.run()?.ok()?.text();
    ensure(inner == "1 1000 1001 yes", || {
        format!("in its own process namespace the program said {inner:?}")
    })?;
    // An orphan in a session of its own, which no process group reaches.
    let orphan = userland.program("/bin/bash");
    orphan.args(["-c", "setsid sleep 600 &"]).run()?.ok()?;
    userland.leave()?;
    Ok("a network, a user and processes of its own".into())
}

/// bpftrace counts what becomes of the one connection that it has made under its eyes.
fn bpftrace() -> Checked<String> {
    // TCP_SYN_SENT and TCP_CLOSE of <net/tcp_states.h>: nobody listens.
    const REFUSED: [&str; 2] = ["@[2]: 1", "@[7]: 1"];
    let userland = Userland::enter_with(&[TRACING])?;
    let traced = userland
        .program("/usr/bin/bpftrace")
        .args(["-q", "-e"])
        .args(["tracepoint:sock:inet_sock_set_state /args.dport == 8300/ { @[args.newstate] = count(); }"])
        .args(["-c", "/usr/bin/nc.openbsd -z 127.0.0.1 8300"])
        .run()?
        .ok()?
        .text();
    ensure(REFUSED.iter().all(|line| traced.contains(line)), || {
        format!("bpftrace told {traced:?}, not of a connection that was refused")
    })?;
    userland.leave()?;
    Ok("one connection, and its end".into())
}
