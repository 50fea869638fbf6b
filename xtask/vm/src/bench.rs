// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How fast a guest is ready: the factory beside bare QEMU and virtme-ng, on the same kernel and
//! host, in rounds that take turns so that the host's other load falls on all alike.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tidelock_host::{
    files::{self, FileError},
    process::{self, ProcessError},
    tools::Tool,
};

use crate::{
    boot,
    engine::Engine,
    judge::Judgement,
    kernel::{KernelError, Package, Unpack},
    machine::{MachineError, Vm, qemu::Accel, socket_dir},
    run,
    spec::CellSpec,
    state::Saved,
    watch::{End, Heard, Patience, watch},
};

/// What virtme-ng needs of the host.
pub const TOOLS: &[Tool] = &[
    Tool {
        program: "/usr/bin/python3",
        package: "python3-venv",
    },
    Tool {
        program: "/bin/busybox",
        package: "busybox-static",
    },
    Tool {
        program: "modprobe",
        package: "kmod",
    },
    // Its guest runs the host's own udev, and has no ports without.
    Tool {
        program: "udevadm",
        package: "udev",
    },
];

/// The release of virtme-ng that is compared with.
const VIRTME: &str = "virtme-ng==1.42";
const LIMIT: Duration = Duration::from_mins(5);

/// What can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contender {
    /// The factory's machine, to READY.
    Factory,
    /// A copy of the factory's saved machine, to its first answer.
    Restored,
    /// QEMU as it comes, with the distribution's bzImage and the same guest, to READY.
    Bare,
    /// `vng --run KERNEL --exec true`, from start to end.
    Virtme,
}

impl Contender {
    /// All, the factory first: it is what the others are compared with.
    pub const ALL: [Self; 4] = [Self::Factory, Self::Restored, Self::Bare, Self::Virtme];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Factory => "factory, boot to ready",
            Self::Restored => "factory, restored to first answer",
            Self::Bare => "bare QEMU, bzImage to ready",
            Self::Virtme => "virtme-ng, whole run",
        }
    }
}

/// A contender could not run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The saved machine could not be made.
    #[error("{}", _0.detail)]
    Boot(Box<Judgement>),
    /// A machine did not run.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A guest was not ready.
    #[error("{}: the guest was not ready: {end:?}", contender.as_str())]
    NotReady {
        /// Which.
        contender: Contender,
        /// How it ended.
        end: End,
    },
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// virtme-ng, or what makes it ready.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// The times of one contender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Times {
    /// Whose.
    pub contender: Contender,
    /// By round.
    pub rounds: Vec<Duration>,
}

impl Times {
    /// The median; of an even number the lower of the two in the middle.
    pub fn median(&self) -> Duration {
        let mut sorted = self.rounds.clone();
        sorted.sort();
        let middle = sorted.len().saturating_sub(1) / 2;
        sorted.get(middle).copied().unwrap_or_default()
    }
}

/// What came of a benchmark; displays as a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BenchReport {
    /// In the order of [`Contender::ALL`].
    pub times: Vec<Times>,
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.times.first().map(|times| times.median().as_secs_f64());
        writeln!(f, "{:<34} {:>8} {:>7}  rounds (s)", "", "median", "ratio")?;
        for times in &self.times {
            let median = times.median().as_secs_f64();
            let ratio = base
                .filter(|base| *base > 0.0)
                .map_or(0.0, |base| median / base);
            let rounds: Vec<String> = times
                .rounds
                .iter()
                .map(|round| format!("{:.2}", round.as_secs_f64()))
                .collect();
            let name = times.contender.as_str();
            let rounds = rounds.join(" ");
            writeln!(f, "{name:<34} {median:>6.2} s {ratio:>6.2}x  {rounds}")?;
        }
        Ok(())
    }
}

/// virtme-ng, installed, and a kernel where it looks for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Virtme {
    program: PathBuf,
    vmlinuz: PathBuf,
}

/// Installs virtme-ng from PyPI into a folder below `dir`, and unpacks the whole kernel there
/// with its modules indexed, as virtme-ng wants it.
pub fn virtme<E: std::error::Error + Send + Sync + 'static>(
    dir: &Path,
    spec: &CellSpec,
    packages: &[Package],
    unpack: impl Unpack<E>,
) -> Result<Virtme, BenchError> {
    let venv = dir.join(format!("venv-{VIRTME}"));
    let program = venv.join("bin/vng");
    if !program.is_file() {
        let mut command = process::command("/usr/bin/python3");
        command.args(["-m", "venv"]).arg(&venv);
        process::run(command, None)?;
        let mut command = process::command(venv.join("bin/pip"));
        command.args(["install", "--quiet", "--disable-pip-version-check", VIRTME]);
        process::run(command, None)?;
    }
    let release = spec.kernel.release.as_str();
    let root = dir.join(format!(
        "root-{release}-{}",
        &spec.kernel.key.to_hex()[..16]
    ));
    if !root.is_dir() {
        files::make_dir_atomic(&root, |root| {
            for package in packages {
                unpack(&package.path, root, &|_| true)
                    .map_err(|error| KernelError::Package(error.into()))?;
            }
            let merged = root.join("usr/lib/modules").is_dir();
            let base = if merged {
                root.join("usr")
            } else {
                root.to_owned()
            };
            let mut command = process::command("depmod");
            command.arg("-b").arg(base).arg(release);
            process::run(command, None)?;
            Ok::<_, BenchError>(())
        })?;
    }
    let vmlinuz = root.join(format!("boot/vmlinuz-{release}"));
    let elsewhere = root.join(format!("usr/lib/modules/{release}/vmlinuz"));
    let vmlinuz = if vmlinuz.is_file() {
        vmlinuz
    } else {
        elsewhere
    };
    Ok(Virtme { program, vmlinuz })
}

