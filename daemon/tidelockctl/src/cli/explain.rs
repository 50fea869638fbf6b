// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl explain`.

use std::net::SocketAddr;

use anyhow::Result;
use clap::Args;
use tidelock_api::{Direction, ExplainReport, ExplainRequest, paths};

use crate::{
    client::Client,
    exit::Exit,
    show::{Screen, Tone, list, plain, put},
};

/// Show what would be decided for a process and an address, and why
///
/// The process is attested as if the kernel had asked, and the policy in force is asked. Nothing
/// is connected, and nothing is kept. Exits with 1 when it would be refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tidelockctl explain $(pidof -s nginx) 192.0.2.7:443\n  \
                        tidelockctl explain 812 '[2001:db8::7]:0' --accept\n  \
                        tidelockctl explain 812 192.0.2.7:443 --json | jq .input"
)]
pub(crate) struct Explain {
    /// The process
    pid: u32,

    /// The other end, such as `192.0.2.7:443` or `[2001:db8::7]:443`
    #[arg(value_name = "ADDR:PORT")]
    remote: SocketAddr,

    /// The process would accept from there, instead of connecting to it
    #[arg(long)]
    accept: bool,

    /// Its own end
    #[arg(long, value_name = "ADDR:PORT")]
    local: Option<SocketAddr>,

    /// Print JSON, with all that the policy was asked and what each rule said
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        let request = ExplainRequest {
            pid: self.pid,
            direction: if self.accept {
                Direction::Accept
            } else {
                Direction::Connect
            },
            remote: self.remote,
            local: self.local,
        };
        let report: ExplainReport = client.post(paths::EXPLAIN, &request)?;
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            put(&text(&report, Screen::stdout()))?;
        }
        Ok(Exit::good(report.decision.mode != "deny"))
    }
}

fn text(report: &ExplainReport, screen: Screen) -> String {
    let decision = &report.decision;
    let tone = if decision.mode == "deny" {
        Tone::Bad
    } else {
        Tone::Good
    };
    let mut pairs = vec![
        ("decision", screen.tone(tone, &decision.mode)),
        ("reason", plain(&decision.reason)),
    ];
    if let Some(id) = &decision.spiffe_id {
        pairs.push(("identity", plain(id)));
    }
    if !decision.peers.is_empty() {
        pairs.push(("peers", plain(&decision.peers.join(" "))));
    }
    pairs.extend([
        ("kept for", format!("{} s", decision.ttl_seconds)),
        (
            "policy",
            format!("{} ({})", plain(&report.revision), plain(&report.digest)),
        ),
    ]);
    let of = &report.attested;
    pairs.push((
        "process",
        format!("{} {}, uid {}", of.pid, plain(&of.comm), of.uid),
    ));
    for (name, value) in [
        ("executable", &of.exe),
        ("sha256", &of.exe_sha256),
        ("cgroup", &of.cgroup),
        ("unit", &of.systemd_unit),
        ("container", &of.container),
        ("pod", &of.pod),
    ] {
        if let Some(value) = value {
            pairs.push((name, plain(value)));
        }
    }
    let rules = report
        .account
        .as_ref()
        .and_then(|account| account["rules"].as_array());
    for rule in rules.into_iter().flatten() {
        let value = match &rule["value"] {
            serde_json::Value::Null => "undefined".to_owned(),
            value => value.to_string(),
        };
        let name = rule["rule"].as_str().unwrap_or_default();
        pairs.push(("rule", format!("{} = {}", plain(name), plain(&value))));
    }
    for note in &report.notes {
        pairs.push(("note", plain(note)));
    }
    list(&pairs)
}
