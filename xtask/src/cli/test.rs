// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test`: everything CI runs.

use std::{
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use tidelock_host::process;
use tokio::sync::oneshot;

use super::options::{self, HostOptions, SourceOptions};
use crate::{
    checks::{Context, Nature, STEPS, Step, Tally},
    exit::{Exit, UsageError},
    run::runtime,
};

/// Run every check of the repository, as CI does
///
/// All steps run, also after one failed. The last lines say what did not hold, and count the
/// checks.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --list\n  \
                        cargo xtask test --only format --only lint"
)]
pub(crate) struct Test {
    /// Run this step alone; may be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,

    /// List the steps
    #[arg(long)]
    list: bool,

    #[command(flatten)]
    source: SourceOptions,

    #[command(flatten)]
    host: HostOptions,
}

impl Test {
    pub(crate) fn run(self) -> Result<Exit> {
        if self.list {
            for step in STEPS {
                println!("{:<14}{}", step.name, step.about);
            }
            return Ok(Exit::Passed);
        }
        let steps = chosen(&self.only)?;
        let context = Context::new(options::checkout(), self.host.install(), self.source);
        interruptible(move || run_all(&steps, &context))
    }
}

/// Runs `work` on a thread of its own, while this one listens for Ctrl-C: some steps only wait
/// for a child, and what that child has started must end as well.
fn interruptible(work: impl FnOnce() -> Exit + Send + 'static) -> Result<Exit> {
    let (tell, told) = oneshot::channel();
    let worker = thread::spawn(move || {
        // Nobody hears it once the run was interrupted.
        let _ = tell.send(work());
    });
    let ended = runtime::block_on(async { told.await.context("the steps fell over") });
    if ended.is_err() {
        // Its children are dead: it takes back what it had half done, and ends.
        let start = Instant::now();
        while !worker.is_finished() && start.elapsed() < runtime::PATIENCE {
            thread::sleep(Duration::from_millis(20));
        }
    }
    ended
}

/// Runs every step, also after one failed, unless the run is interrupted.
fn run_all(steps: &[&Step], context: &Context) -> Exit {
    let (computing, waiting): (Vec<&Step>, Vec<&Step>) = steps
        .iter()
        .partition(|step| step.nature == Nature::Computes);
    let mut results = Vec::new();
    for step in computing {
        results.push((step, run_step(step, context)));
        if process::is_cancelled() {
            return Exit::Interrupted;
        }
    }
    results.extend(side_by_side(&waiting, context));
    if process::is_cancelled() {
        return Exit::Interrupted;
    }
    let total: Tally = results.iter().map(|(_, tally)| *tally).sum();
    let red: Vec<&str> = results
        .iter()
        .filter(|(_, tally)| !tally.green())
        .map(|(step, _)| step.name)
        .collect();
    if !red.is_empty() {
        println!("\nfailed: {}", red.join(", "));
        for reason in context.reasons() {
            println!("  {reason}");
        }
    }
    println!(
        "\ntidelock: {} passed, {} failed",
        total.passed, total.failed
    );
    if red.is_empty() {
        Exit::Passed
    } else {
        Exit::Failed
    }
}

/// Runs the last of these steps, which is listened to, and beside it the others, one after
/// another; what those said is told when all have ended.
fn side_by_side<'a>(steps: &[&'a Step], context: &Context) -> Vec<(&'a Step, Tally)> {
    let Some((last, others)) = steps.split_last() else {
        return Vec::new();
    };
    thread::scope(|scope| {
        let beside = scope.spawn(|| {
            let run = |step: &&'a Step| {
                let context = context.beside();
                let tally = run_step(step, &context);
                (*step, tally, context.kept())
            };
            others.iter().map(run).collect::<Vec<_>>()
        });
        let last = (*last, run_step(last, context));
        let others = beside.join().unwrap_or_else(|panic| resume_unwind(panic));
        let told = others.into_iter().map(|(step, tally, kept)| {
            print!("{kept}");
            (step, tally)
        });
        told.chain([last]).collect()
    })
}

/// Runs one step; one that could not be run counts as one failed check.
fn run_step(step: &Step, context: &Context) -> Tally {
    context.say(format_args!("\n== {}: {}", step.name, step.about));
    let started = Instant::now();
    let tally = (step.run)(context).unwrap_or_else(|error| {
        context.say(format_args!("error: {error:#}"));
        context.blame(format_args!("{}: {error:#}", step.name));
        Tally::one(false)
    });
    // A step of which nothing ran is a failed check too.
    let tally = if tally == Tally::default() {
        Tally::one(false)
    } else {
        tally
    };
    let verdict = if tally.green() { "ok" } else { "FAILED" };
    let time = started.elapsed();
    context.say(format_args!("== {}: {verdict} ({time:.0?})", step.name));
    tally
}

fn chosen(only: &[String]) -> Result<Vec<&'static Step>> {
    if let Some(unknown) = only
        .iter()
        .find(|name| STEPS.iter().all(|step| step.name != **name))
    {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        let text = format!(
            "there is no step {unknown:?}; the steps are {}",
            names.join(", ")
        );
        return Err(UsageError(text).into());
    }
    Ok(STEPS
        .iter()
        .filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn steps_that_wait_run_beside_the_last_of_them_and_all_count() {
        static FIRST: Barrier = Barrier::new(2);
        fn step(name: &'static str, run: fn(&Context) -> Result<Tally>) -> Step {
            Step {
                name,
                about: "",
                nature: Nature::Waits,
                run,
            }
        }
        let steps = [
            step("meets", |context| {
                FIRST.wait();
                Ok(Tally::one(context.is_beside()))
            }),
            step("fails", |_| anyhow::bail!("on purpose")),
            step("listened", |context| {
                FIRST.wait();
                Ok(Tally::one(!context.is_beside()))
            }),
        ];
        let context = Context::new(
            ".".into(),
            tidelock_host::tools::Install::Never,
            SourceOptions::default(),
        );
        let results = side_by_side(&steps.iter().collect::<Vec<_>>(), &context);
        let green: Vec<_> = results
            .iter()
            .map(|(step, tally)| (step.name, tally.green()))
            .collect();
        assert_eq!(
            green,
            [("meets", true), ("fails", false), ("listened", true)]
        );
        assert_eq!(context.reasons(), ["fails: on purpose"]);
        assert!(side_by_side(&[], &context).is_empty());
        let alone = side_by_side(&[&steps[1]], &context);
        assert!(!alone[0].1.green());
    }

    #[test]
    fn only_what_is_named_runs_and_unknown_names_are_refused() {
        assert_eq!(chosen(&[]).unwrap().len(), STEPS.len());
        let names: Vec<_> = chosen(&["unit".into(), "format".into()])
            .unwrap()
            .iter()
            .map(|step| step.name)
            .collect();
        assert_eq!(names, ["format", "unit"], "in the order of the list");
        let error = chosen(&["lints".into()]).err().unwrap();
        assert!(error.to_string().contains("format, lint"), "{error}");
        assert_eq!(Exit::of(&error), Exit::Usage);
    }
}
