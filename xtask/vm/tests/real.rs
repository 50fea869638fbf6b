// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots real kernels. `cargo xtask test` runs these with what they need in the environment:
//!
//! - `TIDELOCK_TEST_RELEASE`: the kernel, such as `6.1.0-56-amd64`;
//! - `TIDELOCK_TEST_PACKAGES`: the files of its image packages, separated by colons;
//! - `TIDELOCK_TEST_GUEST`: the program `tidelock-guest`;
//! - `TIDELOCK_TEST_CACHE`: where kernels are kept between runs (a temporary folder when unset).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tidelock_host::process;
use tidelock_model::{Sha256, Status};
use tidelock_vm::{
    engine::{Accelerator, Engine},
    kernel::{self, Kernel, Package},
    machine::qemu::{Accel, Qemu},
    run::run_cell,
    spec::{CellOutcome, CellSpec, Event, Origin, drivers},
    state,
};
use tokio_util::sync::CancellationToken;

fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run this test by way of `cargo xtask test`, or see the head of its file")
    })
}

/// As `tidelock_archive::deb::extract`, by way of dpkg: this crate does not depend on that one.
fn unpack(
    package: &Path,
    dest: &Path,
    keep: &dyn Fn(&Path) -> bool,
) -> Result<(), process::ProcessError> {
    let whole = tempfile::tempdir().unwrap();
    let mut command = process::command("dpkg-deb");
    command.arg("-x").args([package, whole.path()]);
    process::run(command, None)?;
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(whole.path().join(&dir)).unwrap() {
            let entry = entry.unwrap();
            let path = dir.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(path);
            } else if keep(&path) {
                fs::create_dir_all(dest.join(&dir)).unwrap();
                fs::rename(entry.path(), dest.join(&path)).unwrap();
            }
        }
    }
    Ok(())
}

struct Bench {
    engine: Engine,
    kernel: Kernel,
    logs: tempfile::TempDir,
    /// States of these tests are their own.
    _cache: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let states = tempfile::tempdir().unwrap();
        let kernels =
            env::var_os("TIDELOCK_TEST_CACHE").map_or(states.path().into(), PathBuf::from);
        let release = var("TIDELOCK_TEST_RELEASE").parse().unwrap();
        let packages: Vec<Package> = var("TIDELOCK_TEST_PACKAGES")
            .split(':')
            .map(|path| Package {
                path: path.into(),
                sha256: Sha256::of(&fs::read(path).unwrap()),
            })
            .collect();
        let kernel = kernel::prepare(&kernels, &release, &packages, &drivers(), unpack).unwrap();
        let engine = Engine {
            qemu: Qemu::find().unwrap(),
            accelerator: Accelerator {
                kind: Accel::Tcg,
                reason: "always there".into(),
            },
            cache: states.path().into(),
            state_budget: state::BUDGET,
        };
        Self {
            engine,
            kernel,
            logs: tempfile::tempdir().unwrap(),
            _cache: states,
        }
    }

    fn spec(&self, tests: &[&str]) -> CellSpec {
        let guest = var("TIDELOCK_TEST_GUEST").into();
        let mut spec = CellSpec::new(self.kernel.clone(), guest, self.logs.path().into());
        spec.parameters.push("tidelock.corpus".into());
        spec.tests = tests.iter().map(|name| (*name).into()).collect();
        spec.limits.silence = Duration::from_secs(15);
        spec
    }

    async fn run(&self, spec: &CellSpec) -> (CellOutcome, Option<Origin>) {
        let origin = Mutex::new(None);
        let tell = |event: Event<'_>| {
            if let Event::Ready { origin: from, time } = event {
                eprintln!("ready ({from:?}) after {time:?}");
                *origin.lock().unwrap() = Some(from);
            }
            if let Event::Tested(report) = event {
                eprintln!(
                    "{} {} {} ms: {}",
                    report.status, report.name, report.duration_ms, report.detail
                );
            }
        };
        let outcome = run_cell(&self.engine, spec, &tell, &CancellationToken::new()).await;
        eprintln!("{}: {}", outcome.status, outcome.reason);
        (outcome, origin.into_inner().unwrap())
    }
}

/// Processes of ours that still run.
fn children() -> Vec<String> {
    let mine = std::process::id().to_string();
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        let (state, parent) = (fields.next()?, fields.next()?);
        (parent == mine && state != "Z").then_some(stat)
    })
    .collect()
}

