// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One run that has everything: each status, a crash, a cached cell, other scripts, hostile text.

use tidelock_model::{
    Arch, CellReport, Crash, Flavour, REPORT_FORMAT, RunReport, Sha256, Status, TestReport, Tier,
};

/// Text that breaks out of whatever does not escape it.
pub const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)>\"'`]]>&amp;\u{1b}[2J\u{7}|*_@all <!--\u{202e}";

/// The tests of the plan.
pub const TESTS: [&str; 8] = [
    "load.module",
    "load.cycles",
    "device.hello",
    "device.two_openers",
    "device.garbage",
    "device.unload_while_open",
    "selftest.handshake",
    "selftest.stack",
];

/// The run.
pub fn run() -> RunReport {
    let cells = vec![
        passed("5.10.0-43-amd64", Flavour::Standard, "bullseye", 9120),
        oopsed(),
        passed("6.1.0-56-amd64", Flavour::Standard, "bookworm", 9344),
        Cell::new("6.1.0-56-cloud-amd64", Flavour::Cloud, "bookworm").unbuilt(),
        Cell::new("6.12.117+deb13-amd64", Flavour::Standard, "trixie").cached(),
        Cell::new("6.12.117+deb13-cloud-amd64", Flavour::Cloud, "trixie").hostile(),
        Cell::new("6.12.9+deb13-amd64", Flavour::Standard, "trixie").flaky(),
        Cell::new("7.2.12+deb13-amd64", Flavour::Standard, "trixie-backports").vanished(),
        Cell::new("7.3.4+deb13-amd64", Flavour::Standard, "experimental").lost(),
        Cell::new("7.3.4+deb13-rt-amd64", Flavour::Rt, "experimental").skipped(),
    ];
    RunReport {
        format: REPORT_FORMAT,
        run: "2026-08-01T12-00-00Z-full".into(),
        version: "0.1.0".into(),
        started: 1_785_585_600,
        duration_ms: 2_292_345,
        tier: Tier::Full,
        complete: true,
        missing: ["6.1.0-47-rt-amd64", "5.10.0-44-amd64"]
            .iter()
            .filter_map(|release| release.parse().ok())
            .collect(),
        lock_sha256: Sha256::of(b"matrix.lock"),
        accelerator: "tcg: the canary did not boot under kvm within 5 s".into(),
        qemu: "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)".into(),
        status: cells
            .iter()
            .map(|cell| cell.status)
            .max()
            .unwrap_or(Status::Miss),
        cells,
    }
}

/// A run as large as the whole archive: 120 kernels by 15 tests.
#[allow(
    dead_code,
    reason = "each test binary takes what it needs of this file"
)]
pub fn large() -> RunReport {
    let mut report = run();
    let kinds = [
        (Flavour::Standard, "amd64"),
        (Flavour::Cloud, "cloud-amd64"),
        (Flavour::Rt, "rt-amd64"),
    ];
    let series = [
        ("5.10.0", "bullseye", 6),
        ("6.1.0", "bookworm", 11),
        ("6.12", "trixie", 15),
        ("7.2", "forky", 6),
        ("7.3", "sid", 2),
    ];
    let mut cells = Vec::new();
    for (base, suite, count) in series {
        for patch in 0..count {
            for (flavour, tail) in kinds {
                let release = match base {
                    "5.10.0" | "6.1.0" => format!("{base}-{}-{tail}", 30 + patch),
                    _ => format!("{base}.{}+deb13-{tail}", 4 + patch * 3),
                };
                let stack = 9000 + 37 * patch;
                cells.push(passed(&release, flavour, suite, stack));
            }
        }
    }
    for cell in &mut cells {
        for index in cell.tests.len()..15 {
            cell.tests.push(test(
                &format!("intercept.case_{index}"),
                Status::Pass,
                "as expected",
            ));
        }
    }
    for (index, broken) in report
        .cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.status != Status::Pass)
    {
        let target = &mut cells[index * 11];
        target.status = broken.status;
        target.stage.clone_from(&broken.stage);
        target.reason.clone_from(&broken.reason);
        target.crash.clone_from(&broken.crash);
        target.durations_ms.clone_from(&broken.durations_ms);
        for (new, old) in target.tests.iter_mut().zip(&broken.tests) {
            new.status = old.status;
            new.detail.clone_from(&old.detail);
            new.measured.clone_from(&old.measured);
        }
    }
    report.cells = cells;
    report
}

fn oopsed() -> CellReport {
    let mut cell = Cell::new("5.10.0-43-rt-amd64", Flavour::Rt, "bullseye").0;
    cell.status = Status::Fail;
    cell.reason = "kernel-oops: BUG: kernel NULL pointer dereference, address: 0000000000000018 in device.garbage".into();
    cell.crash = Some(Crash {
        verdict: "kernel-oops".into(),
        headline: "BUG: kernel NULL pointer dereference, address: 0000000000000018".into(),
        frames: vec![
            "tdl_write+0x42/0x120 [tidelock] kmod/src/device.c:118".into(),
            "vfs_write+0xc0/0x260".into(),
            "ksys_write+0x5f/0xe0".into(),
            "do_syscall_64+0x33/0x80".into(),
        ],
    });
    for (index, test) in cell.tests.iter_mut().enumerate() {
        if index == 4 {
            test.status = Status::Fail;
            test.detail.clone_from(&cell.reason);
        }
    }
    cell
}

