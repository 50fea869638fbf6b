// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl top`.

use anyhow::Result;
use clap::Args;
use tidelock_api::{DeniedReport, paths};

use crate::{
    client::Client,
    exit::Exit,
    show::{put, table},
};

/// Show who was refused most, since the daemon started
///
/// Counts what the kernel asked and was told to refuse. It keeps verdicts and does not ask each
/// time: there may have been more connections.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidelockctl top\n  tidelockctl top --limit 3")]
pub(crate) struct Top {
    /// How many to show
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Top {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        let mut report: DeniedReport = client.get(paths::DENIED)?;
        let hidden = report.denied.split_off(self.limit.min(report.denied.len()));
        report.others += hidden.iter().map(|row| row.count).sum::<u64>();
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            put(&text(&report))?;
        }
        Ok(Exit::Good)
    }
}

fn text(report: &DeniedReport) -> String {
    if report.denied.is_empty() && report.others == 0 {
        return "nobody was refused\n".into();
    }
    let heads = ["COUNT", "UID", "DIRECTION", "REMOTE", "WHO", "REASON"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(report.denied.iter().map(|row| {
        vec![
            row.count.to_string(),
            row.uid.to_string(),
            row.direction.name().to_owned(),
            row.remote.clone(),
            row.who.clone(),
            row.reason.clone(),
        ]
    }));
    let others = match report.others {
        0 => String::new(),
        others => format!("{others} more of others\n"),
    };
    table(&rows) + &others
}