/// Every misbehaviour of a guest has its own verdict, in one cell, and none passes.
#[tokio::test(flavor = "multi_thread")]
async fn each_misbehaviour_has_its_verdict() {
    let bench = Bench::new();
    let expected = [
        ("corpus.dies_before_plan", "guest-died"),
        ("corpus.dies_after_verdict", "guest-died"),
        ("corpus.truncated_ktap", "truncated-ktap"),
        ("corpus.no_verdict", "no-verdict"),
        ("corpus.no_plan", "missing-plan"),
        ("corpus.not_ok", "assertion-failed"),
        ("corpus.silent_hang", "silent-hang"),
        ("corpus.kernel_panic", "kernel-panic"),
        ("corpus.init_exits", "guest-died"),
        ("corpus.kmsg_lost", "broken-scan"),
        ("corpus.no_marker", "broken-scan"),
        ("no.such_test", "unknown-test"),
    ];
    let (outcome, _) = bench
        .run(&bench.spec(&expected.map(|(name, _)| name)))
        .await;
    let got: Vec<(&str, &str)> = outcome
        .tests
        .iter()
        .map(|report| {
            assert!(report.status > Status::Skip, "{report:?}");
            let (verdict, _) = report
                .detail
                .split_once(':')
                .unwrap_or((&report.detail, ""));
            (report.name.as_str(), verdict)
        })
        .collect();
    assert_eq!(got, expected);
}

/// A cell that was booted is restored the next time; another command line is another state.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_run_restores() {
    let bench = Bench::new();
    let spec = bench.spec(&["corpus.not_ok"]);
    assert_eq!(bench.run(&spec).await.1, Some(Origin::Booted));
    let (outcome, origin) = bench.run(&spec).await;
    assert_eq!(origin, Some(Origin::Saved));
    assert_eq!(outcome.tests.len(), 1);
    assert!(!outcome.durations_ms.contains_key("boot"));
    let mut other = spec;
    other.parameters.push("another=word".into());
    assert_eq!(bench.run(&other).await.1, Some(Origin::Booted));
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

/// Copies of one saved machine share neither random numbers nor the hour at which it was saved.
#[tokio::test(flavor = "multi_thread")]
async fn copies_share_neither_chance_nor_clock() {
    let bench = Bench::new();
    let spec = bench.spec(&["corpus.chance"]);
    bench.run(&spec).await;
    // So long that the clock of the saved machine is plainly behind.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut drawn = BTreeSet::new();
    for _ in 0..3 {
        let before = now();
        let (outcome, origin) = bench.run(&spec).await;
        assert_eq!(origin, Some(Origin::Saved));
        let [test] = &outcome.tests[..] else {
            panic!("{outcome:?}");
        };
        assert_eq!(test.status, Status::Pass, "{test:?}");
        let seconds: u64 = test.measured["seconds"].parse().unwrap();
        assert!((before..=now()).contains(&seconds), "{before} {seconds}");
        assert_eq!(test.measured["random"].len(), 32);
        drawn.insert(test.measured["random"].clone());
    }
    assert_eq!(drawn.len(), 3, "{drawn:?}");
}