fn passed(kernel: &str, flavour: Flavour, suite: &str, stack: u64) -> CellReport {
    let mut cell = Cell::new(kernel, flavour, suite).0;
    for test in &mut cell.tests {
        if test.name == "selftest.stack" {
            test.measured
                .insert("stack_high_water".into(), stack.to_string());
            test.measured.insert("stack_size".into(), "65536".into());
        }
    }
    cell
}

fn test(name: &str, status: Status, detail: &str) -> TestReport {
    TestReport {
        name: name.into(),
        status,
        duration_ms: 400 + name.len() as u64 * 13,
        detail: detail.into(),
        measured: [].into(),
    }
}

struct Cell(CellReport);

impl Cell {
    fn new(kernel: &str, flavour: Flavour, suite: &str) -> Self {
        let release: tidelock_model::Release = kernel.parse().unwrap();
        Self(CellReport {
            series: release.series(),
            flavour,
            arch: Arch::Amd64,
            suite: suite.into(),
            version: "1.2.3-1".into(),
            status: Status::Pass,
            stage: "test".into(),
            reason: String::new(),
            accelerator: "tcg".into(),
            cached: false,
            durations_ms: [
                ("fetch", 812),
                ("probe", 640),
                ("compile", 1920),
                ("check", 130),
                ("boot", 4810),
                ("test", 5230),
            ]
            .map(|(stage, ms)| (stage.to_owned(), ms))
            .into(),
            tests: TESTS
                .map(|name| test(name, Status::Pass, "as expected"))
                .into(),
            crash: None,
            module_sha256: Some(Sha256::of(kernel.as_bytes())),
            logs: format!("cells/{kernel}"),
            reproduce: format!("cargo xtask matrix --tier full --kernel {kernel} --rerun"),
            kernel: release,
        })
    }

    fn cached(mut self) -> CellReport {
        self.0.cached = true;
        self.0
    }

    fn ended(mut self, status: Status, stage: &str, reason: &str, tests: Status) -> CellReport {
        let cell = &mut self.0;
        cell.status = status;
        cell.stage = stage.into();
        cell.reason = reason.into();
        cell.module_sha256 = None;
        cell.accelerator = String::new();
        let order = ["fetch", "probe", "compile", "check", "boot", "test"];
        let last = order.iter().position(|known| *known == stage).unwrap_or(0);
        cell.durations_ms
            .retain(|stage, _| order[..=last].contains(&stage.as_str()));
        for test in &mut cell.tests {
            test.status = tests;
            test.duration_ms = 0;
            test.detail = format!("not-run: the cell ended at {stage}");
        }
        self.0
    }

    fn unbuilt(self) -> CellReport {
        self.ended(
            Status::Fail,
            "compile",
            "compile-error: kmod/src/device.c:42:9: error: implicit declaration of function ‘class_create’",
            Status::Skip,
        )
    }

    fn vanished(self) -> CellReport {
        self.ended(
            Status::Miss,
            "fetch",
            "vanished: linux-headers-7.2.12+deb13-amd64 is no longer in the archive: run `cargo xtask kernels lock`",
            Status::Miss,
        )
    }

    fn lost(self) -> CellReport {
        self.ended(
            Status::Error,
            "boot",
            "qemu-died: signal 9 before the guest was ready (größer als der Speicher? 内存不足)",
            Status::Error,
        )
    }

    fn skipped(self) -> CellReport {
        self.ended(
            Status::Skip,
            "plan",
            "declared: rt of 7.3 is not supported yet (matrix.toml)",
            Status::Skip,
        )
    }

    fn flaky(mut self) -> CellReport {
        let cell = &mut self.0;
        cell.status = Status::Fail;
        cell.reason = "leaked-reference: 3 objects left in tdl_session after unload".into();
        cell.tests[1].status = Status::Fail;
        cell.tests[1].detail.clone_from(&cell.reason);
        cell.tests[1]
            .measured
            .insert("slab_delta".into(), "3".into());
        cell.tests[7].status = Status::Skip;
        cell.tests[7].detail = "declared: no kTLS in this kernel".into();
        self.0
    }

    fn hostile(mut self) -> CellReport {
        let cell = &mut self.0;
        cell.status = Status::Fail;
        cell.suite = HOSTILE.into();
        cell.version = HOSTILE.into();
        cell.stage = "test".into();
        cell.reason = format!("kernel-warning: {HOSTILE}");
        cell.crash = Some(Crash {
            verdict: HOSTILE.into(),
            headline: format!("WARNING: {HOSTILE}"),
            frames: vec![HOSTILE.into()],
        });
        cell.tests[2].status = Status::Fail;
        cell.tests[2].detail = format!("kernel-warning: {HOSTILE}");
        cell.tests[2]
            .measured
            .insert(HOSTILE.into(), HOSTILE.into());
        cell.tests.push(test(HOSTILE, Status::Fail, HOSTILE));
        self.0
    }
}
