// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps of `cargo xtask test`: everything that is checked, each by a name of its own.

mod fuzz;
mod matrix;
mod misbehaviour;
mod module;
mod python;
mod real;
mod source;

use std::{
    fmt::{Display, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use tidelock_host::{process, tools::Install};
use tidelock_report::{Live, Paint};

use crate::cli::options::SourceOptions;

/// What the steps need to know.
#[derive(Debug)]
pub(crate) struct Context {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// What may be done about missing host packages.
    pub(crate) install: Install,
    /// Where packages come from.
    pub(crate) source: SourceOptions,
    /// What a step says that runs beside another: kept until that has ended. None for the one
    /// that is listened to.
    kept: Option<Mutex<String>>,
    /// What did not hold, a line each: told once more at the end of all steps.
    reasons: Arc<Mutex<Vec<String>>>,
}

impl Context {
    /// For steps that are listened to.
    pub(crate) fn new(root: PathBuf, install: Install, source: SourceOptions) -> Self {
        Self {
            root,
            install,
            source,
            kept: None,
            reasons: Arc::default(),
        }
    }

    /// For steps that run beside those of this one.
    pub(crate) fn beside(&self) -> Self {
        Self {
            root: self.root.clone(),
            install: self.install,
            source: self.source.clone(),
            kept: Some(Mutex::default()),
            reasons: Arc::clone(&self.reasons),
        }
    }

    /// Whether another step is listened to.
    pub(crate) const fn is_beside(&self) -> bool {
        self.kept.is_some()
    }

    /// What shows downloads: nothing beside another step.
    fn live(&self) -> Arc<Live> {
        Arc::new(if self.is_beside() {
            Live::lines(Box::new(std::io::sink()), Paint::for_stderr())
        } else {
            Live::plain()
        })
    }

    /// One line, or several.
    pub(crate) fn say(&self, text: impl Display) {
        match &self.kept {
            None => println!("{text}"),
            Some(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // Writing to a String cannot fail.
                let _ = writeln!(kept, "{text}");
            }
        }
    }

    /// One thing that did not hold: where a step says much after it, or another step does, this
    /// stands below all of it. It may be the words of a guest: what commands a terminal is left
    /// out of it.
    pub(crate) fn blame(&self, reason: impl Display) {
        let line = reason.to_string().replace(char::is_control, " ");
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.push(line);
    }

    /// What did not hold, of every step.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        reasons.clone()
    }

    /// What was said and kept.
    pub(crate) fn kept(self) -> String {
        let kept = self.kept.unwrap_or_default().into_inner();
        kept.unwrap_or_else(PoisonError::into_inner)
    }

    /// The options to hand on to another command of the factory.
    fn arguments(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mirrors = [
            ("--debian-mirror", &self.source.debian_mirror),
            (
                "--debian-security-mirror",
                &self.source.debian_security_mirror,
            ),
        ];
        for (option, url) in mirrors {
            words.extend(url.iter().flat_map(|url| [option.to_owned(), url.clone()]));
        }
        words.extend(self.source.offline.then(|| "--offline".to_owned()));
        words.extend((self.install == Install::Never).then(|| "--no-install".to_owned()));
        words
    }
}

/// What a step found. A step of which nothing ran has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    /// Checks that held.
    pub(crate) passed: usize,
    /// Checks that did not.
    pub(crate) failed: usize,
}

impl Tally {
    /// One check.
    pub(crate) fn one(held: bool) -> Self {
        Self {
            passed: usize::from(held),
            failed: usize::from(!held),
        }
    }

    /// Whether something ran, and all of it held.
    pub(crate) const fn green(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut sum, tally| {
            sum += tally;
            sum
        })
    }
}

/// What a step does most of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nature {
    /// It keeps all processors busy.
    Computes,
    /// It boots guests, which wait for one thing or another half of their time.
    Waits,
}

/// A step of `cargo xtask test`.
pub(crate) struct Step {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// For `--list`.
    pub(crate) about: &'static str,
    /// What it does most of the time.
    pub(crate) nature: Nature,
    /// Runs it.
    pub(crate) run: fn(&Context) -> Result<Tally>,
}

/// Every step, the fastest to fail first. Those that wait run side by side, after all others.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "cargo fmt changes nothing",
        nature: Nature::Computes,
        run: source::format,
    },
    Step {
        name: "lint",
        about: "clippy and rustdoc say nothing",
        nature: Nature::Computes,
        run: source::lint,
    },
    Step {
        name: "licences",
        about: "cargo deny: user space, and the module by its own policy",
        nature: Nature::Computes,
        run: source::licences,
    },
    Step {
        name: "unit",
        about: "unit, property, snapshot, loopback and browser tests",
        nature: Nature::Computes,
        run: source::unit,
    },
    Step {
        name: "fuzz",
        about: "libFuzzer on the frames of kernel and daemon, some million runs",
        nature: Nature::Computes,
        run: fuzz::run,
    },
    Step {
        name: "module",
        about: "checkpatch and sparse on the module, for each series",
        nature: Nature::Computes,
        run: module::style,
    },
    Step {
        name: "real",
        about: "the tests of the stages that build for and boot real kernels",
        nature: Nature::Waits,
        run: real::run,
    },
    Step {
        name: "misbehaviour",
        about: "each faulty module and guest gets its own named verdict",
        nature: Nature::Waits,
        run: misbehaviour::run,
    },
    Step {
        name: "matrix",
        about: "the quick tier on real kernels, all green",
        nature: Nature::Waits,
        run: matrix::quick,
    },
];

/// Runs a command that says itself what it does; a failure is a check that did not hold.
fn passes(command: std::process::Command, context: &Context) -> Result<Tally> {
    let shown = process::show(&command);
    context.say(format_args!("$ {shown}"));
    let status = if context.is_beside() {
        let outcome = process::outcome(command, Some(&context.root))?;
        for said in [&outcome.stdout, &outcome.stderr] {
            context.say(String::from_utf8_lossy(said).trim_end());
        }
        outcome.status
    } else {
        process::passthrough(command, Some(&context.root))?
    };
    if !status.success() {
        context.blame(format_args!("{status}: {shown}"));
    }
    Ok(Tally::one(status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_beside_another_step_is_kept_commands_and_all() {
        let listened = Context::new(".".into(), Install::Never, SourceOptions::default());
        let beside = listened.beside();
        assert!(beside.is_beside() && !listened.is_beside());
        beside.say("one");
        let mut shell = process::command("sh");
        shell.args(["-c", "echo two; echo three >&2; false"]);
        assert_eq!(passes(shell, &beside).unwrap(), Tally::one(false));
        beside.blame("a\n\u{1b}[2Jb");
        assert_eq!(
            listened.reasons(),
            [
                "exit status: 1: sh -c 'echo two; echo three >&2; false'",
                "a  [2Jb"
            ]
        );
        let kept = beside.kept();
        assert_eq!(kept.lines().next(), Some("one"));
        assert!(kept.ends_with("\ntwo\nthree\n"), "{kept:?}");
        assert_eq!(listened.kept(), "");
    }

    #[test]
    fn a_step_of_which_nothing_ran_is_not_green() {
        assert!(!Tally::default().green());
        assert!(Tally::one(true).green());
        assert!(!Tally::one(false).green());
        assert!(
            ![Tally::one(true), Tally::one(false)]
                .into_iter()
                .sum::<Tally>()
                .green()
        );
    }
}