/// Tests share a machine as long as they pass: what fails says who was there before, and the next
/// one has a machine of its own.
#[tokio::test(flavor = "multi_thread")]
async fn short_tests_share_a_machine() {
    let bench = Bench::new();
    let names = [
        "corpus.chance",
        "corpus.chance_again",
        "corpus.not_ok",
        "corpus.no_verdict",
        "corpus.kmsg_lost",
    ];
    let mut spec = bench.spec(&names);
    spec.sharing = names[..4].iter().map(|name| (*name).to_owned()).collect();
    let (outcome, _) = bench.run(&spec).await;
    let [first, second, fails, new, alone] = &outcome.tests[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!((first.status, second.status), (Status::Pass, Status::Pass));
    assert_ne!(first.measured["random"], second.measured["random"]);
    assert_eq!(fails.status, Status::Fail);
    assert_eq!(
        fails.measured["machine_had_run"],
        "corpus.chance corpus.chance_again"
    );
    for lone in [new, alone] {
        assert_eq!(lone.status, Status::Fail);
        assert!(!lone.measured.contains_key("machine_had_run"), "{lone:?}");
    }
    let machines = |name: &str| spec.logs.join(name).join("qemu.sh").is_file();
    assert_eq!(names.map(machines), [true, false, false, true, true]);
    for name in names {
        let log = |log| fs::read_to_string(spec.logs.join(name).join(log)).unwrap();
        assert!(log("control.log").contains("> RUN"), "{name}");
        assert!(
            !log("kmsg.log").is_empty() || name == "corpus.no_verdict",
            "{name}"
        );
        log("serial.log");
    }
    let second = fs::read_to_string(spec.logs.join("corpus.chance_again/kmsg.log")).unwrap();
    assert!(!second.contains("end of corpus.chance\n"), "{second}");
}

/// What kills a machine between two tests is held against the second, whatever its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_between_two_tests_is_no_pass() {
    let bench = Bench::new();
    let mut spec = bench.spec(&["corpus.dies_when_done", "corpus.chance"]);
    spec.sharing = spec.tests.iter().cloned().collect();
    // So that it is dead by the time it is told to go on.
    let wait = |event: Event<'_>| {
        if matches!(event, Event::Testing("corpus.chance")) {
            std::thread::sleep(Duration::from_secs(2));
        }
    };
    let cancel = CancellationToken::new();
    let outcome = run_cell(&bench.engine, &spec, &wait, &cancel).await;
    let [first, second] = &outcome.tests[..] else {
        panic!("{outcome:?}");
    };
    assert_eq!(first.status, Status::Pass, "{first:?}");
    assert_eq!(second.status, Status::Fail, "{second:?}");
    assert!(second.detail.starts_with("guest-died:"), "{second:?}");
    assert_eq!(second.measured["machine_had_run"], "corpus.dies_when_done");
}

/// A kernel that has mismeasured its processor's counter is no ground for a verdict.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_the_factorys_trouble() {
    let bench = Bench::new();
    let mut spec = bench.spec(&["corpus.not_ok"]);
    // What a busy host was seen to make a kernel believe, of a counter ten times as fast.
    spec.parameters.push("tsc_early_khz=255073".into());
    let (outcome, _) = bench.run(&spec).await;
    assert_eq!(outcome.status, Status::Error);
    assert!(
        outcome.reason.contains("the guest's clock went"),
        "{}",
        outcome.reason
    );
}

/// A cancelled cell, and one whose future is dropped, leave no QEMU, no socket and no half state.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_cell_leaves_nothing() {
    let bench = Bench::new();
    let spec = bench.spec(&["corpus.silent_hang", "corpus.not_ok"]);
    for delay in [Duration::from_millis(300), Duration::from_secs(1)] {
        let cancel = CancellationToken::new();
        let began = Instant::now();
        let quiet = |_: Event<'_>| {};
        let stop = async {
            tokio::time::sleep(delay).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(run_cell(&bench.engine, &spec, &quiet, &cancel), stop);
        assert!(began.elapsed() < spec.limits.boot);
        assert_eq!(outcome.status, Status::Error);
        assert_eq!(outcome.tests.len(), 2);
        assert!(
            outcome.reason.starts_with("cancelled"),
            "{}",
            outcome.reason
        );
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(children(), Vec::<String>::new());
    let left: Vec<PathBuf> = fs::read_dir(bench.engine.cache.join("states"))
        .unwrap()
        .flatten()
        .flat_map(|state| fs::read_dir(state.path()).unwrap().flatten())
        .map(|entry| entry.path())
        .filter(|path| !path.ends_with("lock"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// A kernel that cannot come up is told as that, and its tests as not run.
#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_does_not_come_up_is_named() {
    let bench = Bench::new();
    let mut spec = bench.spec(&["corpus.not_ok"]);
    spec.init = "/bin/false".into();
    let (outcome, _) = bench.run(&spec).await;
    assert_eq!(outcome.status, Status::Error);
    assert!(
        outcome.reason.starts_with("kernel-panic:"),
        "{}",
        outcome.reason
    );
    assert!(
        outcome.tests[0]
            .detail
            .starts_with("not-run: kernel-panic:")
    );
    let mut spec = bench.spec(&["corpus.not_ok"]);
    spec.limits.boot = Duration::from_millis(100);
    let (outcome, _) = bench.run(&spec).await;
    assert!(
        outcome.reason.starts_with("boot-timeout:"),
        "{}",
        outcome.reason
    );
}
