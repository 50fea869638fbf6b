// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The virtio-serial ports, found by name.

use std::{
    fs::{self, File, OpenOptions},
    path::PathBuf,
    thread::sleep,
    time::Duration,
};

use crate::failure::{Checked, Failure};

/// Commands from the host and answers to it.
pub(crate) const CONTROL: &str = "org.tidelock.control";
/// The verdict.
pub(crate) const KTAP: &str = "org.tidelock.ktap";
/// The kernel's log.
pub(crate) const KMSG: &str = "org.tidelock.kmsg";

const CLASS: &str = "/sys/class/virtio-ports";
/// The driver names its ports from a work queue some time after it is loaded.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(10);

/// Opens the port called `name`, for reading and writing.
pub(crate) fn open(name: &str) -> Checked<File> {
    for _ in 0..TRIES {
        if let Some(device) = find(name) {
            return OpenOptions::new()
                .read(true)
                .write(true)
                .open(&device)
                .map_err(Failure::system(format!("open {}", device.display())));
        }
        sleep(PAUSE);
    }
    Err(Failure::Assertion(format!(
        "no virtio-serial port {name} under {CLASS}: the machine must have it, and \
         /modules.list the virtio_pci and virtio_console of this kernel, where they are modules"
    )))
}

fn find(name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir(CLASS).ok()?;
    ports.flatten().find_map(|port| {
        let text = fs::read_to_string(port.path().join("name")).ok()?;
        let device = PathBuf::from("/dev").join(port.file_name());
        (text.trim_end() == name && device.exists()).then_some(device)
    })
}
