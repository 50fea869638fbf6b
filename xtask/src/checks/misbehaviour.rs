// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faulty modules and guests, booted for real: each must get its own named verdict.
//!
//! Faults that are found before booting are tested where they are found: those of archives in
//! `tidelock-archive`, those of a module's bytes in `tidelock-kbuild`.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::{Context as _, Result, anyhow};
use tidelock_core_build::Variant;
use tidelock_host::files;
use tidelock_kbuild::{CoreObject, Sources};
use tidelock_matrix::Cell;
use tidelock_model::{Status, Tier};
use tidelock_vm::{kernel, run::run_cell, spec::Event};
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Context, Tally, module as style};
use crate::run::{
    build::{self, Ingredients},
    cell,
    core::Core,
    lab::{Lab, LabRequest},
    runtime,
    schedule::Budget,
    sources::{self, Plans},
};

/// What is put in the place of the module.
#[derive(Clone, Copy)]
enum Made {
    /// A file of `xtask/corpus`.
    Corpus(&'static str),
    /// A file of `xtask/corpus`, called so in reports, that is loaded at boot as if it were a
    /// driver of the kernel's own.
    Driver(&'static str, &'static str),
    /// The module itself, called so in reports, with a leak sewn into its C.
    Leaking(&'static str, Leak),
    /// The module itself, with a core that panics when it is told to.
    Panicking,
    /// Anything: the guest is at fault.
    Whatever,
}

/// What the module does, and never makes up for.
#[derive(Clone, Copy)]
struct Leak {
    /// A file of the module.
    file: &'static str,
    /// A line of it.
    line: &'static str,
    /// When it is done, before that line.
    when: &'static str,
    /// What is done.
    sewn: &'static str,
}

const fn at_load(sewn: &'static str) -> Leak {
    Leak {
        file: "src/main.c",
        line: "\tret = tdl_device_init();\n",
        when: "",
        sewn,
    }
}

const FORGET: &str = "{ void *volatile forgotten = kmalloc(64, GFP_KERNEL); (void)forgotten; }";
const MEMORY: Leak = at_load(FORGET);
const PAGE: Leak =
    at_load("{ struct page *volatile forgotten = alloc_page(GFP_KERNEL); (void)forgotten; }");
const REFERENCE: Leak = at_load("__module_get(THIS_MODULE);");
/// When a frame is refused for what is in it.
const REFUSED_FRAME: Leak = Leak {
    file: "src/session.c",
    line: "\tif (ret == -EPROTO || ret == -EMSGSIZE)\n",
    when: "if (ret == -EPROTO)",
    sewn: FORGET,
};
/// When an opener is refused.
const REFUSED_OPEN: Leak = Leak {
    file: "src/device.c",
    line: "\tif (test_and_set_bit_lock(TDL_DEVICE_OPEN, &tdl_device_flags))\n",
    when: "if (test_bit(TDL_DEVICE_OPEN, &tdl_device_flags))",
    sewn: FORGET,
};

/// Something that goes wrong, and what must be said of it.
struct Fault {
    made: Made,
    /// The test that is run.
    test: &'static str,
    /// The status that it must get the cell.
    status: Status,
    /// The named verdict that the test's detail must begin with; none for a pass.
    verdict: &'static str,
}

impl Fault {
    const fn name(&self) -> &'static str {
        match self.made {
            Made::Corpus(name) | Made::Driver(name, _) | Made::Leaking(name, _) => name,
            Made::Panicking => "rust_panic",
            Made::Whatever => self.test,
        }
    }
}

const fn module(name: &'static str, test: &'static str, verdict: &'static str) -> Fault {
    Fault {
        made: Made::Corpus(name),
        test,
        status: Status::Fail,
        verdict,
    }
}

const fn leak(name: &'static str, leak: Leak, test: &'static str, verdict: &'static str) -> Fault {
    Fault {
        made: Made::Leaking(name, leak),
        test,
        status: Status::Fail,
        verdict,
    }
}

const fn guest(test: &'static str, verdict: &'static str) -> Fault {
    Fault {
        made: Made::Whatever,
        test,
        status: Status::Fail,
        verdict,
    }
}

const FAULTS: &[Fault] = &[
    // The longest first, so that none is left alone at the end.
    leak("leaked_memory", MEMORY, "load.cycles", "leaked-memory"),
    leak("leaked_page", PAGE, "load.cycles", "leaked-memory"),
    leak(
        "leaked_at_refused_frame",
        REFUSED_FRAME,
        "device.refusals",
        "leaked-memory",
    ),
    leak(
        "leaked_at_refused_open",
        REFUSED_OPEN,
        "device.refusals",
        "leaked-memory",
    ),
    leak(
        "leaked_reference",
        REFERENCE,
        "load.taint",
        "leaked-reference",
    ),
    module("silent_hang", "load.module", "silent-hang"),
    guest("corpus.silent_hang", "silent-hang"),
    module("refuses", "load.module", "system-call-failed"),
    module("oops", "load.module", "kernel-oops"),
    module("panic", "load.module", "kernel-panic"),
    module("warning", "load.module", "kernel-warning"),
    module("new_taint", "load.taint", "new-taint"),
    module("late_timer", "load.module", "kernel-oops"),
    module("soft_lockup", "load.module", "soft-lockup"),
    // A kernel in trouble before the module is loaded is no ground to test the module on.
    Fault {
        made: Made::Driver("warning_at_boot", "warning"),
        test: "load.module",
        status: Status::Error,
        verdict: "not-run: kernel-warning",
    },
    // The one that must pass: a panic of the Rust core costs the module, never the host.
    Fault {
        made: Made::Panicking,
        test: "selftest.panic",
        status: Status::Pass,
        verdict: "",
    },
    guest("corpus.dies_before_plan", "guest-died"),
    guest("corpus.truncated_ktap", "truncated-ktap"),
    guest("corpus.no_verdict", "no-verdict"),
    guest("corpus.no_plan", "missing-plan"),
    guest("corpus.not_ok", "assertion-failed"),
    guest("corpus.kernel_panic", "kernel-panic"),
    guest("corpus.init_exits", "guest-died"),
    guest("corpus.kmsg_lost", "broken-scan"),
    guest("corpus.no_marker", "broken-scan"),
];

/// The words on the kernel's command line that make the guest offer its corpus, and the test
/// of a module with fault injection.
const OFFER: [&str; 2] = ["tidelock.corpus", "tidelock.fault"];
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
            live: context.live(),
            run_dir: context.root.join("target/misbehaviour"),
            root: context.root.clone(),
            tier: Tier::Quick,
            all_kernels: false,
            tests: Vec::new(),
            rerun: true,
            thorough: true,
        };
        let lab = Lab::new(request, plans, sources::fetcher(&context.source)?, &cell).await?;
        cell::fetch(&lab, &cell)
            .await
            .map_err(|ending| anyhow!(ending.reason))?;
        context.say(format_args!("on {}:", cell.kernel.release));
        all(Arc::new(lab), Arc::new(cell), context).await
    })
}

