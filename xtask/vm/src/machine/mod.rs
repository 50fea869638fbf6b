// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A virtual machine: its command line, its process, its monitor, its ports.

pub mod arguments;
pub mod qemu;
pub mod qmp;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tidelock_host::{
    files::{self, FileError},
    process,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::UnixStream,
    process::Child,
    time::{sleep, timeout},
};

use arguments::{Machine, PORTS};
use qemu::{Qemu, Version};
use qmp::{Qmp, QmpError};

/// A machine could not be started, or did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file could not be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// QEMU could not be started.
    #[error("cannot start {command}: {source}")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before the guest could be spoken to.
    #[error("QEMU ended ({status}): {output}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it said.
        output: String,
    },
    /// Its sockets cannot be reached.
    #[error("QEMU's socket {name}: {source}")]
    Socket {
        /// Which.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Its monitor.
    #[error(transparent)]
    Monitor(#[from] QmpError),
}

/// How long QEMU may take to open its sockets, on a host that is very busy.
const OPENING: Duration = Duration::from_mins(1);
/// How long QEMU may take to end once its connection broke.
const DYING: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(2);
/// Of a socket's path, in Linux (unix(7)), less the longest name of ours.
const MAX_SOCKET_DIR: usize = 108 - "/control\0".len();

/// A running QEMU. It is killed, and its sockets are removed, when this goes.
#[derive(Debug)]
pub struct Vm {
    /// The process.
    pub child: Child,
    /// The monitor.
    pub qmp: Qmp,
    /// The port of commands and answers.
    pub control: UnixStream,
    /// The port of verdicts.
    pub ktap: UnixStream,
    /// The port of the kernel's log.
    pub kmsg: UnixStream,
    stderr: PathBuf,
    _sockets: tempfile::TempDir,
}

/// A folder for sockets whose path is short enough.
pub fn socket_dir() -> Result<tempfile::TempDir, FileError> {
    let make = |parent: &Path| {
        let dir = tempfile::Builder::new()
            .prefix("tidelock-")
            .tempdir_in(parent);
        dir.map_err(FileError::of("create a folder in", parent))
    };
    let dir = make(&std::env::temp_dir())?;
    if dir.path().as_os_str().len() > MAX_SOCKET_DIR {
        return make(Path::new("/tmp"));
    }
    Ok(dir)
}

impl Vm {
    /// Starts QEMU and connects to it; what it says on standard error, and a script that does
    /// the same by hand, go to the folder `logs`.
    ///
    /// Call it from a worker of the runtime: the process ends with the thread that started it.
    pub async fn start(
        qemu: &Qemu,
        machine: &Machine,
        sockets: tempfile::TempDir,
        logs: &Path,
    ) -> Result<Self, MachineError> {
        files::make_dir(logs)?;
        let stderr_path = logs.join("qemu.stderr");
        let stderr = File::create(&stderr_path).map_err(FileError::of("create", &stderr_path))?;
        let mut command = process::command_async(&qemu.program);
        command
            .args(machine.arguments(qemu.version))
            .stdout(Stdio::null())
            .stderr(stderr);
        let shown = process::show(command.as_std());
        files::write_atomic(&logs.join("qemu.sh"), script(&shown, machine).as_bytes())?;
        let mut child = command.spawn().map_err(|source| MachineError::Start {
            command: shown,
            source,
        })?;
        match meet(&mut child, sockets.path()).await {
            Ok((qmp, [control, ktap, kmsg])) => Ok(Self {
                child,
                qmp,
                control,
                ktap,
                kmsg,
                stderr: stderr_path,
                _sockets: sockets,
            }),
            Err(error) => Err(explained(error, &mut child, &stderr_path).await),
        }
    }

    /// Restores what was saved as `state`, and lets the machine run.
    pub async fn restore(&mut self, state: &Path, version: Version) -> Result<(), MachineError> {
        match self.qmp.restore(state, version).await {
            Ok(()) => Ok(()),
            Err(error) => Err(explained(error.into(), &mut self.child, &self.stderr).await),
        }
    }

    /// Gives the guest an order.
    pub async fn order(&mut self, order: &str) -> Result<(), MachineError> {
        say(&mut self.control, order).await
    }

    /// Ends the process, and waits for its end.
    pub async fn kill(mut self) {
        // It may be dead already, which is as good.
        let _ = self.child.kill().await;
    }
}

/// Writes a line to the guest. QEMU takes what fits into the guest's queue; a guest that does
/// not read would have it wait without end.
async fn say(control: &mut UnixStream, order: &str) -> Result<(), MachineError> {
    let line = format!("{order}\n");
    let written = timeout(qmp::LIMIT, control.write_all(line.as_bytes())).await;
    written
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| MachineError::Socket {
            name: "control",
            source,
        })
}

