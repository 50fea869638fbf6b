// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whole reports, in the words of several kernels.
use super::*;

/// 5.10, with a message of its own.
const WARNING_5_10: &str = "\
------------[ cut here ]------------
tidelock: the state is odd
WARNING: CPU: 0 PID: 71 at kmod/src/chardev.c:88 tidelock_write+0x1a/0x40 [tidelock]
Modules linked in: tidelock(OE) tls
CPU: 0 PID: 71 Comm: init Tainted: G           OE     5.10.0-43-amd64 #1 Debian 5.10.251-5
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
RIP: 0010:tidelock_write+0x1a/0x40 [tidelock]
Code: 0f 1f 44 00 00 48 c7 c7 30 60 a1 c0 e8 b1 0f 22 c1 <0f> 0b 31 c0 c3
RSP: 0018:ffffa2d3c0123e68 EFLAGS: 00010286
RAX: 0000000000000000 RBX: ffff888004a1c000 RCX: 0000000000000000
Call Trace:
 vfs_write+0xc0/0x270
 ? tidelock_read+0x10/0x60 [tidelock]
 ksys_write+0x5f/0xe0
 do_syscall_64+0x33/0x80
 entry_SYSCALL_64_after_hwframe+0x62/0xc7
RIP: 0033:0x401a2b
---[ end trace 0a1b2c3d4e5f6071 ]---
";

/// 6.1.
const OOPS_6_1: &str = "\
BUG: kernel NULL pointer dereference, address: 0000000000000008
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 PID: 71 Comm: init Tainted: G           OE      6.1.0-47-amd64 #1  Debian 6.1.170-1
Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2-debian-1.16.2-1 04/01/2014
RIP: 0010:tidelock_poll+0x12/0x50 [tidelock]
Code: 66 90 0f 1f 44 00 00 53 48 8b 9f c8 00 00 00 <48> 8b 43 08 5b c3
RSP: 0018:ffffa2d3c0123d40 EFLAGS: 00010246
Call Trace:
 <TASK>
 ? __die_body.cold+0x1a/0x1f
 ? page_fault_oops+0xd2/0x2b0
 do_sys_poll+0x2a1/0x5e0
 __x64_sys_ppoll+0xb7/0x150
 do_syscall_64+0x55/0xb0
 entry_SYSCALL_64_after_hwframe+0x6e/0xd8
RIP: 0033:0x401a2b
 </TASK>
Modules linked in: tidelock(OE) tls
CR2: 0000000000000008
---[ end trace 0000000000000000 ]---
RIP: 0010:tidelock_poll+0x12/0x50 [tidelock]
";

/// 6.12: the fault's kind stands behind "Oops: ".
const BUG_ON_6_12: &str = "\
------------[ cut here ]------------
kernel BUG at kmod/src/memory.c:91!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 71 Comm: init Tainted: G           OE      6.12.118+deb13-amd64 #1  Debian 6.12.118-1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
RIP: 0010:tidelock_free+0x3a/0x60 [tidelock]
Call Trace:
 <TASK>
 tidelock_release+0x1c/0x30 [tidelock]
 __fput+0xe8/0x2c0
 </TASK>
Modules linked in: tidelock(OE) tls
---[ end trace 0000000000000000 ]---
";

/// 7.x: processor and task go behind the place.
const WARNING_7: &str = "\
------------[ cut here ]------------
WARNING: kmod/src/chardev.c:88 at tidelock_write+0x1a/0x40 [tidelock], CPU#0: init/71
Modules linked in: tidelock(OE) tls
CPU: 0 UID: 0 PID: 71 Comm: init Tainted: G           OE       7.3-amd64 #1 PREEMPT(lazy)  Debian 7.3-1
Tainted: [O]=OOT_MODULE, [E]=UNSIGNED_MODULE
RIP: 0010:tidelock_write+0x1a/0x40 [tidelock]
Call Trace:
 <TASK>
 vfs_write+0xf0/0x470
 ksys_write+0x6f/0xf0
 </TASK>
---[ end trace 0000000000000000 ]---
";

