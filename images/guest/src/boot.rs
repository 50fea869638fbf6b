// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From a bare kernel to one with file systems and drivers.

use std::{fs::File, path::Path};

use rustix::{
    fs::Mode,
    io::Errno,
    mount::{MountFlags, mount},
};

use crate::failure::{Checked, Failure};

/// Written by the host: the modules to load, one path a line, in dependency order.
const MODULES: &str = "/modules.list";

/// A file system, where it goes, and whether a kernel without it is of use.
const MOUNTS: [(&str, &str, Need); 5] = [
    ("proc", "/proc", Need::Must),
    ("sysfs", "/sys", Need::Must),
    ("devtmpfs", "/dev", Need::Must),
    ("devpts", "/dev/pts", Need::May),
    ("tmpfs", "/tmp", Need::May),
];

/// Settings that make a kernel in trouble say so while the host still listens. A kernel that
/// lacks one does without.
const SETTINGS: [(&str, &str); 6] = [
    // Without it the kernel drops lines that user space logs, the end marker among them.
    ("/proc/sys/kernel/printk_devkmsg", "on"),
    // A soft lockup is told at twice this, on a lone processor by a panic only.
    ("/proc/sys/kernel/watchdog_thresh", "5"),
    ("/proc/sys/kernel/softlockup_panic", "1"),
    ("/proc/sys/kernel/hung_task_timeout_secs", "10"),
    (
        "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout",
        "15",
    ),
    // Any use of sysrq: the corpus panics the kernel with it.
    ("/proc/sys/kernel/sysrq", "1"),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
}

/// Mounts the kernel's file systems.
pub(crate) fn mount_all() -> Checked<()> {
    for (kind, target, need) in MOUNTS {
        match rustix::fs::mkdir(target, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Failure::system(format!("mkdir {target}"))(error)),
        }
        match mount(kind, target, kind, MountFlags::empty(), None) {
            // The kernel mounts devtmpfs itself where CONFIG_DEVTMPFS_MOUNT covers an initramfs.
            Ok(()) | Err(Errno::BUSY) => {}
            Err(_) if need == Need::May => {}
            Err(error) => return Err(Failure::system(format!("mount {target}"))(error)),
        }
    }
    Ok(())
}

/// Applies [`SETTINGS`].
pub(crate) fn tune() {
    for (path, value) in SETTINGS {
        // Absent where the kernel was built without the detector: nothing to be done.
        let _ = crate::procfs::set(path, value);
    }
}

/// Loads the drivers that the host listed; returns how many.
pub(crate) fn load_drivers() -> Checked<usize> {
    let list =
        std::fs::read_to_string(MODULES).map_err(Failure::system(format!("read {MODULES}")))?;
    let paths: Vec<&str> = list
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    for path in &paths {
        load(Path::new(path))?;
    }
    Ok(paths.len())
}

fn load(path: &Path) -> Checked<()> {
    let shown = path.display();
    let file = File::open(path).map_err(Failure::system(format!("open {shown} of {MODULES}")))?;
    match rustix::system::finit_module(&file, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(Failure::system(format!(
            "load {shown} of {MODULES}; the kernel log says why"
        ))(error)),
    }
}
