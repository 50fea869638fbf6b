// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cell: boot once, then tests in copies of that machine: one of its own each, or one for a
//! row of short ones.

use std::{
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tidelock_model::{Crash, Durations, Measured, Status, TestReport};
use tokio_util::sync::CancellationToken;

use crate::{
    boot,
    engine::Engine,
    judge::{self, Again, Evidence, Judgement},
    machine::{
        MachineError, Vm,
        arguments::{Machine, Memory, Start},
        socket_dir,
    },
    shared::{Account, Shared, console_path},
    spec::{CellOutcome, CellSpec, Event, Events, Origin},
    state::Saved,
    watch::Patience,
};

/// Boots the cell's kernel, or finds its saved state, and runs its tests one after another.
///
/// Every failure is in the outcome. When `cancel` fires, or the future is dropped, every QEMU
/// is killed and nothing temporary stays; the tests that did not run are skipped for that
/// reason.
pub async fn run_cell(
    engine: &Engine,
    spec: &CellSpec,
    events: &dyn Events,
    cancel: &CancellationToken,
) -> CellOutcome {
    let mut outcome = CellOutcome {
        status: Status::Pass,
        reason: String::new(),
        tests: Vec::new(),
        crash: None,
        durations_ms: Durations::new(),
    };
    let cancelled = cancel
        .run_until_cancelled(fill(engine, spec, events, &mut outcome))
        .await
        .is_none();
    if cancelled {
        outcome.worse(Status::Error, "cancelled: the run was stopped", None);
    }
    let ran = outcome.tests.len();
    let why = outcome.reason.clone();
    outcome
        .tests
        .extend(spec.tests[ran..].iter().map(|name| TestReport {
            name: name.clone(),
            status: Status::Skip,
            duration_ms: 0,
            detail: format!("not-run: {why}"),
            measured: Measured::new(),
        }));
    outcome.settle();
    outcome
}

impl CellOutcome {
    /// Takes note of what is not a pass: the worst decides, of equals the first.
    fn worse(&mut self, status: Status, reason: &str, crash: Option<Crash>) {
        if status > self.status && !matches!(status, Status::Skip) {
            self.status = status;
            self.reason = reason.into();
        }
        if self.crash.is_none() {
            self.crash = crash;
        }
    }

    /// Nothing that went wrong is a pass only where something went well.
    fn settle(&mut self) {
        if self.status != Status::Pass {
            return;
        }
        let Some(first) = self.tests.first() else {
            return self.worse(Status::Error, "no-tests: the cell names no test", None);
        };
        if self.tests.iter().all(|test| test.status == Status::Skip) {
            self.status = Status::Skip;
            self.reason = format!("{} ({})", first.detail, first.name);
        }
    }
}

async fn fill(engine: &Engine, spec: &CellSpec, events: &dyn Events, outcome: &mut CellOutcome) {
    let mut attempt = 1;
    let (saved, origin) = loop {
        match boot::saved(engine, spec, events).await {
            Ok(saved) => break saved,
            Err(judgement) if attempt < judgement.again.attempts() => attempt += 1,
            Err(judgement) => {
                return outcome.worse(judgement.status, &judgement.detail, judgement.crash);
            }
        }
    };
    if origin == Origin::Booted {
        outcome
            .durations_ms
            .insert("boot".into(), saved.facts.boot_ms);
    }
    let began = Instant::now();
    let mut bench = Bench {
        engine,
        spec,
        saved: &saved,
        machine: None,
    };
    for (index, name) in spec.tests.iter().enumerate() {
        events.tell(Event::Testing(name));
        let (report, crash) = bench.test(name, !spec.goes_on(index)).await;
        events.tell(Event::Tested(&report));
        let reason = format!("{} ({name})", report.detail);
        outcome.worse(report.status, &reason, crash);
        outcome.tests.push(report);
        outcome
            .durations_ms
            .insert("test".into(), millis(began.elapsed()));
    }
}

/// Where tests are run.
struct Bench<'a> {
    engine: &'a Engine,
    spec: &'a CellSpec,
    saved: &'a Saved,
    /// What the test before left for the next.
    machine: Option<Shared>,
}