const REFCOUNT_6_1: &str = "\
------------[ cut here ]------------
refcount_t: underflow; use-after-free.
WARNING: CPU: 0 PID: 71 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
Modules linked in: tidelock(OE) tls
RIP: 0010:refcount_warn_saturate+0xba/0x110
Call Trace:
 <TASK>
 tidelock_release+0x1c/0x30 [tidelock]
 </TASK>
---[ end trace 0000000000000000 ]---
";

const KASAN_6_12: &str = "\
==================================================================
BUG: KASAN: slab-use-after-free in tidelock_read+0x2c/0x60 [tidelock]
Read of size 8 at addr ffff888004a1c008 by task init/71

CPU: 0 UID: 0 PID: 71 Comm: init Tainted: G           OE      6.12.118 #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 print_report+0x171/0x486
 tidelock_read+0x2c/0x60 [tidelock]
 </TASK>

Allocated by task 71:
 kasan_save_stack+0x33/0x60
The buggy address belongs to the object at ffff888004a1c000
==================================================================
";

const LOCKDEP_6_1: &str = "\
======================================================
WARNING: possible circular locking dependency detected
6.1.0 #1 Tainted: G           OE
------------------------------------------------------
init/71 is trying to acquire lock:
ffff888004a1c018 (&tls->lock){+.+.}-{3:3}, at: tidelock_write+0x1a/0x40 [tidelock]
stack backtrace:
CPU: 0 PID: 71 Comm: init Tainted: G           OE      6.1.0 #1
Call Trace:
 <TASK>
 check_noncircular+0xfe/0x110
 </TASK>
";

const SLAB_5_10: &str = "\
=============================================================================
BUG kmalloc-64 (Tainted: G           OE    ): Poison overwritten
-----------------------------------------------------------------------------

Disabling lock debugging due to kernel taint
INFO: 0x00000000a1b2c3d4-0x00000000a1b2c3d4 @offset=64. First byte 0x6a instead of 0x6b
Call Trace:
 check_bytes_and_report.cold+0x3a/0x7f
";

/// No rule knows its words; it begins with a mark, and the rest is of it.
const UNKNOWN: &str = "\
------------[ cut here ]------------
tidelock_core: nobody knows these words
Modules linked in: tidelock(OE) tls
CPU: 0 UID: 0 PID: 71 Comm: init
Call Trace:
 <TASK>
 tidelock_write+0x1a/0x40 [tidelock]
 </TASK>
";

const DUMP_STACK: &str = "\
odd, but not fatal
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 tidelock_write+0x1a/0x40 [tidelock]
 </TASK>
";

const OOM_6_1: &str = "\
init invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0
CPU: 0 PID: 71 Comm: init Tainted: G           OE      6.1.0-47-amd64 #1  Debian 6.1.170-1
Call Trace:
 <TASK>
 dump_header+0x4a/0x1ff
 </TASK>
Mem-Info:
";

/// 6.1, started with softlockup_panic=1: the module's function is the one that was interrupted,
/// and its section for initialization has no symbols.
const SOFT_LOCKUP_6_1: &str = "\
Kernel panic - not syncing: softlockup: hung tasks
CPU: 0 PID: 82 Comm: exe Tainted: G           OEL     6.1.0-56-amd64 #1  Debian 6.1.192-2
Call Trace:
 <IRQ>
 dump_stack_lvl+0x44/0x5c
 panic+0x118/0x2f4
 watchdog_timer_fn.cold+0xc/0x16
 ? lockup_detector_update_enable+0x50/0x50
 sysvec_apic_timer_interrupt+0x69/0x90
 </IRQ>
 <TASK>
 asm_sysvec_apic_timer_interrupt+0x16/0x20
RIP: 0010:fault_init+0xe/0x1000 [tidelock]
Code: Unable to access opcode bytes at 0xffffffffc0224fe4.
RSP: 0018:ffffc900005ffda8 EFLAGS: 00000282
RAX: 0000000000000000 RBX: ffffffffc0225000 RCX: 0000000000000000
R13: 0000000000000000 R14: 0000000000000000 R15: 0000000000000000
 ? 0xffffffffc0225000
 0xffffffffc0225000
 do_one_initcall+0x56/0x220
 </TASK>
