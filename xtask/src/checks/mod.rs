// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The steps of `cargo xtask test`: everything that is checked, each by a name of its own.

mod fuzz;
mod matrix;
mod misbehaviour;
mod module;
mod python;
mod real;
mod source;

use std::path::PathBuf;

use anyhow::Result;
use tidelock_host::{process, tools::Install};

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
}

impl Context {
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

/// A step of `cargo xtask test`.
pub(crate) struct Step {
    /// For `--only`.
    pub(crate) name: &'static str,
    /// For `--list`.
    pub(crate) about: &'static str,
    /// Runs it.
    pub(crate) run: fn(&Context) -> Result<Tally>,
}

/// Every step, the fastest to fail first.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "format",
        about: "cargo fmt changes nothing",
        run: source::format,
    },
    Step {
        name: "lint",
        about: "clippy and rustdoc say nothing",
        run: source::lint,
    },
    Step {
        name: "licences",
        about: "cargo deny: user space, and the module by its own policy",
        run: source::licences,
    },
    Step {
        name: "unit",
        about: "unit, property, snapshot, loopback and browser tests",
        run: source::unit,
    },
    Step {
        name: "fuzz",
        about: "libFuzzer on the frames of kernel and daemon, some million runs",
        run: fuzz::run,
    },
    Step {
        name: "module",
        about: "checkpatch and sparse on the module, for each series",
        run: module::style,
    },
    Step {
        name: "real",
        about: "the tests of the stages that build for and boot real kernels",
        run: real::run,
    },
    Step {
        name: "misbehaviour",
        about: "each faulty module and guest gets its own named verdict",
        run: misbehaviour::run,
    },
    Step {
        name: "matrix",
        about: "the quick tier on real kernels, all green",
        run: matrix::quick,
    },
];

/// Runs a command with our own output; a failure is a check that did not hold.
fn passes(command: std::process::Command, context: &Context) -> Result<Tally> {
    println!("$ {}", process::show(&command));
    Ok(Tally::one(
        process::passthrough(command, Some(&context.root))?.success(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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
