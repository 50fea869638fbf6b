// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The cells of a run: which locked kernels it takes.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidelock_model::{Release, Series, Tier};

use crate::{
    find::order,
    lock::{Lock, LockedKernel, MissingKernel},
    spec::{Capability, Matrix, Rule, Selection, Selector},
    strict::nearest,
};

/// A kernel of a run, and what is expected of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cell {
    /// The kernel.
    pub kernel: LockedKernel,
    /// The capabilities that the module must report there, no more and no less.
    pub expected: BTreeSet<Capability>,
    /// Its place among the kernels that the tests that take long are dealt out to; none for the
    /// others.
    pub heavy: Option<Place>,
}

/// A place in a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl Place {
    /// Whether the `nth` of what is dealt out comes here, when each goes to `each` places, one
    /// after another around the round.
    pub fn takes(self, nth: usize, each: u32) -> bool {
        let each = usize::try_from(each).map_or(self.of, |each| each.min(self.of));
        // How far behind the first place that the nth goes to.
        let first = (nth % self.of) * each % self.of;
        (self.index + self.of - first) % self.of < each
    }
}

/// Nothing sensible can be planned.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Not a pattern.
    #[error("{glob:?} is no pattern: {reason}")]
    Glob {
        /// What was given.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that fits nothing.
    #[error("no locked kernel{} fits {glob:?}{hint} `cargo xtask kernels list` shows them all", if *in_tier { " of this tier" } else { "" })]
    NoMatch {
        /// The pattern.
        glob: String,
        /// Whether only one tier was looked at.
        in_tier: bool,
        /// What was probably meant.
        hint: String,
    },
    /// A tier asks for something that is not locked.
    #[error("the tier {tier} wants a {} kernel of {}{}, and none is locked: run `cargo xtask kernels lock`, or change the tier in matrix.toml", selector.flavour, selector.series, selector.suite.as_ref().map_or_else(String::new, |suite| format!(" from {suite}")))]
    Empty {
        /// The tier.
        tier: Tier,
        /// What it asks for.
        selector: Selector,
    },
    /// The lock holds what the matrix does not know.
    #[error(
        "matrix.lock has {release} of the series {series}, which matrix.toml does not have: run `cargo xtask kernels lock`"
    )]
    Undeclared {
        /// The kernel.
        release: Release,
        /// Its series.
        series: Series,
    },
}

/// The cells that `tier` and `globs` ask for, in the lock's order.
///
/// Patterns alone look at every locked kernel, so that the command that reproduces a cell needs
/// no tier; without either it is the quick tier. Several patterns take what any of them takes.
pub fn plan(
    matrix: &Matrix,
    lock: &Lock,
    tier: Option<Tier>,
    globs: &[String],
) -> Result<Vec<Cell>, PlanError> {
    let heavy = select(matrix, lock, matrix.test.heavy_tier)?;
    let mut kernels = select(matrix, lock, tier_of(tier, globs))?;
    if !globs.is_empty() {
        kernels = filter(&kernels, &lock.missing, globs, tier.is_some())?;
    }
    kernels
        .into_iter()
        .map(|kernel| {
            let series = matrix
                .series(kernel.series)
                .ok_or_else(|| PlanError::Undeclared {
                    release: kernel.release.clone(),
                    series: kernel.series,
                })?;
            Ok(Cell {
                kernel: kernel.clone(),
                expected: series.capabilities.clone(),
                heavy: heavy
                    .iter()
                    .position(|other| *other == kernel)
                    .map(|index| Place {
                        index,
                        of: heavy.len(),
                    }),
            })
        })
        .collect()
}

