// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a kernel to a saved machine whose guest is ready.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tidelock_host::files::{self, FileError};

use crate::{
    clock,
    engine::Engine,
    initramfs::{self, Contents},
    judge::{self, Judgement},
    kmsg,
    machine::{
        MachineError, Vm,
        arguments::{Machine, Memory, Start},
        qemu::{Accel, Qemu},
        serial_path, socket_dir,
    },
    spec::{CellSpec, Event, Events, Origin},
    state::{self, Facts, Found, Saved, Slot},
    watch::{End, Heard, Patience, drain, watch},
};

/// The guest root of a cell.
pub fn root_of(spec: &CellSpec) -> Result<Vec<u8>, FileError> {
    initramfs::build(&Contents {
        init: &spec.init,
        kernel: &spec.kernel,
        module: spec.module.as_deref(),
        extra: &spec.extra,
    })
}

/// A machine of this cell, before it is known where its files are.
pub fn machine_of(accel: Accel, spec: &CellSpec, logs: &Path, sockets: &Path) -> Machine {
    Machine {
        accel,
        kernel: spec.kernel.vmlinux.clone(),
        initramfs: logs.join("initramfs"),
        cmdline: spec.cmdline(),
        disks: spec.disks.clone(),
        mib: spec.mib,
        processors: spec.processors,
        memory: Memory::Anonymous,
        start: Start::Reset,
        serial: serial_path(logs),
        sockets: sockets.to_owned(),
    }
}