/// Runs all faults side by side: they are guests that wait to be found out, most of the time.
async fn all(lab: Arc<Lab>, cell: Arc<Cell>, context: &Context) -> Result<Tally> {
    let jobs = Budget::of_host().jobs(None).get();
    // Beside another step there are guests enough.
    let jobs = if context.is_beside() {
        jobs.div_ceil(2)
    } else {
        jobs
    };
    let permits = Arc::new(Semaphore::new(jobs));
    let mut tasks = JoinSet::new();
    for fault in FAULTS {
        let (lab, cell, permits) = (Arc::clone(&lab), Arc::clone(&cell), Arc::clone(&permits));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            one(&lab, &cell, fault).await
        });
    }
    let mut tally = Tally::default();
    while let Some(done) = tasks.join_next().await {
        let (held, told) = done??;
        if !held {
            context.blame(told.trim());
        }
        context.say(told);
        tally += Tally::one(held);
    }
    Ok(tally)
}

/// Runs one fault; whether it got what it must, and what to say of it.
async fn one(lab: &Arc<Lab>, cell: &Arc<Cell>, fault: &'static Fault) -> Result<(bool, String)> {
    let logs = lab.run_dir.join(fault.name());
    let unpacked = cell::unpack(lab, &cell.kernel).map_err(|ending| anyhow!(ending.reason))?;
    let core = match fault.made {
        Made::Panicking => Some(lab.core_variant(Variant::FaultInjection).await?),
        Made::Leaking(..) => Some(lab.core().await?),
        Made::Corpus(_) | Made::Driver(..) | Made::Whatever => None,
    };
    let built = {
        let (lab, cell) = (Arc::clone(lab), Arc::clone(cell));
        tokio::task::spawn_blocking(move || build_fault(&lab, &cell, fault, core.as_deref()))
    };
    let module = built.await??;
    let mut spec = cell::spec(lab, unpacked, module.clone(), &logs);
    if let Made::Driver(name, _) = fault.made {
        spec.kernel.modules.push(kernel::Module {
            name: name.to_owned(),
            path: module,
        });
    }
    spec.tests = vec![fault.test.to_owned()];
    spec.extra.clear();
    spec.parameters = WATCHDOG
        .iter()
        .chain([&OFFER[0]])
        .map(|word| (*word).to_owned())
        .collect();
    if matches!(fault.made, Made::Panicking) {
        spec.parameters.push(OFFER[1].to_owned());
    }
    let quiet = |_: Event<'_>| {};
    let outcome = run_cell(&lab.engine, &spec, &quiet, &CancellationToken::new()).await;
    let test = outcome.tests.first().context("the test has no report")?;
    let held = outcome.status == fault.status && names(&test.detail, fault.verdict);
    let mark = if held { "ok" } else { "WRONG" };
    let (name, got, detail) = (fault.name(), outcome.status, &test.detail);
    let told = format!("  {mark:<6}{name:<26}{got:<6}{detail}");
    let told = if held {
        told
    } else {
        let (expected, verdict, logs) = (fault.status, fault.verdict, logs.display());
        format!("{told}\n        expected {expected} {verdict}; logs: {logs}")
    };
    Ok((held, told))
}

