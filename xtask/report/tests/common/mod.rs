// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the integration tests share.

pub mod browser;
pub mod fixture;

use std::path::Path;

use tidelock_host::files::write_atomic;
use tidelock_model::RunReport;

/// A run's folder as the pipeline leaves it: logs, then the report's files.
pub fn write_run(report: &RunReport, dir: &Path) {
    for cell in &report.cells {
        let folder = dir.join(&cell.logs);
        let boot: String = (0..400)
            .map(|n| {
                format!(
                    "[    {}.{n:06}] line {n} of the boot of {}\n",
                    n / 100,
                    cell.kernel
                )
            })
            .collect();
        let hostile = format!("{boot}{}\n<svg onload=alert(2)>\n", fixture::HOSTILE);
        write_atomic(&folder.join("boot.log"), boot.as_bytes()).unwrap();
        write_atomic(
            &folder.join("compile.log"),
            b"  CC [M]  device.o\n  LD [M]  tidelock.ko\n",
        )
        .unwrap();
        write_atomic(&folder.join("test.kmsg.log"), hostile.as_bytes()).unwrap();
        write_atomic(&folder.join("tidelock.ko"), b"\x7fELF\x02\x01\x01\0\0\0").unwrap();
    }
    tidelock_report::write(report, dir).unwrap();
}
