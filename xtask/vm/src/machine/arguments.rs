// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU's command line, as a pure function of the machine.

use std::path::{Path, PathBuf};

use super::qemu::{Accel, Version, cpu};
use crate::spec::Disk;

/// The guest's ports: the names of their sockets, and of the ports after `org.tidelock.`.
pub const PORTS: [&str; 3] = ["control", "ktap", "kmsg"];

/// Where the guest's memory lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Memory {
    /// In QEMU alone.
    Anonymous,
    /// In a file that the guest writes: what a state is saved from.
    File(PathBuf),
    /// In that file, what the guest writes staying in QEMU: what a state is restored from.
    CopyOf(PathBuf),
}

/// Where a machine begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// At its reset.
    Reset,
    /// Where a state was saved, once the monitor has been told which.
    Restore,
}

/// What the guest's clocks go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Clock {
    /// The host's.
    #[default]
    Host,
    /// The instructions that were executed, one a nanosecond; waiting takes no time. What is
    /// measured is the same on every host, however busy. Under TCG alone.
    Instructions,
}

/// All that makes a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    /// What executes it.
    pub accel: Accel,
    /// ELF with a PVH note, or a bzImage.
    pub kernel: PathBuf,
    /// Its first root.
    pub initramfs: PathBuf,
    /// Its command line.
    pub cmdline: String,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Of memory.
    pub mib: u32,
    /// How many processors it has.
    pub processors: u8,
    /// Where that is.
    pub memory: Memory,
    /// What its clocks go by.
    pub clock: Clock,
    /// Where it begins.
    pub start: Start,
    /// What the serial port says goes here.
    pub serial: PathBuf,
    /// The sockets are made here.
    pub sockets: PathBuf,
}

/// The kernel's command line for tests.
///
/// The console is for panics: at this level only an emergency costs the time of the serial port,
/// and a panic or an oops raises the level itself. Everything else comes by the kmsg port.
pub const CMDLINE: &str = "console=ttyS0 loglevel=1 panic=-1 oops=panic printk.devkmsg=on \
    cryptomgr.notests norandmaps tsc=reliable no_timer_check random.trust_cpu=on";

impl Machine {
    fn size(&self) -> [String; 4] {
        let (processors, memory) = (self.processors.to_string(), format!("{}M", self.mib));
        ["-smp".into(), processors, "-m".into(), memory]
    }

    /// The arguments for QEMU of `version`.
    pub fn arguments(&self, version: Version) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| out.extend(words.iter().map(|word| (*word).to_owned()));
        add(&[
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        add(&[
            "-accel",
            self.accel.as_str(),
            "-cpu",
            cpu(self.accel, version).model,
        ]);
        add(&self.size().each_ref().map(String::as_str));
        if self.clock == Clock::Instructions {
            add(&["-icount", "shift=0,sleep=off"]);
        }
        match &self.memory {
            Memory::Anonymous => add(&["-machine", "pc"]),
            Memory::File(path) => add(&self.backend(path, "on").each_ref().map(String::as_str)),
            Memory::CopyOf(path) => add(&self.backend(path, "off").each_ref().map(String::as_str)),
        }
        add(&["-kernel", &text(&self.kernel)]);
        add(&["-initrd", &text(&self.initramfs), "-append", &self.cmdline]);
        add(&[
            "-chardev",
            &format!("file,id=serial,path={}", option(&self.serial)),
        ]);
        add(&["-serial", "chardev:serial"]);
        let socket = |name| option(&self.sockets.join(name));
        add(&[
            "-qmp",
            &format!("unix:{},server=on,wait=off", socket("qmp")),
        ]);
        add(&["-device", "virtio-serial-pci"]);
        for port in PORTS {
            let path = socket(port);
            add(&[
                "-chardev",
                &format!("socket,id={port},path={path},server=on,wait=off"),
            ]);
            add(&[
                "-device",
                &format!("virtserialport,chardev={port},name=org.tidelock.{port}"),
            ]);
        }
        for (place, Disk { name, image, .. }) in self.disks.iter().enumerate() {
            // Read-only takes a lock that others share: all machines of a run have the same disk.
            let drive = format!(
                "if=none,id=disk{place},format=raw,readonly=on,file={}",
                option(image)
            );
            let device = format!("virtio-blk-pci,drive=disk{place},serial={name}");
            add(&["-drive", &drive, "-device", &device]);
        }
        if self.start == Start::Restore {
            // That the memory is there already can be said by the monitor alone.
            add(&["-incoming", "defer"]);
        }
        out
    }

    fn backend(&self, path: &Path, share: &str) -> [String; 4] {
        let (mib, path) = (self.mib, option(path));
        let backend =
            format!("memory-backend-file,id=ram,size={mib}M,mem-path={path},share={share}");
        let machine = "pc,memory-backend=ram".to_owned();
        [
            "-object".to_owned(),
            backend,
            "-machine".to_owned(),
            machine,
        ]
    }
}

/// Which way a state goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// It is saved.
    To,
    /// It is restored.
    From,
}