/// Whether a detail begins with this verdict: all of its last word, too.
fn names(detail: &str, verdict: &str) -> bool {
    let rest = detail.strip_prefix(verdict);
    verdict.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ' ']))
}

/// Builds what is put in the place of the module.
fn build_fault(lab: &Lab, cell: &Cell, fault: &Fault, core: Option<&Core>) -> Result<PathBuf> {
    let sources = match fault.made {
        Made::Corpus(name) | Made::Driver(_, name) => corpus(lab, name)?,
        Made::Whatever => corpus(lab, "refuses")?,
        Made::Panicking => lab.sources.clone(),
        Made::Leaking(_, leak) => leaking(&lab.sources, leak)?,
    };
    let root = lab
        .plans
        .lock
        .root(&cell.kernel.root)
        .context("no such build root")?;
    let with = Ingredients {
        cache: &lab.cache,
        sources: &sources,
        core: core.map(|core| CoreObject {
            bytes: &core.bytes,
            sha256: core.sha256,
        }),
        store: lab.fetcher.store(),
    };
    let logs = lab.run_dir.join(fault.name());
    let built = build::build(&cell.kernel, root, &with, &logs, &|_| {})
        .map_err(|ending| anyhow!("{}: {}", fault.name(), ending.reason))?;
    Ok(built.module.stripped)
}

/// A module of the corpus, alone.
fn corpus(lab: &Lab, name: &str) -> Result<Sources> {
    let corpus = lab.root.join("xtask/corpus");
    let mut all = BTreeMap::new();
    all.insert("Kbuild".to_owned(), files::read(&corpus.join("Kbuild"))?);
    all.insert(
        "fault.c".to_owned(),
        files::read(&corpus.join(format!("{name}.c")))?,
    );
    Ok(Sources::of(all)?)
}

/// Our module, with `leak` sewn into it.
fn leaking(sources: &Sources, leak: Leak) -> Result<Sources> {
    let Leak {
        file,
        line,
        when,
        sewn,
    } = leak;
    let mut sources = sources.clone();
    let text = sources
        .files
        .get_mut(file)
        .with_context(|| format!("no {file}"))?;
    let before = String::from_utf8(std::mem::take(text))?;
    anyhow::ensure!(
        before.matches(line).count() == 1,
        "{file} does not have the line {line:?} once, to sew the leak to"
    );
    let after = before.replace(line, &format!("{when} {sewn}\n{line}"));
    *text = format!("#include <linux/slab.h>\n{after}").into_bytes();
    Ok(sources)
}