/// What the serial port said. QEMU makes the file when it starts: without one, nothing is known
/// of a kernel's last words.
pub fn serial_of(logs: &Path) -> Result<String, FileError> {
    let bytes = files::read(&serial_path(logs))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Boots the cell without keeping anything but logs, and tells how that ended.
pub async fn once(qemu: &Qemu, accel: Accel, spec: &CellSpec) -> Result<End, MachineError> {
    let sockets = socket_dir()?;
    let machine = machine_of(accel, spec, &spec.logs, sockets.path());
    files::write_atomic(&machine.initramfs, &root_of(spec)?)?;
    let mut vm = Vm::start(qemu, &machine, sockets, &spec.logs).await?;
    let mut heard = Heard::default();
    let end = watch(&mut vm, &mut heard, "READY", boot_patience(spec)).await;
    vm.kill().await;
    Ok(end)
}

/// The guest has no heart before it is ready: its silence means nothing.
fn boot_patience(spec: &CellSpec) -> Patience {
    Patience {
        silence: spec.limits.boot,
        total: spec.limits.boot,
    }
}

/// Finds the cell's saved state, or makes it. An error is the verdict on the boot.
pub async fn saved(
    engine: &Engine,
    spec: &CellSpec,
    events: &dyn Events,
) -> Result<(Saved, Origin), Judgement> {
    let broken = |error: FileError| Judgement::infrastructure(&error.to_string());
    let root = root_of(spec).map_err(broken)?;
    let logs = spec.logs.join("boot");
    let sockets = socket_dir().map_err(broken)?;
    let machine = machine_of(engine.accelerator.kind, spec, &logs, sockets.path());
    let key = state::key(&engine.qemu, &machine, spec, &root);
    let began = Instant::now();
    let slot = match state::find(&engine.cache, &key).await.map_err(broken)? {
        Found::Saved(saved) => {
            let time = began.elapsed();
            events.tell(Event::Ready {
                origin: Origin::Saved,
                time,
            });
            return Ok((saved, Origin::Saved));
        }
        Found::Absent(slot) => slot,
    };
    events.tell(Event::Booting);
    files::write_atomic(&slot.initramfs(), &root).map_err(broken)?;
    let machine = Machine {
        initramfs: slot.initramfs(),
        memory: Memory::File(slot.memory()),
        ..machine
    };
    let began = Instant::now();
    let mut vm = Vm::start(&engine.qemu, &machine, sockets, &logs)
        .await
        .map_err(|error| Judgement::infrastructure(&error.to_string()))?;
    let facts = ready(engine, spec, &mut vm, &logs, &slot, began).await;
    vm.kill().await;
    let facts = facts?;
    let saved = slot.finish(facts).map_err(broken)?;
    // A cache that is too full is not this cell's trouble.
    let _ = state::prune(&engine.cache, engine.state_budget);
    events.tell(Event::Ready {
        origin: Origin::Booted,
        time: Duration::from_millis(saved.facts.boot_ms),
    });
    Ok((saved, Origin::Booted))
}

/// Waits until the guest is ready, and saves the machine.
async fn ready(
    engine: &Engine,
    spec: &CellSpec,
    vm: &mut Vm,
    logs: &Path,
    slot: &Slot,
    began: Instant,
) -> Result<Facts, Judgement> {
    let mut heard = Heard::default();
    let end = watch(vm, &mut heard, "READY", boot_patience(spec)).await;
    let boot_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let said = match &end {
        End::Said(said) => Some(said.clone()),
        _ => None,
    };
    let (clock, saved) = match said {
        Some(_) => (
            clock::check(vm, &mut heard).await,
            Some(vm.qmp.save(&slot.machine(), engine.qemu.version).await),
        ),
        None => (Ok(None), None),
    };
    // The machine has done its work, and what it said is in the sockets.
    let _ = vm.child.kill().await;
    drain(vm, &mut heard).await;
    let broken = |error: FileError| Judgement::infrastructure(&error.to_string());
    keep(logs, &heard).map_err(broken)?;
    let serial = serial_of(logs).map_err(broken)?;
    let release = match said.as_deref().map(parse_ready) {
        Some(Some(release)) => release.to_owned(),
        Some(None) => return Err(Judgement::infrastructure("READY was garbled")),
        None => return Err(judge::boot(&end, &heard.kmsg, &serial)),
    };
    if release != spec.kernel.release.as_str() {
        let reason = format!("booted {}, but uname says {release}", spec.kernel.release);
        return Err(Judgement::infrastructure(&reason));
    }
    // First: what a kernel with a wrong clock complains of means nothing.
    match clock {
        Ok(None) => {}
        Ok(Some(wrong)) => return Err(Judgement::wrong_clock(&wrong)),
        Err(error) => return Err(Judgement::infrastructure(&error.to_string())),
    }
    if let Some(trouble) = judge::came_up(&heard.kmsg, &serial) {
        return Err(trouble);
    }
    if let Some(Err(error)) = saved {
        return Err(Judgement::infrastructure(&error.to_string()));
    }
    let log = kmsg::Log::parse(&heard.kmsg);
    Ok(Facts {
        release,
        boot_ms,
        last_record: log.records.last().map(|record| record.sequence),
    })
}

/// `1 6.1.0-56-amd64`: the protocol and the release.
fn parse_ready(said: &str) -> Option<&str> {
    said.strip_prefix("1 ").map(str::trim)
}

/// Writes what was heard beside the other logs.
pub fn keep(logs: &Path, heard: &Heard) -> Result<(), FileError> {
    files::write_atomic(&logs.join("control.log"), heard.transcript.as_bytes())?;
    files::write_atomic(&logs.join("ktap.log"), &heard.ktap)?;
    files::write_atomic(&logs.join("kmsg.log"), &heard.kmsg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_cannot_be_read_is_no_quiet_console() {
        let logs = tempfile::tempdir().unwrap();
        let error = serial_of(logs.path()).unwrap_err().to_string();
        assert!(error.contains("serial.log"), "{error}");
        files::write_atomic(&serial_path(logs.path()), b"").unwrap();
        assert_eq!(serial_of(logs.path()).unwrap(), "");
        files::write_atomic(&serial_path(logs.path()), b"a\xffb").unwrap();
        assert_eq!(serial_of(logs.path()).unwrap(), "a\u{fffd}b");
    }
}
