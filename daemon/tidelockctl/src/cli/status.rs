// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `tidelockctl status`.

use anyhow::Result;
use clap::Args;
use tidelock_api::{
    AuthorityReport, Counts, DeviceState, KernelReport, ModeSource, StatusReport, paths,
};

use crate::{
    client::Client,
    exit::Exit,
    show::{Screen, Tone, list, plain, put},
};

/// Show mode, policy, the way to the kernel, and what was counted
///
/// Exits with 1 unless the kernel is answered, and has in force what it is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  tidelockctl status\n  \
                        tidelockctl status --json | jq .kernel.denied")]
pub(crate) struct Status {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(crate) fn run(self, client: &Client) -> Result<Exit> {
        let report: StatusReport = client.get(paths::STATUS)?;
        if self.json {
            put(&format!("{}\n", serde_json::to_string(&report)?))?;
        } else {
            put(&text(&report, Screen::stdout()))?;
        }
        Ok(Exit::good(report.healthy()))
    }
}

fn text(report: &StatusReport, screen: Screen) -> String {
    let (state, tone) = match report.device.state {
        DeviceState::Serving => ("answering the kernel", Tone::Good),
        DeviceState::Opening => ("opening", Tone::Odd),
        DeviceState::Waiting => ("not answering the kernel", Tone::Bad),
    };
    let policy = &report.policy;
    let mut pairs = vec![
        ("state", screen.tone(tone, state)),
        ("device", plain(&report.device.path)),
    ];
    if let Some(trouble) = &report.device.trouble {
        pairs.push(("trouble", screen.tone(Tone::Bad, trouble)));
    }
    if let Some(module) = &report.device.module {
        let offers = module.capabilities.join(" ");
        pairs.push((
            "module",
            format!("{} ({})", plain(&module.version), plain(&offers)),
        ));
    }
    pairs.extend([
        ("mode", mode(report, screen)),
        (
            "policy",
            format!("{} ({})", plain(&policy.revision), plain(&policy.source)),
        ),
        ("digest", plain(&policy.digest)),
        ("generation", policy.generation.to_string()),
    ]);
    if let Some(trouble) = &policy.trouble {
        pairs.push(("trouble", screen.tone(Tone::Bad, trouble)));
    }
    if let Some(told) = signed(&report.authority) {
        pairs.push(("authority", told));
    }
    if let Some(trouble) = &report.authority.trouble {
        pairs.push(("trouble", screen.tone(Tone::Bad, trouble)));
    }
    let counts = &report.counts;
    pairs.push(("answers", answered(counts)));
    if counts.audit_suppressed > 0 {
        let told = format!("{} lines left out", counts.audit_suppressed);
        pairs.push(("audit", screen.tone(Tone::Odd, &told)));
    }
    if let Some(kernel) = &report.kernel {
        pairs.push(("kernel", counted(kernel)));
    }
    pairs.push((
        "daemon",
        format!("{} since {}", report.version, report.started),
    ));
    list(&pairs)
}

fn answered(of: &Counts) -> String {
    let (answered, denied, errors, busy) = (of.answered, of.denied, of.errors, of.busy);
    format!("{answered}, of these {denied} denied and {errors} refused on error; {busy} under way")
}

fn signed(of: &AuthorityReport) -> Option<String> {
    let domain = plain(of.trust_domain.as_ref()?);
    let (issued, refused) = (of.issued, of.refused);
    let told = format!("{domain}; {issued} SVIDs issued, {refused} refused");
    Some(told)
}

fn mode(report: &StatusReport, screen: Screen) -> String {
    let mode = &report.mode;
    let source = source(mode.source);
    match mode.kernel {
        Some(kernel) if kernel != mode.mode => {
            let told = format!(
                "{} is to be in force ({source}), and {kernel} is",
                mode.mode
            );
            screen.tone(Tone::Bad, &told)
        }
        Some(_) => format!("{} ({source})", mode.mode),
        None => format!(
            "{} ({source}); what the kernel has in force is not known",
            mode.mode
        ),
    }
}

/// Who set a mode, for people.
pub(super) const fn source(source: ModeSource) -> &'static str {
    match source {
        ModeSource::Administrator => "set by hand, until the next boot",
        ModeSource::DefaultFile => "by the default file",
        ModeSource::Configuration => "by the configuration",
        ModeSource::BuiltIn => "built in",
    }
}

fn counted(of: &KernelReport) -> String {
    format!(
        "{} connects, {} accepts, {} hits, {} asks; {} allowed, {} denied, {} would be denied; \
         {} timeouts, {} overflows, {} late, {} stale, {} dropped; {} wait, {} verdicts kept",
        of.connects,
        of.accepts,
        of.hits,
        of.asks,
        of.allowed,
        of.denied,
        of.would_deny,
        of.timeouts,
        of.overflows,
        of.late,
        of.stale,
        of.dropped,
        of.waiting,
        of.kept
    )
}