---[ end Kernel panic - not syncing: softlockup: hung tasks ]---
";

type Case = (&'static str, Class, &'static str, usize);

const CASES: [Case; 11] = [
    (
        WARNING_5_10,
        Class::Warning,
        "RIP: tidelock_write+0x1a/0x40 [tidelock]",
        1,
    ),
    (
        OOPS_6_1,
        Class::Oops,
        "RIP: tidelock_poll+0x12/0x50 [tidelock]",
        1,
    ),
    (
        BUG_ON_6_12,
        Class::Oops,
        "RIP: tidelock_free+0x3a/0x60 [tidelock]",
        1,
    ),
    (
        WARNING_7,
        Class::Warning,
        "RIP: tidelock_write+0x1a/0x40 [tidelock]",
        1,
    ),
    (
        REFCOUNT_6_1,
        Class::Refcount,
        "RIP: refcount_warn_saturate+0xba/0x110",
        1,
    ),
    (KASAN_6_12, Class::Kasan, "dump_stack_lvl+0x5d/0x80", 1),
    (
        LOCKDEP_6_1,
        Class::Lockdep,
        "check_noncircular+0xfe/0x110",
        1,
    ),
    (
        SLAB_5_10,
        Class::SlabCorruption,
        "check_bytes_and_report.cold+0x3a/0x7f",
        1,
    ),
    (
        UNKNOWN,
        Class::KernelTrace,
        "tidelock_write+0x1a/0x40 [tidelock]",
        1,
    ),
    (
        DUMP_STACK,
        Class::KernelTrace,
        "dump_stack_lvl+0x5d/0x80",
        1,
    ),
    (OOM_6_1, Class::OutOfMemory, "dump_header+0x4a/0x1ff", 1),
];

fn check(scan: &Scan, (text, class, frame, count): Case, source: Source) {
    let found = &scan.findings;
    assert_eq!(found.len(), count, "{text}\n{found:#?}");
    assert_eq!(found[0].class, class, "{text}");
    assert_eq!(
        found[0].frames.first().map(String::as_str),
        Some(frame),
        "{text}"
    );
    assert_eq!(found[0].source, source, "{text}");
}

fn serial_of(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| format!("[    1.234567][   T71] {line}\r\n"));
    lines.collect()
}

#[test]
fn each_report_is_one_finding_with_its_first_frame() {
    for case in CASES {
        check(&Scan::of(&log_of(case.0), ""), case, Source::Log);
    }
}

#[test]
fn the_console_alone_tells_the_same() {
    for case in CASES {
        check(
            &Scan::of(&Log::default(), &serial_of(case.0)),
            case,
            Source::Serial,
        );
    }
}

#[test]
fn the_console_repeats_the_log() {
    for case in CASES {
        check(
            &Scan::of(&log_of(case.0), &serial_of(case.0)),
            case,
            Source::Log,
        );
    }
}

#[test]
fn records_of_user_space_in_between_change_nothing() {
    for case in CASES {
        let records: String = (case.0.lines().zip(0..))
            .map(|(line, at)| {
                format!(
                    "4,{},0,-;{line}\n14,{},0,-;init: a line\n",
                    at * 2,
                    at * 2 + 1
                )
            })
            .collect();
        check(
            &Scan::of(&Log::parse(records.as_bytes()), ""),
            case,
            Source::Log,
        );
    }
}

#[test]
fn a_report_that_is_cut_off_anywhere_is_found() {
    for (text, ..) in CASES {
        let lines: Vec<&str> = text.lines().collect();
        // From where the report can be known: its mark, its headline or its trace.
        let known = lines.iter().position(|line| {
            rules::of(line).is_some() || line.contains("cut here") || trace::is_start(line)
        });
        for end in known.unwrap() + 1..=lines.len() {
            let scan = Scan::of(&log_of(&lines[..end].join("\n")), "");
            assert!(scan.verdict().is_some(), "{:?}", &lines[..end]);
        }
    }
}