/// The kernels that the same question to [`plan`] would take if the archive still served them.
///
/// They are asked for where everything is: by a tier of `"all"`, and by a pattern without a tier. A
/// tier of the newest takes what is newest of that which can be had, and misses nothing.
///
/// # Errors
/// When a pattern is none.
pub fn missing(
    matrix: &Matrix,
    lock: &Lock,
    tier: Option<Tier>,
    globs: &[String],
) -> Result<Vec<MissingKernel>, PlanError> {
    let all = match matrix.tiers.of(tier_of(tier, globs)) {
        Selection::Rule(Rule::All) => lock.missing.as_slice(),
        Selection::Rule(Rule::NewestOfEach) | Selection::Newest(_) => &[],
    };
    let patterns: Vec<_> = globs
        .iter()
        .map(|glob| pattern(glob))
        .collect::<Result<_, _>>()?;
    let asked_for = |kernel: &&MissingKernel| {
        let mut patterns = patterns.iter();
        globs.is_empty() || patterns.any(|pattern| pattern.matches(kernel.release.as_str()))
    };
    Ok(all.iter().filter(asked_for).cloned().collect())
}

/// The tier to look at.
fn tier_of(tier: Option<Tier>, globs: &[String]) -> Tier {
    match (tier, globs) {
        (Some(tier), _) => tier,
        (None, []) => Tier::Quick,
        (None, _) => Tier::Full,
    }
}

fn pattern(glob: &str) -> Result<glob::Pattern, PlanError> {
    glob::Pattern::new(glob).map_err(|error| PlanError::Glob {
        glob: glob.into(),
        reason: error.to_string(),
    })
}

fn select<'a>(
    matrix: &Matrix,
    lock: &'a Lock,
    tier: Tier,
) -> Result<Vec<&'a LockedKernel>, PlanError> {
    let mut chosen: Vec<&LockedKernel> = match matrix.tiers.of(tier) {
        Selection::Rule(Rule::All) => lock.kernels.iter().collect(),
        Selection::Rule(Rule::NewestOfEach) => newest_of_each(&lock.kernels),
        Selection::Newest(selectors) => selectors
            .iter()
            .map(|selector| {
                let fitting = lock.kernels.iter().filter(|kernel| fits(kernel, selector));
                fitting
                    .max_by(|a, b| order(a, b))
                    .ok_or_else(|| PlanError::Empty {
                        tier,
                        selector: selector.clone(),
                    })
            })
            .collect::<Result<_, _>>()?,
    };
    chosen.sort_by(|a, b| order(a, b));
    chosen.dedup();
    Ok(chosen)
}

fn fits(kernel: &LockedKernel, selector: &Selector) -> bool {
    kernel.series == selector.series
        && kernel.flavour == selector.flavour
        && selector
            .suite
            .as_ref()
            .is_none_or(|suite| *suite == kernel.suite)
}

fn newest_of_each(kernels: &[LockedKernel]) -> Vec<&LockedKernel> {
    let mut newest: BTreeMap<_, &LockedKernel> = BTreeMap::new();
    for kernel in kernels {
        let key = (&kernel.suite, kernel.series, kernel.flavour, kernel.arch);
        let known = newest.entry(key).or_insert(kernel);
        if order(known, kernel).is_lt() {
            *known = kernel;
        }
    }
    newest.into_values().collect()
}

fn filter<'a>(
    kernels: &[&'a LockedKernel],
    missing: &[MissingKernel],
    globs: &[String],
    in_tier: bool,
) -> Result<Vec<&'a LockedKernel>, PlanError> {
    let mut taken = BTreeSet::new();
    for glob in globs {
        let pattern = pattern(glob)?;
        let fitting: Vec<_> = kernels
            .iter()
            .map(|kernel| &kernel.release)
            .filter(|release| pattern.matches(release.as_str()))
            .collect();
        if fitting.is_empty() {
            let names = kernels.iter().map(|kernel| kernel.release.as_str());
            let mut gone = missing.iter().map(|kernel| &kernel.release);
            let gone = gone.find(|release| pattern.matches(release.as_str()));
            let hint = match (gone, nearest(glob, names)) {
                (Some(gone), _) => {
                    format!(": the archive did not serve {gone} any more when the lock was made.")
                }
                (None, Some(near)) => format!("; did you mean {near}?"),
                (None, None) => ".".into(),
            };
            return Err(PlanError::NoMatch {
                glob: glob.clone(),
                in_tier,
                hint,
            });
        }
        taken.extend(fitting);
    }
    Ok(kernels
        .iter()
        .copied()
        .filter(|kernel| taken.contains(&kernel.release))
        .collect())
}
