// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench connect`: what a connection costs with the module and without.

use std::{num::NonZeroU32, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use tidelock_model::{Status, TestReport};
use tidelock_vm::{
    run::run_cell,
    spec::{CellSpec, Event},
};
use tokio_util::sync::CancellationToken;

use super::{Ground, ratios::Ratios};
use crate::{exit::Exit, run::runtime};

/// The guest's test that measures, and the word that offers it (`images/guest/src/bench.rs`).
const TEST: &str = "bench.connect";
const OFFER: &str = "tidelock.bench";
const LIMIT: Duration = Duration::from_hours(1);

/// Time and memory of a connection: plain kernel, module off, verdict kept, verdict asked for
///
/// All in one guest, over its loopback, by rounds that take turns; the medians count. The guest's
/// emulated processor is slow, so it is the ratios that tell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench connect\n  \
                        cargo xtask bench connect --kernel '6.12*-cloud-amd64' --rounds 5\n  \
                        cargo xtask bench connect --json")]
pub(super) struct Connect {
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value = "15")]
    rounds: NonZeroU32,

    /// Print JSON, with what each round said
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    ground: Ground,
}

impl Connect {
    pub(super) fn run(self) -> Result<Exit> {
        let ratios = runtime::block_on(async {
            let ready = self.ground.prepare(&[]).await?;
            let spec = asked(ready.spec, self.rounds);
            let quiet = |_: Event<'_>| {};
            let cancel = CancellationToken::new();
            let outcome = run_cell(&ready.lab.engine, &spec, &quiet, &cancel).await;
            match &outcome.tests[..] {
                [test] => read(test, &spec, ready.lab.engine.accelerator.kind.as_str()),
                _ => bail!("the guest ran no bench: {}", outcome.reason),
            }
        })?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&ratios)?);
        } else {
            print!("{ratios}");
        }
        Ok(Exit::Passed)
    }
}

/// The cell, with the bench in the place of its tests.
fn asked(mut spec: CellSpec, rounds: NonZeroU32) -> CellSpec {
    spec.tests = vec![TEST.to_owned()];
    spec.parameters = vec![format!("{OFFER}={rounds}")];
    spec.limits.test = LIMIT;
    spec
}

/// What the guest measured. A kernel that was in trouble meanwhile has measured nothing.
fn read(test: &TestReport, spec: &CellSpec, accelerator: &str) -> Result<Ratios> {
    if test.status != Status::Pass {
        let logs = spec.logs.join(TEST);
        bail!("{}: {}; logs: {}", test.status, test.detail, logs.display());
    }
    let kernel = spec.kernel.release.as_str();
    Ok(Ratios::of(kernel, accelerator, &test.measured)?)
}
