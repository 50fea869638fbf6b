// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cell: boot once, then each test in a machine of its own.

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
    spec::{CellOutcome, CellSpec, Event, Events, Origin},
    state::Saved,
    watch::{End, Heard, Patience, drain, watch},
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
    for name in &spec.tests {
        events.tell(Event::Testing(name));
        let (report, crash) = test(engine, spec, &saved, name).await;
        events.tell(Event::Tested(&report));
        let reason = format!("{} ({name})", report.detail);
        outcome.worse(report.status, &reason, crash);
        outcome.tests.push(report);
        outcome
            .durations_ms
            .insert("test".into(), millis(began.elapsed()));
    }
}

/// One test, tried again when the factory's own tools fail; a verdict is never rolled again.
async fn test(
    engine: &Engine,
    spec: &CellSpec,
    saved: &Saved,
    name: &str,
) -> (TestReport, Option<Crash>) {
    let began = Instant::now();
    let mut logs = spec.logs.join(name);
    let mut judgement = attempt(engine, spec, saved, name, &logs).await;
    if judgement.again == Again::Once {
        let first = judgement.detail;
        logs = spec.logs.join(format!("{name}.again"));
        judgement = attempt(engine, spec, saved, name, &logs).await;
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

async fn attempt(
    engine: &Engine,
    spec: &CellSpec,
    saved: &Saved,
    name: &str,
    logs: &Path,
) -> Judgement {
    let mut heard = Heard::default();
    let end = match perform(engine, spec, saved, name, logs, &mut heard).await {
        Ok(end) => end,
        Err(error) => return Judgement::infrastructure(&error.to_string()),
    };
    let serial = match boot::keep(logs, &heard).and_then(|()| boot::serial_of(logs)) {
        Ok(serial) => serial,
        Err(error) => return Judgement::infrastructure(&error.to_string()),
    };
    judge::test(&Evidence {
        test: name,
        end: &end,
        ktap: &heard.ktap,
        kmsg: &heard.kmsg,
        after: saved.facts.last_record,
        serial: &serial,
    })
}

/// Restores the machine, has the guest run the test, and listens to the end.
async fn perform(
    engine: &Engine,
    spec: &CellSpec,
    saved: &Saved,
    name: &str,
    logs: &Path,
    heard: &mut Heard,
) -> Result<End, MachineError> {
    let began = Instant::now();
    let mut vm = restore(engine, spec, saved, logs).await?;
    heard.note(began, "restored");
    let order = order(name)?;
    heard.note(began, &format!("> {order}"));
    vm.order(&order).await?;
    let patience = Patience {
        silence: spec.limits.silence,
        total: spec.limits.test,
    };
    let end = watch(&mut vm, heard, "DONE", patience).await;
    // Nothing it could still do counts; what it said is in the sockets.
    let _ = vm.child.kill().await;
    drain(&mut vm, heard).await;
    Ok(end)
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
