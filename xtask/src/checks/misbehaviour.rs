// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faulty modules and guests, booted for real: each must get its own named verdict.
//!
//! Faults that are found before booting are tested where they are found: those of archives in
//! `tidelock-archive`, those of a module's bytes in `tidelock-kbuild`.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use tidelock_host::files;
use tidelock_kbuild::Sources;
use tidelock_matrix::Cell;
use tidelock_model::{Status, Tier};
use tidelock_vm::run::run_cell;
use tokio_util::sync::CancellationToken;

use super::{Context, Tally, module as style};
use crate::run::{
    build::{self, Ingredients},
    cell,
    lab::{Lab, LabRequest},
    runtime,
    sources::{self, Plans},
};

/// Something that goes wrong, and what must be said of it.
struct Fault {
    /// A file of `xtask/corpus`, built as the module; none where the guest is at fault.
    module: Option<&'static str>,
    /// The test that is run.
    test: &'static str,
    /// The status it must get.
    status: Status,
    /// The named verdict that must be the first word of its detail.
    verdict: &'static str,
}

const fn module(name: &'static str, test: &'static str, verdict: &'static str) -> Fault {
    Fault {
        module: Some(name),
        test,
        status: Status::Fail,
        verdict,
    }
}

const fn guest(test: &'static str, verdict: &'static str) -> Fault {
    Fault {
        module: None,
        test,
        status: Status::Fail,
        verdict,
    }
}

const FAULTS: &[Fault] = &[
    module("refuses", "load.module", "load-refused"),
    module("oops", "load.module", "kernel-oops"),
    module("panic", "load.module", "kernel-panic"),
    module("warning", "load.module", "kernel-warning"),
    module("leaked_reference", "load.module", "leaked-reference"),
    module("leaked_memory", "load.cycles", "leaked-memory"),
    module("new_taint", "load.taint", "new-taint"),
    module("soft_lockup", "load.module", "soft-lockup"),
    module("silent_hang", "load.module", "silent-hang"),
    guest("corpus.dies_before_plan", "missing-plan"),
    guest("corpus.truncated_ktap", "truncated-ktap"),
    guest("corpus.no_verdict", "no-verdict"),
    guest("corpus.no_plan", "missing-plan"),
    guest("corpus.not_ok", "not-ok"),
    guest("corpus.silent_hang", "silent-hang"),
    guest("corpus.kernel_panic", "kernel-panic"),
    guest("corpus.init_exits", "kernel-panic"),
    guest("corpus.kmsg_lost", "scan-broken"),
    guest("corpus.no_marker", "scan-broken"),
];

/// The word on the kernel's command line that makes the guest offer its corpus.
const CORPUS: &str = "tidelock.corpus";
/// Makes a soft lockup told within seconds, and end the machine.
const WATCHDOG: [&str; 2] = ["watchdog_thresh=3", "softlockup_panic=1"];

pub(super) fn run(context: &Context) -> Result<Tally> {
    style::host(context)?;
    let plans = Plans::read(&context.root)?;
    let cells = tidelock_matrix::plan(&plans.matrix, &plans.lock, Some(Tier::Quick), &[])
        .map_err(sources::unplannable)?;
    // One kernel is enough: what is tested is the factory. A standard 6.1 has lockup detectors.
    let cell = cells
        .iter()
        .find(|cell| cell.kernel.series.to_string() == "6.1")
        .or_else(|| cells.first())
        .context("the quick tier is empty")?
        .clone();
    runtime::block_on(async {
        let request = LabRequest {
            run_dir: context.root.join("target/misbehaviour"),
            root: context.root.clone(),
            tier: Tier::Quick,
            tests: Vec::new(),
            rerun: true,
        };
        let lab = Lab::new(request, plans, sources::fetcher(&context.source)?, &cell).await?;
        cell::fetch(&lab, &cell)
            .await
            .map_err(|ending| anyhow!(ending.reason))?;
        let lab = Arc::new(lab);
        let mut tally = Tally::default();
        println!("on {}:", cell.kernel.release);
        for fault in FAULTS {
            tally += one(&lab, &cell, fault).await?;
        }
        Ok(tally)
    })
}

/// Runs one fault and prints what it got.
async fn one(lab: &Lab, cell: &Cell, fault: &Fault) -> Result<Tally> {
    let name = fault.module.unwrap_or(fault.test);
    let logs = lab.run_dir.join(name);
    let kernel = cell::unpack(lab, &cell.kernel).map_err(|ending| anyhow!(ending.reason))?;
    let module =
        tokio::task::block_in_place(|| faulty(lab, cell, fault.module.unwrap_or("refuses")))?;
    let mut spec = cell::spec(lab, kernel, module, &logs);
    spec.tests = vec![fault.test.to_owned()];
    spec.parameters = WATCHDOG
        .iter()
        .map(|word| (*word).to_owned())
        .chain([CORPUS.into()])
        .collect();
    let outcome = run_cell(
        &lab.engine,
        &spec,
        &|_: tidelock_vm::spec::Event<'_>| {},
        &CancellationToken::new(),
    )
    .await;
    let test = outcome.tests.first().context("the test has no report")?;
    let said = test.detail.split([':', ' ']).next().unwrap_or_default();
    let held = test.status == fault.status && said == fault.verdict;
    let mark = if held { "ok" } else { "WRONG" };
    println!("  {mark:<6}{name:<26}{:<6}{}", test.status, test.detail);
    if !held {
        println!(
            "        expected {} {}; logs: {}",
            fault.status,
            fault.verdict,
            logs.display()
        );
    }
    Ok(Tally::one(held))
}

/// Builds one of the faulty modules for the kernel.
fn faulty(lab: &Lab, cell: &Cell, name: &str) -> Result<std::path::PathBuf> {
    let corpus = lab.root.join("xtask/corpus");
    let mut all = BTreeMap::new();
    all.insert("Kbuild".to_owned(), files::read(&corpus.join("Kbuild"))?);
    all.insert(
        "fault.c".to_owned(),
        files::read(&corpus.join(format!("{name}.c")))?,
    );
    let sources = Sources::of(all)?;
    let root = lab
        .plans
        .lock
        .root(&cell.kernel.root)
        .context("no such build root")?;
    let with = Ingredients {
        cache: &lab.cache,
        sources: &sources,
        core: None,
        store: lab.fetcher.store(),
    };
    let logs = lab.run_dir.join(name);
    let built = build::build(&cell.kernel, root, &with, &logs, &|_| {})
        .map_err(|ending| anyhow!("{name}: {}", ending.reason))?;
    Ok(built.module.stripped)
}