/// Runs `rounds` rounds of all contenders in turn; without `virtme`, of all others.
pub async fn bench(
    engine: &Engine,
    spec: &CellSpec,
    virtme: Option<&Virtme>,
    rounds: usize,
) -> Result<BenchReport, BenchError> {
    let quiet = |_: crate::spec::Event<'_>| {};
    let (saved, _) = boot::saved(engine, spec, &quiet)
        .await
        .map_err(|judgement| BenchError::Boot(Box::new(judgement)))?;
    let mut times: Vec<Times> = Contender::ALL
        .into_iter()
        .filter(|contender| *contender != Contender::Virtme || virtme.is_some())
        .map(|contender| Times {
            contender,
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..rounds {
        for Times { contender, rounds } in &mut times {
            let time = match (*contender, virtme) {
                (Contender::Restored, _) => restored(engine, spec, &saved).await?,
                (Contender::Virtme, Some(virtme)) => whole(engine, virtme).await?,
                (contender, _) => ready(engine, spec, contender).await?,
            };
            rounds.push(time);
        }
    }
    Ok(BenchReport { times })
}

/// From the start of QEMU to READY.
async fn ready(
    engine: &Engine,
    spec: &CellSpec,
    contender: Contender,
) -> Result<Duration, BenchError> {
    let logs = spec.logs.join("bench");
    let sockets = socket_dir()?;
    let mut machine = boot::machine_of(engine.accelerator.kind, spec, &logs, sockets.path());
    files::write_atomic(&machine.initramfs, &boot::root_of(spec)?)?;
    if contender == Contender::Bare {
        machine.kernel.clone_from(&spec.kernel.bzimage);
        machine.cmdline = "console=ttyS0".into();
    }
    let began = Instant::now();
    let mut vm = Vm::start(&engine.qemu, &machine, sockets, &logs).await?;
    let end = watch(&mut vm, &mut Heard::default(), "READY", patience()).await;
    let time = began.elapsed();
    vm.kill().await;
    match end {
        End::Said(_) => Ok(time),
        end => Err(BenchError::NotReady { contender, end }),
    }
}

/// From the start of QEMU to the answer of a guest that had been saved.
async fn restored(engine: &Engine, spec: &CellSpec, saved: &Saved) -> Result<Duration, BenchError> {
    let began = Instant::now();
    let mut vm = run::restore(engine, spec, saved, &spec.logs.join("bench")).await?;
    vm.order("LIST").await?;
    let end = watch(&mut vm, &mut Heard::default(), "TESTS", patience()).await;
    let time = began.elapsed();
    vm.kill().await;
    match end {
        End::Said(_) => Ok(time),
        end => Err(BenchError::NotReady {
            contender: Contender::Restored,
            end,
        }),
    }
}

const fn patience() -> Patience {
    Patience {
        silence: LIMIT,
        total: LIMIT,
    }
}

/// A whole run of virtme-ng.
async fn whole(engine: &Engine, virtme: &Virtme) -> Result<Duration, BenchError> {
    // It waits without end for a guest that does not come up.
    let mut command = process::command("timeout");
    command
        .arg(LIMIT.as_secs().to_string())
        .arg(&virtme.program);
    command.arg("--run").arg(&virtme.vmlinuz);
    if engine.accelerator.kind == Accel::Tcg {
        // It would take a /dev/kvm that opens for one that works.
        command.arg("--disable-kvm");
    }
    command.args(["--cpus", "1", "--exec", "true"]);
    // Its programs find one another by name.
    let mut path = virtme
        .program
        .parent()
        .unwrap_or(Path::new(""))
        .as_os_str()
        .to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    command.env("PATH", path);
    let began = Instant::now();
    let run = tokio::task::spawn_blocking(move || process::run(command, None));
    match run.await {
        Ok(result) => result.map(|_| began.elapsed()).map_err(BenchError::from),
        Err(_) => Err(ProcessError::Cancelled.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let times = |contender, millis: &[u64]| Times {
            contender,
            rounds: millis.iter().map(|ms| Duration::from_millis(*ms)).collect(),
        };
        let report = BenchReport {
            times: vec![
                times(Contender::Factory, &[3000, 9000, 4000]),
                times(Contender::Restored, &[200, 220]),
                times(Contender::Bare, &[8000, 10_000, 12_000]),
                times(Contender::Virtme, &[]),
            ],
        };
        insta::assert_snapshot!(report);
    }
}
