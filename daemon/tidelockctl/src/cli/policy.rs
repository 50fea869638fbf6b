// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl policy`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tidelock_api::{ActivateRequest, HistoryReport, PolicyReport, paths};
use tidelock_policy::{Bundle, Input, TestOutcome};

use crate::{
    client::Client,
    exit::{Exit, UsageError},
    show::{Screen, Tone, plain, put, table},
};

/// Test, explain and activate policies
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Test(Test),
    Explain(Explain),
    Activate(Activate),
    Rollback(Rollback),
    History(History),
}

impl Policy {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        match self.command {
            Command::Test(command) => command.run(),
            Command::Explain(command) => command.run(),
            Command::Activate(command) => command.run(client),
            Command::Rollback(command) => command.run(client),
            Command::History(command) => command.run(client),
        }
    }
}

/// Run the tests that a bundle brings along, without a daemon
///
/// Exits with 1 when one fails, and when there are none: what is not tested has not passed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidelockctl policy test ./policy")]
struct Test {
    /// The bundle's folder
    dir: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Test {
    fn run(self) -> Result<Exit> {
        let report =
            tidelock_policy::test(&bundle(&self.dir)?).map_err(|error| wrong(&self.dir, &error))?;
        let ran = report
            .cases
            .iter()
            .any(|case| case.outcome == TestOutcome::Pass);
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            put(&format!("{}\n", plain_lines(&report.to_string())))?;
            if report.cases.is_empty() {
                put("there is no test: name rules test_… in a file beside the policy\n")?;
            }
        }
        Ok(Exit::good(ran && report.passed()))
    }
}

/// Show what a bundle decides on a question, and why, without a daemon
///
/// The question is the `input` of the rules, as JSON: see docs/policy.md, or take one from
/// `tidelockctl explain --json`. Exits with 1 when it is refused.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidelockctl explain 812 192.0.2.7:443 --json | jq .input > input.json\n  \
    tidelockctl policy explain ./policy input.json")]
struct Explain {
    /// The bundle's folder
    dir: PathBuf,

    /// The question, as JSON
    input: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Explain {
    fn run(self) -> Result<Exit> {
        let policy = tidelock_policy::Policy::load(&bundle(&self.dir)?)
            .map_err(|error| wrong(&self.dir, &error))?;
        let text = fs::read_to_string(&self.input).map_err(|error| wrong(&self.input, &error))?;
        let input: Input =
            serde_json::from_str(&text).map_err(|error| wrong(&self.input, &error))?;
        let explanation = policy
            .explain(&input)
            .context("the policy fails on this question, so that it would be refused")?;
        let mode = serde_json::json!(explanation.decision.mode);
        let allowed = mode != "deny";
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&explanation)?))?;
        } else {
            let screen = Screen::stdout();
            let tone = if allowed { Tone::Good } else { Tone::Bad };
            let decision = screen.tone(tone, mode.as_str().unwrap_or_default());
            let mut lines = vec![format!(
                "{decision}: {}\n",
                plain(&explanation.decision.reason)
            )];
            lines.extend(explanation.rules.iter().map(|rule| {
                let value = rule
                    .value
                    .as_ref()
                    .map_or_else(|| "undefined".to_owned(), ToString::to_string);
                format!("{} = {}\n", plain(&rule.rule), plain(&value))
            }));
            put(&lines.concat())?;
        }
        Ok(Exit::good(allowed))
    }
}

/// Put a bundle in force, if it loads and its tests pass
///
/// The daemon keeps a copy: the folder may change or go afterwards. Otherwise what is in force
/// stays.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sudo tidelockctl policy activate ./policy")]
struct Activate {
    /// The bundle's folder. The daemon reads it: under its unit it does not see /tmp
    dir: PathBuf,
}

impl Activate {
    fn run(self, client: &Client) -> Result<Exit> {
        let path = fs::canonicalize(&self.dir).map_err(|error| wrong(&self.dir, &error))?;
        told(&client.post(paths::ACTIVATE, &ActivateRequest { path })?)
    }
}

/// Go back to the policy before
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sudo tidelockctl policy rollback")]
struct Rollback {}

impl Rollback {
    #[expect(clippy::unused_self, reason = "as every command's")]
    fn run(self, client: &Client) -> Result<Exit> {
        told(&client.post(paths::ROLLBACK, &serde_json::json!({}))?)
    }
}

/// Show the policies that were activated, the newest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tidelockctl policy history")]
struct History {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl History {
    fn run(self, client: &Client) -> Result<Exit> {
        let report: HistoryReport = client.get(paths::HISTORY)?;
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else if report.revisions.is_empty() {
            put("none was activated: the built-in policy is in force\n")?;
        } else {
            let heads = ["", "ACTIVATED", "REVISION", "DIGEST"];
            let mut rows = vec![heads.map(str::to_owned).to_vec()];
            rows.extend(report.revisions.iter().map(|of| {
                let mark = if of.current { "*" } else { "" };
                [mark, &of.activated, &of.revision, &of.digest]
                    .map(str::to_owned)
                    .to_vec()
            }));
            put(&table(&rows))?;
        }
        Ok(Exit::Good)
    }
}

fn told(report: &PolicyReport) -> Result<Exit> {
    let (revision, digest) = (plain(&report.revision), plain(&report.digest));
    let generation = report.generation;
    put(&format!(
        "in force: {revision} ({digest}), generation {generation}\n"
    ))?;
    Ok(Exit::Good)
}

fn bundle(dir: &Path) -> Result<Bundle> {
    Bundle::from_dir(dir).map_err(|error| wrong(dir, &error))
}

/// What was named cannot be used: that is the user's to mend.
fn wrong(path: &Path, error: &dyn std::error::Error) -> anyhow::Error {
    UsageError(format!("{}: {error}", path.display())).into()
}

fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}