/// What `migrate` and `-incoming` call the file.
pub fn channel(path: &Path, version: Version, direction: Direction) -> String {
    let path = text(path);
    if version.migrates_to_files() {
        return format!("file:{path}");
    }
    let quoted = format!("'{}'", path.replace('\'', r"'\''"));
    match direction {
        Direction::To => format!("exec:cat > {quoted}"),
        Direction::From => format!("exec:cat {quoted}"),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A path as the value of one of QEMU's options, where a comma ends the value.
fn option(path: &Path) -> String {
    text(path).replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            accel: Accel::Tcg,
            kernel: "/cache/vmlinux".into(),
            initramfs: "/cache/initramfs".into(),
            cmdline: CMDLINE.into(),
            disks: vec![Disk {
                name: "apps".into(),
                image: "/cache/a,b/image".into(),
                sha256: tidelock_model::Sha256::of(b""),
            }],
            mib: 256,
            processors: 1,
            memory: Memory::File("/cache/ram".into()),
            clock: Clock::Host,
            start: Start::Reset,
            serial: "/logs/a,b/serial.log".into(),
            sockets: "/tmp/s".into(),
        }
    }

    fn lines(machine: &Machine, version: &str) -> String {
        let version = Version::parse(&format!("version {version}")).unwrap();
        machine
            .arguments(version)
            .join("\n")
            .replace("\n-", "\n\n-")
    }

    #[test]
    fn a_machine_that_boots() {
        insta::assert_snapshot!(lines(&machine(), "10.0.2"));
    }

    #[test]
    fn a_machine_that_is_restored() {
        let restored = Machine {
            memory: Memory::CopyOf("/cache/ram".into()),
            start: Start::Restore,
            ..machine()
        };
        insta::assert_snapshot!("restored", lines(&restored, "10.0.2"));
        insta::assert_snapshot!("restored_by_an_old_qemu", lines(&restored, "7.2.22"));
    }

    #[test]
    fn a_machine_that_counts_instructions_differs_by_that_alone() {
        let counting = Machine {
            clock: Clock::Instructions,
            ..machine()
        };
        let without = lines(&counting, "10.0.2").replace("-icount\nshift=0,sleep=off\n\n", "");
        assert_eq!(without, lines(&machine(), "10.0.2"));
        assert_ne!(lines(&counting, "10.0.2"), without);
    }

    #[test]
    fn old_versions_save_and_restore_by_way_of_cat() {
        let path = Path::new("/cache/it's/state");
        let [old, new] =
            ["7.2.22", "8.2.0"].map(|text| Version::parse(&format!("version {text}")).unwrap());
        assert_eq!(channel(path, new, Direction::To), "file:/cache/it's/state");
        assert_eq!(
            channel(path, old, Direction::To),
            r"exec:cat > '/cache/it'\''s/state'"
        );
        assert_eq!(
            channel(path, old, Direction::From),
            r"exec:cat '/cache/it'\''s/state'"
        );
    }

    #[test]
    fn a_machine_of_the_accelerator_probe() {
        let probe = Machine {
            accel: Accel::Kvm,
            disks: Vec::new(),
            memory: Memory::Anonymous,
            ..machine()
        };
        insta::assert_snapshot!(lines(&probe, "10.0.2"));
    }
}
