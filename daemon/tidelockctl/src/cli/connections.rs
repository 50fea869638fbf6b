// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl connections`.

use std::{fs, thread, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use tidelock_api::{ConnectionsReport, Direction, connections, paths};

use crate::{
    client::{Client, ClientError},
    exit::Exit,
    show::{Screen, put, table},
};

/// Show the connections that the kernel keeps an eye on
///
/// Without a daemon the kernel's own table is read, as far as that is allowed; reasons are shown
/// as numbers then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidelockctl connections\n  \
                        tidelockctl connections --watch\n  \
                        tidelockctl connections --json | jq '.connections[].remote'")]
pub(crate) struct Connections {
    /// Show them again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// How long to wait between, in seconds
    #[arg(long, value_name = "S", default_value_t = 1, requires = "watch")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,

    /// Print JSON: one report a line with --watch
    #[arg(long)]
    json: bool,
}

impl Connections {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        let screen = Screen::stdout();
        loop {
            let report = read(client)?;
            let text = if self.json {
                format!("{}\n", serde_json::to_string(&report)?)
            } else {
                text(&report)
            };
            if !self.watch {
                put(&text)?;
                return Ok(Exit::Good);
            }
            // Home, and all behind it away: on a terminal the table stays where it is.
            let home = if screen.terminal && !self.json {
                "\u{1b}[H\u{1b}[J"
            } else {
                ""
            };
            put(&format!("{home}{text}"))?;
            thread::sleep(Duration::from_secs(self.every));
        }
    }
}

fn read(client: &Client) -> Result<ConnectionsReport> {
    let error = match client.get(paths::CONNECTIONS) {
        Ok(report) => return Ok(report),
        Err(error) => error,
    };
    let alone = matches!(
        error.downcast_ref::<ClientError>(),
        Some(ClientError::NoDaemon(_) | ClientError::Forbidden(_))
    );
    if !alone {
        return Err(error);
    }
    let table = fs::read_to_string(connections::TABLE)
        .with_context(|| format!("{error:#}; and {} cannot be read", connections::TABLE))?;
    Ok(ConnectionsReport {
        connections: connections::parse(&table)?,
    })
}

fn text(report: &ConnectionsReport) -> String {
    let heads = [
        "ID",
        "DIRECTION",
        "STATE",
        "DECISION",
        "LOCAL",
        "REMOTE",
        "PID",
        "UID",
        "AGE",
        "COMM",
        "REASON",
    ];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(report.connections.iter().map(|of| {
        vec![
            of.id.to_string(),
            or_nothing(of.direction.map(Direction::name)),
            of.state.clone(),
            of.decision.clone(),
            or_nothing(of.local),
            or_nothing(of.remote),
            of.tgid.to_string(),
            of.uid.to_string(),
            age(of.age_ms),
            of.comm.clone(),
            of.reason_text
                .clone()
                .unwrap_or_else(|| format!("{:#x}", of.reason)),
        ]
    }));
    table(&rows)
}

fn or_nothing(value: Option<impl ToString>) -> String {
    value.map_or_else(|| connections::NOTHING.into(), |value| value.to_string())
}

fn age(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (milliseconds, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (61_000, "1m01s"),
            (3_660_000, "1h01m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(age(milliseconds), text);
        }
    }
}
