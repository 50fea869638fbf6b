// SPDX-License-Identifier: Apache-2.0 OR MIT
use std::{process::ExitStatus, time::Duration};

use super::*;

const KTAP: &str = "KTAP version 1\n1..1\n# rounds: 2\nok 1 load.module # fine\n";
const KMSG: &str = "6,8,100,-;tidelock: loaded\n14,9,200,-;tidelock-guest: end of load.module\n";

fn judge(end: &End, ktap: &str, kmsg: &str, serial: &str) -> Judgement {
    test(&Evidence {
        test: "load.module",
        end,
        ktap: ktap.as_bytes(),
        kmsg: kmsg.as_bytes(),
        after: Some(7),
        serial,
    })
}

fn done() -> End {
    End::Said("load.module".into())
}

#[test]
fn a_whole_and_quiet_test_passes_with_what_it_measured() {
    let judgement = judge(&done(), KTAP, KMSG, "");
    assert_eq!(judgement.status, Status::Pass, "{}", judgement.detail);
    assert_eq!(judgement.detail, "fine");
    assert_eq!(judgement.measured["rounds"], "2");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn nothing_less_passes() {
    let warning = format!(
        "4,8,0,-;WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2\n{}",
        KMSG.replace(",8,", ",9,").replace("14,9", "14,10")
    );
    let exit = |code: i32| End::Died(ExitStatus::from_raw(code));
    let long = Duration::from_secs(20);
    let cases: [(&str, Status, End, &str, &str, &str); 18] = [
        ("guest-died", Status::Fail, exit(0), KTAP, KMSG, ""),
        ("qemu-died", Status::Error, exit(11), KTAP, KMSG, ""),
        ("qemu-died", Status::Error, exit(0x100), KTAP, KMSG, ""),
        (
            "guest-died",
            Status::Fail,
            End::Fatal("x".into()),
            KTAP,
            KMSG,
            "",
        ),
        (
            "silent-hang",
            Status::Fail,
            End::Silent(long),
            KTAP,
            KMSG,
            "",
        ),
        (
            "test-timeout",
            Status::Fail,
            End::Overtime(long),
            KTAP,
            KMSG,
            "",
        ),
        (
            "log-flood",
            Status::Fail,
            End::Flooded("kmsg"),
            KTAP,
            KMSG,
            "",
        ),
        (
            "infrastructure",
            Status::Error,
            End::Refused("x".into()),
            KTAP,
            KMSG,
            "",
        ),
        (
            "malformed-ktap",
            Status::Fail,
            End::Said("other".into()),
            KTAP,
            KMSG,
            "",
        ),
        ("missing-plan", Status::Fail, done(), "", KMSG, ""),
        (
            "truncated-ktap",
            Status::Fail,
            done(),
            "KTAP version 1\n1..2\nok 1 load.module\n",
            KMSG,
            "",
        ),
        (
            "no-verdict",
            Status::Fail,
            done(),
            "KTAP version 1\n1..1\n",
            KMSG,
            "",
        ),
        (
            "malformed-ktap",
            Status::Fail,
            done(),
            "KTAP version 1\n1..1\nok 1 other\n",
            KMSG,
            "",
        ),
        (
            "broken-scan",
            Status::Fail,
            done(),
            KTAP,
            "6,8,100,-;tidelock: loaded\n",
            "",
        ),
        (
            "broken-scan",
            Status::Fail,
            done(),
            KTAP,
            "6,12,100,-;x\n14,13,1,-;tidelock-guest: end of load.module\n",
            "",
        ),
        ("kernel-warning", Status::Fail, done(), KTAP, &warning, ""),
        (
            "kernel-panic",
            Status::Fail,
            exit(0),
            "",
            "",
            "[    1.5] Kernel panic - not syncing: x\n",
        ),
        (
            "assertion-failed",
            Status::Fail,
            done(),
            "KTAP version 1\n1..1\nnot ok 1 load.module\n",
            KMSG,
            "",
        ),
    ];
    for (verdict, status, end, ktap, kmsg, serial) in cases {
        let judgement = judge(&end, ktap, kmsg, serial);
        let (word, _) = judgement.detail.split_once(':').unwrap();
        assert_eq!(
            (word, judgement.status),
            (verdict, status),
            "{end:?}: {}",
            judgement.detail
        );
        assert_eq!(
            judgement.again,
            Again::Never,
            "{verdict} is not for the dice"
        );
    }
}

#[test]
fn a_skip_keeps_its_reason_and_is_no_pass() {
    let judgement = judge(
        &done(),
        "KTAP version 1\n1..1\nok 1 load.module # SKIP no kTLS\n",
        KMSG,
        "",
    );
    assert_eq!(
        (judgement.status, judgement.detail.as_str()),
        (Status::Skip, "no kTLS")
    );
}

#[test]
fn only_a_fault_of_the_emulator_is_tried_again() {
    let serial = "[    2.1] BUG: unable to handle page fault for address: 1\n\
        [    2.1] RIP: 0010:f+0x1/0x2\n\
        [    2.1] Code: 90 48 0f c7 4f 20 <0f> 94\n\
        [    2.1] RSP: 0018:ffff EFLAGS: fffff8abc0\n\
        [    2.1] Kernel panic - not syncing: Fatal exception\n";
    let judgement = judge(&End::Died(ExitStatus::from_raw(0)), "", "", serial);
    assert_eq!(
        (judgement.status, judgement.again),
        (Status::Error, Again::Once),
        "{}",
        judgement.detail
    );
    assert!(
        judgement.detail.starts_with("infrastructure: emulator-bug"),
        "{}",
        judgement.detail
    );
}

#[test]
fn a_machine_that_does_not_come_up_is_the_factory_s_trouble_by_name() {
    let long = Duration::from_secs(90);
    for (verdict, end, serial) in [
        ("boot-timeout", End::Overtime(long), ""),
        (
            "kernel-panic",
            End::Died(ExitStatus::from_raw(0)),
            "Kernel panic - not syncing: no init\n",
        ),
        ("guest-died", End::Died(ExitStatus::from_raw(0)), ""),
        ("qemu-died", End::Died(ExitStatus::from_raw(6)), ""),
    ] {
        let judgement = boot(&end, b"", serial);
        assert_eq!(judgement.status, Status::Error);
        assert!(
            judgement.detail.starts_with(verdict),
            "{}",
            judgement.detail
        );
    }
}

#[test]
fn a_kernel_in_trouble_before_the_module_is_loaded_is_no_ground_to_test_on() {
    let quiet = "6,0,0,-;Linux version 6.1\n14,1,9,-;tidelock-guest: ready, 4 drivers\n";
    assert_eq!(came_up(quiet.as_bytes(), ""), None);
    let warned = "4,0,0,-;WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2\n14,1,9,-;ready\n";
    for (verdict, kmsg, serial) in [
        ("kernel-warning", warned, ""),
        (
            "kernel-oops",
            quiet,
            "[    1.5] BUG: unable to handle page fault\n",
        ),
        ("broken-scan", "6,0,0,-;a\n6,2,0,-;c\n", ""),
        ("broken-scan", "6,0,0,-;Linux ver", ""),
    ] {
        let judgement = came_up(kmsg.as_bytes(), serial).unwrap();
        assert_eq!(
            (judgement.status, judgement.again),
            (Status::Error, Again::Never)
        );
        assert!(
            judgement.detail.starts_with(verdict),
            "{}",
            judgement.detail
        );
        assert!(
            judgement.detail.contains("before the module"),
            "{}",
            judgement.detail
        );
    }
}

proptest::proptest! {
    #[test]
    fn noise_never_passes(ktap in ".{0,200}", kmsg in ".{0,200}", serial in ".{0,200}") {
        proptest::prop_assert_ne!(judge(&done(), &ktap, &kmsg, &serial).status, Status::Pass);
    }
}