impl Bench<'_> {
    /// One test, tried again when the factory's own tools fail; a verdict is never rolled again.
    /// After the `last` of those that share it, the machine ends.
    async fn test(&mut self, name: &str, last: bool) -> (TestReport, Option<Crash>) {
        let began = Instant::now();
        let logs = self.spec.logs.join(name);
        let mut judgement = self.attempt(name, last, &logs).await;
        if judgement.again == Again::Once {
            let first = judgement.detail;
            let logs = self.spec.logs.join(format!("{name}.again"));
            judgement = self.attempt(name, last, &logs).await;
            judgement.measured.insert("first_attempt".into(), first);
        }
        let report = TestReport {
            name: name.into(),
            status: judgement.status,
            duration_ms: millis(began.elapsed()),
            detail: judgement.detail,
            measured: judgement.measured,
        };
        (report, judgement.crash)
    }

    async fn attempt(&mut self, name: &str, last: bool, logs: &Path) -> Judgement {
        let (mut machine, account) = match self.perform(name, last, logs).await {
            Ok(performed) => performed,
            Err(error) => return Judgement::infrastructure(&error.to_string()),
        };
        let mut judgement = judge::test(&Evidence {
            test: name,
            end: &account.end,
            ktap: &account.heard.ktap,
            kmsg: &account.heard.kmsg,
            after: account.after,
            serial: &account.serial,
        });
        if judgement.status == Status::Pass {
            self.machine = (!last).then_some(machine);
        } else {
            machine.end().await;
            if !account.ran.is_empty() {
                let before = account.ran.join(" ");
                judgement.measured.insert("machine_had_run".into(), before);
            }
        }
        judgement
    }

    /// Takes the machine, or restores one, and has the guest run the test.
    async fn perform(
        &mut self,
        name: &str,
        last: bool,
        logs: &Path,
    ) -> Result<(Shared, Account), MachineError> {
        let mut machine = if let Some(machine) = self.machine.take() {
            machine
        } else {
            let vm = restore(self.engine, self.spec, self.saved, logs).await?;
            Shared::new(vm, logs, self.saved.facts.last_record)
        };
        let patience = Patience {
            silence: self.spec.limits.silence,
            total: self.spec.limits.test,
        };
        let account = machine
            .run(name, &order(name)?, patience, last, logs)
            .await?;
        Ok((machine, account))
    }
}

/// A copy of the saved machine, running.
pub async fn restore(
    engine: &Engine,
    spec: &CellSpec,
    saved: &Saved,
    logs: &Path,
) -> Result<Vm, MachineError> {
    let sockets = socket_dir()?;
    let slot = saved.slot();
    let machine = Machine {
        initramfs: slot.initramfs(),
        memory: Memory::CopyOf(slot.memory()),
        start: Start::Restore,
        serial: console_path(logs),
        ..boot::machine_of(engine.accelerator.kind, spec, logs, sockets.path())
    };
    let mut vm = Vm::start(&engine.qemu, &machine, sockets, logs).await?;
    vm.restore(&slot.machine(), engine.qemu.version).await?;
    Ok(vm)
}

/// `RUN` with the host's clock and fresh entropy: copies of a machine share both otherwise.
fn order(name: &str) -> Result<String, MachineError> {
    let mut entropy = [0; 32];
    let failed = |errno: rustix::io::Errno| MachineError::Socket {
        name: "control",
        source: errno.into(),
    };
    rustix::rand::getrandom(&mut entropy[..], rustix::rand::GetRandomFlags::empty())
        .map_err(failed)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(format!(
        "RUN {} {} {name}",
        now.as_nanos(),
        hex::encode(entropy)
    ))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
