// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench connect`: what a connection costs with the module and without.

use std::{num::NonZeroU32, time::Duration};

use anyhow::{Result, bail};
use clap::Args;
use tidelock_model::{Status, TestReport};
use tidelock_vm::{
    machine::{arguments::Clock, qemu::Accel},
    run::run_cell,
    spec::{CellSpec, Event},
};
use tokio_util::sync::CancellationToken;

use super::{
    Ground,
    ratios::{Ratios, Unit},
};
use crate::{
    exit::{Exit, UsageError},
    run::runtime,
};

/// The guest's test that measures, and the word that offers it (`images/guest/src/bench.rs`).
const TEST: &str = "bench.connect";
const OFFER: &str = "tidelock.bench";
const LIMIT: Duration = Duration::from_hours(1);
const SILENCE: Duration = Duration::from_mins(2);

/// Time and memory of a connection: plain kernel, module off, verdict kept, verdict asked for
///
/// All in one guest, over its loopback, by rounds that take turns; the medians count. The guest's
/// emulated processor is slow, so it is the ratios that tell. With `--instructions` the guest's
/// clock counts what it executes: the same on every host, however busy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  cargo xtask bench connect\n  \
                        cargo xtask bench connect --instructions --rounds 3\n  \
                        cargo xtask bench connect --kernel '6.12*-cloud-amd64' --rounds 5\n  \
                        cargo xtask bench connect --json")]
pub(super) struct Connect {
    /// How often each is measured; the median counts
    #[arg(long, value_name = "N", default_value = "15")]
    rounds: NonZeroU32,

    /// Count the guest's instructions instead of time; needs TCG
    #[arg(long)]
    instructions: bool,

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
            let accelerator = ready.lab.engine.accelerator.kind;
            if self.instructions && accelerator != Accel::Tcg {
                let text = "the host's own processor does not count: leave --instructions out";
                return Err(UsageError(text.into()).into());
            }
            let spec = asked(ready.spec, self.rounds, self.clock());
            let quiet = |_: Event<'_>| {};
            let cancel = CancellationToken::new();
            let outcome = run_cell(&ready.lab.engine, &spec, &quiet, &cancel).await;
            match &outcome.tests[..] {
                [test] => read(test, &spec, accelerator.as_str()),
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

impl Connect {
    const fn clock(&self) -> Clock {
        if self.instructions {
            Clock::Instructions
        } else {
            Clock::Host
        }
    }
}

/// The cell, with the bench in the place of its tests.
fn asked(mut spec: CellSpec, rounds: NonZeroU32, clock: Clock) -> CellSpec {
    spec.tests = vec![TEST.to_owned()];
    spec.parameters = vec![format!("{OFFER}={rounds}")];
    spec.clock = clock;
    spec.limits.test = LIMIT;
    // A quarter of a second is a quarter of a thousand million instructions.
    spec.limits.silence = SILENCE;
    spec
}

/// What the guest measured. A kernel that was in trouble meanwhile has measured nothing.
fn read(test: &TestReport, spec: &CellSpec, accelerator: &str) -> Result<Ratios> {
    if test.status != Status::Pass {
        let logs = spec.logs.join(TEST);
        bail!("{}: {}; logs: {}", test.status, test.detail, logs.display());
    }
    let kernel = spec.kernel.release.as_str();
    let unit = match spec.clock {
        Clock::Host => Unit::Nanoseconds,
        Clock::Instructions => Unit::Instructions,
    };
    Ok(Ratios::of(kernel, accelerator, unit, &test.measured)?)
}
