// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of tests: one file an area.

mod apps;
mod corpus;
mod daemon;
mod device;
mod frames;
mod identities;
mod load;
mod policy;
mod selftest;
mod shakes;
mod shares;
mod svids;
mod tracing;
mod traffic;

use std::{fmt::Display, io::Write as _, time::Duration};

use crate::{
    bench,
    control::Heart,
    failure::{Checked, Failure},
    procfs,
    run::Stage,
};

/// Said on the kernel's command line when the module was built to panic on request.
const FAULT: &str = "tidelock.fault";
/// Said on the kernel's command line when the guest is to misbehave.
const CORPUS: &str = "tidelock.corpus";

/// For a test of some system calls.
const SHORT: Duration = Duration::from_mins(3);
/// For a test of programs of the distribution, on a busy host without hardware virtualisation.
const MIDDLE: Duration = Duration::from_mins(8);
/// For a test of hundreds of repetitions, on a busy host without hardware virtualisation: less than
/// what the host allows (`test-seconds`), so that it is the guest that says what hangs.
const LONG: Duration = Duration::from_mins(14);

/// For measurements, as many as are asked for.
const BENCH: Duration = Duration::from_hours(1);

/// A test.
pub(crate) struct Test {
    /// Dotted, the area first.
    pub(crate) name: &'static str,
    /// How long it may take before it counts as hung.
    pub(crate) limit: Duration,
    /// When it is offered.
    offered: Offered,
    /// Whether it may follow another in the same machine.
    pub(crate) shares: bool,
    /// Whether it runs the project's own programs: others spare a machine their megabytes.
    programs: bool,
    /// What it does.
    pub(crate) act: Act,
}

/// What a test does.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    /// Something a child process can do; returns what was found.
    Child(fn(&mut Report) -> Checked<String>),
    /// Something that only PID 1 can do: to misbehave towards the host.
    Machine(fn(&mut Stage, &Heart) -> Checked<()>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offered {
    Always,
    WithFault,
    WithoutFault,
    WithCorpus,
    WithBench,
}

const TESTS: &[&[Test]] = &[
    load::TESTS,
    traffic::TESTS,
    tracing::TESTS,
    apps::TESTS,
    daemon::TESTS,
    // Those that share a machine stand together.
    device::TESTS,
    identities::TESTS,
    selftest::TESTS,
    shares::TESTS,
    svids::TESTS,
    shakes::TESTS,
    policy::TESTS[0],
    policy::TESTS[1],
    policy::TESTS[2],
    policy::TESTS[3],
    policy::TESTS[4],
    policy::TESTS[5],
    policy::TESTS[6],
    policy::TESTS[7],
    policy::TESTS[8],
    policy::TESTS[9],
    corpus::TESTS,
    MEASUREMENTS,
];

const MEASUREMENTS: &[Test] =
    &[child("bench.connect", BENCH, bench::connect).when(Offered::WithBench)];

/// A test for a child process.
const fn child(
    name: &'static str,
    limit: Duration,
    run: fn(&mut Report) -> Checked<String>,
) -> Test {
    Test {
        name,
        limit,
        offered: Offered::Always,
        shares: false,
        programs: false,
        act: Act::Child(run),
    }
}

/// A test for a child process, short beside the restore of a machine: it leaves the machine as
/// it found it, but for what the checks after it would not pass, and does not mind who was there
/// before. Programs of the distribution are better run in a new machine: TCG is slow to write
/// where code was.
const fn shared(
    name: &'static str,
    limit: Duration,
    run: fn(&mut Report) -> Checked<String>,
) -> Test {
    Test {
        shares: true,
        ..child(name, limit, run)
    }
}

impl Test {
    const fn when(mut self, offered: Offered) -> Self {
        self.offered = offered;
        self
    }

    const fn with_programs(mut self) -> Self {
        self.programs = true;
        self
    }

    fn is_offered(&self) -> bool {
        match self.offered {
            Offered::Always => true,
            Offered::WithFault => procfs::asked(FAULT),
            Offered::WithoutFault => !procfs::asked(FAULT),
            Offered::WithCorpus => procfs::asked(CORPUS),
            Offered::WithBench => bench::rounds().is_some(),
        }
    }
}

fn offered() -> impl Iterator<Item = &'static Test> {
    TESTS
        .iter()
        .flat_map(|area| area.iter())
        .filter(|test| test.is_offered())
}

/// The names of the tests that make sense with this kernel's command line.
pub(crate) fn names() -> Vec<&'static str> {
    offered().map(|test| test.name).collect()
}

/// As [`names`], a line each, with `shared` behind those that may follow another in one machine,
/// and `programs` behind those that run our own.
pub(crate) fn list() -> impl Iterator<Item = String> {
    offered().map(|test| {
        let shares = if test.shares { " shared" } else { "" };
        let programs = if test.programs { " programs" } else { "" };
        format!("{}{shares}{programs}", test.name)
    })
}

/// The test of this name.
pub(crate) fn find(name: &str) -> Option<&'static Test> {
    offered().find(|test| test.name == name)
}

/// Runs a test in this process.
pub(crate) fn run(name: &str) -> Checked<String> {
    match find(name).map(|test| test.act) {
        Some(Act::Child(run)) => run(&mut Report),
        Some(Act::Machine(_)) | None => Err(Failure::UnknownTest(name.into())),
    }
}

/// What a test measures, told as it goes.
pub(crate) struct Report;

impl Report {
    /// `# key: value`, a diagnostic line of KTAP.
    #[expect(
        clippy::unused_self,
        reason = "a test speaks through what it was given, not through a global"
    )]
    pub(crate) fn note(&mut self, key: &str, value: impl Display) -> Checked<()> {
        writeln!(std::io::stdout(), "# {key}: {value}")
            .map_err(Failure::system("write to the standard output"))
    }
}

#[cfg(test)]
mod tests_of_the_table {
    use super::*;

    #[test]
    fn names_are_unique_and_dotted() {
        let mut names: Vec<&str> = TESTS
            .iter()
            .flat_map(|area| area.iter())
            .map(|t| t.name)
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let plain = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        for name in names {
            let parts: Vec<&str> = name.split('.').collect();
            assert!(
                parts.len() == 2 && parts.iter().all(|part| plain(part)),
                "{name}"
            );
        }
    }
}