#[test]
fn two_reports_are_two_findings() {
    for text in [WARNING_5_10, WARNING_7, BUG_ON_6_12] {
        let both = format!("{text}{OOPS_6_1}");
        let scan = Scan::of(&log_of(&both), "");
        assert_eq!(scan.findings.len(), 2, "{:#?}", scan.findings);
        assert_eq!(
            scan.findings[1].frames[0],
            "RIP: tidelock_poll+0x12/0x50 [tidelock]"
        );
    }
}

#[test]
fn a_trace_goes_on_through_an_interrupt_and_code_without_symbols() {
    let scan = Scan::of(&Log::default(), &serial_of(SOFT_LOCKUP_6_1));
    let [panic] = &scan.findings[..] else {
        panic!("{:#?}", scan.findings);
    };
    assert_eq!(panic.class, Class::Panic);
    let behind = panic.frames.len() - 2;
    assert_eq!(
        panic.frames[behind..],
        [
            "RIP: fault_init+0xe/0x1000 [tidelock]",
            "do_one_initcall+0x56/0x220"
        ]
    );
}

fn found(records: &str) -> Vec<Class> {
    let scan = Scan::of(&Log::parse(records.as_bytes()), "");
    scan.findings.iter().map(|finding| finding.class).collect()
}

#[test]
fn a_record_of_the_highest_levels_is_trouble_unless_known() {
    for level in 0..8 {
        let strange = found(&format!("{level},0,0,-;something is on fire\n"));
        let expected: &[Class] = if level <= 2 {
            &[Class::KernelTrace]
        } else {
            &[]
        };
        assert_eq!(strange, expected, "level {level}");
    }
    // No mark: a headline behind it is another matter.
    let two =
        "1,0,0,-;something is on fire\n4,1,0,-;WARNING: possible recursive locking detected\n";
    assert_eq!(found(two), [Class::KernelTrace, Class::Lockdep]);
    // From user space (LOG_USER | LOG_ALERT).
    assert_eq!(found("9,0,0,-;something is on fire\n"), []);
    assert_eq!(found("0,0,0,-;reboot: Power down\n"), []);
    let panic = "2,0,0,-;tidelock: the core panicked, the engine is dead: x\n";
    assert_eq!(found(panic), [Class::CorePanic]);
    // What a test expects does not cover what comes behind.
    let more =
        format!("{panic}2,1,0,-;something is on fire\n4,2,0,-;Call Trace:\n4,3,0,-; f+0x1/0x2\n");
    let scan = Scan::of(&Log::parse(more.as_bytes()), "").expecting("selftest.panic");
    assert_eq!(scan.verdict().unwrap().0, "kernel-trace");
}

#[test]
fn loud_lines_of_a_report_are_of_the_report() {
    let records: String = (OOPS_6_1.lines().zip(0..))
        .map(|(line, at)| format!("1,{at},0,-;{line}\n"))
        .collect();
    assert_eq!(found(&records), [Class::Oops]);
}

#[test]
fn each_sign_without_a_headline_is_trouble() {
    for sign in [
        "------------[ cut here ]------------",
        "Call Trace:",
        "Call trace:",
        "Modules linked in: tidelock(OE) tls",
    ] {
        assert_eq!(found(&format!("4,0,0,-;{sign}\n")), [Class::KernelTrace]);
        // What is known and shows no trace accounts for none.
        let taint = "4,0,0,-;other: loading out-of-tree module taints kernel.\n";
        let both = found(&format!("{taint}4,1,0,-;{sign}\n"));
        assert_eq!(both, [Class::NewTaint, Class::KernelTrace]);
    }
}

#[test]
fn a_mark_waits_for_its_headline_only_so_long() {
    let report = |lines: usize| {
        let message = "a message\n".repeat(lines);
        let text = format!("------------[ cut here ]------------\n{message}{OOPS_6_1}");
        Scan::of(&log_of(&text), "").findings.len()
    };
    assert_eq!(report(MESSAGE - 1), 1);
    assert_eq!(report(MESSAGE), 2);
}
