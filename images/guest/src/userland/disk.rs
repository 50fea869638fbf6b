// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Disks, found by the serial numbers that the host gave them.

use std::fs;

use crate::failure::{Checked, Failure};

const BLOCK: &str = "/sys/block";

/// The device file of the disk called `name`.
pub(super) fn find(name: &str) -> Checked<String> {
    let disks = fs::read_dir(BLOCK).map_err(Failure::system(format!("read {BLOCK}")))?;
    let found = disks.flatten().find(|disk| {
        let serial = fs::read_to_string(disk.path().join("serial"));
        serial.is_ok_and(|serial| serial.trim_end() == name)
    });
    let device = found.map(|disk| format!("/dev/{}", disk.file_name().to_string_lossy()));
    device.ok_or_else(|| {
        Failure::Assertion(format!(
            "no disk has the serial {name}: the machine must have it, and /modules.list the \
             virtio_blk of this kernel"
        ))
    })
}