/// The monitor and the ports of a QEMU that was just started.
async fn meet(child: &mut Child, dir: &Path) -> Result<(Qmp, [UnixStream; 3]), MachineError> {
    let mut open = async |name| connect(child, dir, name).await;
    let monitor = open("qmp").await?;
    let [control, ktap, kmsg] = PORTS;
    let ports = [open(control).await?, open(ktap).await?, open(kmsg).await?];
    Ok((Qmp::greet(monitor).await?, ports))
}

/// When QEMU is dying, what it said on standard error tells more than the broken connection.
async fn explained(error: MachineError, child: &mut Child, stderr: &Path) -> MachineError {
    match timeout(DYING, child.wait()).await {
        Ok(Ok(status)) => {
            let output = files::read(stderr).unwrap_or_default();
            let output = process::tail(&String::from_utf8_lossy(&output));
            MachineError::Ended { status, output }
        }
        _ => error,
    }
}

/// Connects as soon as QEMU listens, unless it dies first.
async fn connect(
    child: &mut Child,
    dir: &Path,
    name: &'static str,
) -> Result<UnixStream, MachineError> {
    let failed = |source| MachineError::Socket { name, source };
    let path = dir.join(name);
    let deadline = tokio::time::Instant::now() + OPENING;
    loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if tokio::time::Instant::now() > deadline => return Err(failed(error)),
            Err(_) => {}
        }
        if child.try_wait().map_err(failed)?.is_some() {
            return Err(failed(io::ErrorKind::ConnectionRefused.into()));
        }
        sleep(POLL).await;
    }
}

/// What a person runs to see the same machine: its sockets and its console in a folder that
/// exists.
fn script(command: &str, machine: &Machine) -> String {
    let sockets = machine.sockets.display();
    let restored = match machine.start {
        arguments::Start::Reset => "",
        arguments::Start::Restore => {
            "# It waits for its monitor, the socket qmp, to be told of the saved state: by\n\
             # qmp_capabilities, migrate-set-capabilities (x-ignore-shared), migrate-incoming, cont.\n"
        }
    };
    format!(
        "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0 OR MIT\n\
         # The machine as the factory started it. Its ports are sockets in {sockets}.\n{restored}\
         mkdir -p {sockets}\nexec {command}\n"
    )
}

/// The file QEMU writes the serial port to.
pub fn serial_path(logs: &Path) -> PathBuf {
    logs.join("serial.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_port_that_nobody_reads_is_not_waited_for_without_end() {
        let (mut ours, _fake_silent_guest) = UnixStream::pair().unwrap();
        say(&mut ours, "RUN").await.unwrap();
        let more_than_a_socket_holds = "x".repeat(16 << 20);
        let began = tokio::time::Instant::now();
        let error = say(&mut ours, &more_than_a_socket_holds).await.unwrap_err();
        assert_eq!(began.elapsed().as_secs(), 60);
        assert_eq!(error.to_string(), "QEMU's socket control: timed out");
    }
}
