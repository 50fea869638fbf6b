// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A line of a real kernel, or of the module, for each rule.
use super::super::{
    class::Class::{self, *},
    rules::{self, RULES},
};

const SAMPLES: &[(&str, Class)] = &[
    (
        "BUG: KASAN: slab-out-of-bounds in tidelock_write+0x1a/0x40 [tidelock]",
        Kasan,
    ),
    (
        "BUG: KFENCE: use-after-free read in tidelock_read+0x2c/0x60 [tidelock]",
        Kfence,
    ),
    (
        "BUG: KCSAN: data-race in tidelock_poll / tidelock_write",
        Kcsan,
    ),
    (
        "BUG: KMSAN: uninit-value in tidelock_read+0x1a/0x40 [tidelock]",
        Kmsan,
    ),
    (
        "UBSAN: array-index-out-of-bounds in kmod/src/chardev.c:12:3",
        Ubsan,
    ),
    (
        "Internal error: UBSAN: integer addition overflow: 00000000f2005500 [#1] SMP",
        Ubsan,
    ),
    ("refcount_t: underflow; use-after-free.", Refcount),
    (
        "list_add corruption. prev->next should be next (ffff8880), but was ffff8881. (prev=ffff8882).",
        ListCorruption,
    ),
    (
        "list_add double add: new=ffff888004a1c000, prev=ffff888004a1c000, next=ffff888004a1d000.",
        ListCorruption,
    ),
    (
        "list_del corruption, ffff888004a1c000->next is LIST_POISON1 (dead000000000100)",
        ListCorruption,
    ),
    (
        "BUG tidelock_cache (Tainted: G           OE     ): Objects remaining in tidelock_cache on __kmem_cache_shutdown()",
        SlabLeak,
    ),
    (
        "kmem_cache_destroy tidelock_cache: Slab cache still has objects",
        SlabLeak,
    ),
    (
        "BUG kmalloc-64 (Tainted: G           OE     ): Poison overwritten",
        SlabCorruption,
    ),
    (
        "cache_from_obj: Wrong slab cache. kmalloc-64 but object is from kmalloc-128",
        SlabCorruption,
    ),
    (
        "usercopy: Kernel memory exposure attempt detected from SLUB object 'kmalloc-64' (offset 0, size 65)!",
        SlabCorruption,
    ),
    ("BUG: Bad page state in process init  pfn:04a1c", BadPage),
    (
        "BUG: Bad rss-counter state mm:0000000012345678 type:MM_ANONPAGES val:1",
        BadPage,
    ),
    ("BUG: non-zero pgtables_bytes on freeing mm: 4096", BadPage),
    (
        "init: Corrupted page table at address 7f0000000000",
        BadPage,
    ),
    (
        "init: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null),cpuset=/,mems_allowed=0",
        OutOfMemory,
    ),
    (
        "init: vmalloc error: size 4096, page order 0, failed to allocate pages, mode:0xcc2(GFP_KERNEL|__GFP_HIGHMEM), nodemask=(null)",
        OutOfMemory,
    ),
    (
        "init: vmalloc: allocation failure: 1073741824 bytes, mode:0xcc0(GFP_KERNEL), nodemask=(null)",
        OutOfMemory,
    ),
    (
        "init invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
        OutOfMemory,
    ),
    (
        "Out of memory: Killed process 71 (init) total-vm:1048576kB, anon-rss:98304kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:240kB oom_score_adj:0",
        OutOfMemory,
    ),
    (
        "Memory cgroup out of memory: Killed process 71 (init) total-vm:1048576kB, anon-rss:98304kB",
        OutOfMemory,
    ),
    (
        "kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        Kmemleak,
    ),
    (
        "DMA-API: e1000 0000:00:03.0: device driver tries to sync DMA memory it has not allocated",
        DmaApi,
    ),
    (
        "unregister_netdevice: waiting for lo to become free. Usage count = 2",
        Refcount,
    ),
    (
        "sysfs: cannot create duplicate filename '/class/misc/tidelock'",
        Warning,
    ),
    (
        "kobject: kobject_add_internal failed for tidelock with -EEXIST, don't try to register things with the same name in the same directory.",
        Warning,
    ),
    ("bad: scheduling from the idle thread!", AtomicSleep),
    (
        "BUG: scheduling while atomic: init/1/0x00000002",
        AtomicSleep,
    ),
    (
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
        AtomicSleep,
    ),
    (
        "BUG: using smp_processor_id() in preemptible [00000000] code: init/1",
        AtomicSleep,
    ),
    (
        "BUG: workqueue leaked lock or atomic: kworker/0:1/0x00000001/12",
        AtomicSleep,
    ),
    (
        "initcall tidelock_init+0x0/0x40 [tidelock] returned with preemption imbalance ",
        AtomicSleep,
    ),
    (
        "WARNING: possible circular locking dependency detected",
        Lockdep,
    ),
    ("WARNING: possible recursive locking detected", Lockdep),
    (
        "WARNING: possible irq lock inversion dependency detected",
        Lockdep,
    ),
    ("WARNING: inconsistent lock state", Lockdep),
    ("WARNING: bad unlock balance detected!", Lockdep),
    ("WARNING: suspicious RCU usage", Lockdep),
    ("WARNING: held lock freed!", Lockdep),
    ("WARNING: lock held when returning to user space!", Lockdep),
    ("WARNING: Nested lock was not taken", Lockdep),
    ("WARNING: bad contention detected!", Lockdep),
    (
        "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
        Lockdep,
    ),
    (
        "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        Lockdep,
    ),
    ("INFO: possible recursive locking detected", Lockdep),
    ("INFO: trying to register non-static key.", Lockdep),
    ("[ BUG: Invalid wait context ]", Lockdep),
    ("BUG: MAX_LOCKDEP_ENTRIES too low!", Lockdep),
    (
        "BUG: key ffff888004a1c000 has not been registered!",
        Lockdep,
    ),
    (
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:1]",
        SoftLockup,
    ),
    (
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
        HardLockup,
    ),
    (
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
        SoftLockup,
    ),
    (
        "INFO: task init:1 blocked for more than 120 seconds.",
        HungTask,
    ),
    (
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        RcuStall,
    ),
    (
        "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:",
        RcuStall,
    ),
    (
        "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 0-... } 21 jiffies s: 65 root: 0x1/.",
        RcuStall,
    ),
    (
        "rcu: rcu_sched kthread starved for 5250 jiffies! g17 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x402 ->cpu=0",
        RcuStall,
    ),
    ("INFO: rcu_tasks detected stalls on tasks:", RcuStall),
    (
        "rcu_tasks_wait_gp: rcu_tasks grace period number 9 (since boot) is 2502 jiffies old.",
        RcuStall,
    ),
    (
        "NOHZ tick-stop error: local softirq work is pending, handler #08!!!",
        Warning,
    ),
    (
        "workqueue: tidelock_work [tidelock] hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        Warning,
    ),
    (
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        Oops,
    ),
    (
        "BUG: unable to handle page fault for address: ffffffffc0a1c000",
        Oops,
    ),
    (
        "BUG: stack guard page was hit at 00000000a1b2c3d4 (stack is 00000000a1b2c3d5..00000000a1b2c3d6)",
        Oops,
    ),
    (
        "BUG: TASK stack guard page was hit at ffffc90000123ff8 (stack is ffffc90000124000..ffffc90000128000)",
        Oops,
    ),
    ("kernel BUG at mm/slub.c:305!", Oops),
    ("Oops: 0002 [#1] PREEMPT SMP NOPTI", Oops),
    ("Oops - BUG: 00000000f2000800 [#1] PREEMPT SMP", Oops),
    ("Internal error: Oops: 0000000096000004 [#1] SMP", Oops),
    (
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
        Oops,
    ),
    (
        "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP NOPTI",
        Oops,
    ),
    ("invalid opcode: 0000 [#1] SMP NOPTI", Oops),
    ("divide error: 0000 [#1] SMP NOPTI", Oops),
    ("stack segment: 0000 [#1] SMP NOPTI", Oops),
    ("int3: 0000 [#1] SMP NOPTI", Oops),
    ("double fault: 0000 [#1] SMP NOPTI", Oops),
    ("traps: PANIC: double fault, error_code: 0x0", Oops),
    ("Missing ENDBR: tidelock_read+0x0/0x40 [tidelock]", Oops),
    (
        "control protection fault: 0003 [#1] PREEMPT SMP NOPTI",
        Oops,
    ),
    (
        "CFI failure at tidelock_init+0x1a/0x40 [tidelock] (target: tidelock_read+0x0/0x40 [tidelock]; expected type: 0x12345678)",
        Oops,
    ),
    (
        "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)",
        Oops,
    ),
    ("kernel stack overflow (double-fault): 0000 [#1] SMP", Oops),
    ("Insufficient stack space to handle exception!", Oops),
    (
        "tidelock: Unknown symbol strp_init (err -2)",
        UnresolvedSymbol,
    ),
    (
        "tidelock: disagrees about version of symbol module_layout",
        UnresolvedSymbol,
    ),
    (
        "tidelock: no symbol version for module_layout",
        UnresolvedSymbol,
    ),
    (
        "module tidelock uses symbol strp_init from namespace TLS, but does not import it.",
        UnresolvedSymbol,
    ),
    (
        "tidelock: version magic '6.1.0-47-amd64 SMP preempt mod_unload modversions ' should be '6.1.0-48-amd64 SMP preempt mod_unload modversions '",
        WrongVermagic,
    ),
    ("tidelock: Unknown rela relocation: 42", ModuleRefused),
    (
        "x86/modules: Invalid relocation target, existing value is nonzero for type 1, loc 00000000a1b2c3d4, val ffffffffc0a1c000",
        ModuleRefused,
    ),
    (
        "tidelock: exports duplicate symbol tls_get_record (owned by tls)",
        ModuleRefused,
    ),
    (
        "module tidelock: .gnu.linkonce.this_module section size must match the kernel's built struct module size at run time",
        ModuleRefused,
    ),
    ("other: loading out-of-tree module taints kernel.", NewTaint),
    (
        "other: module license 'Proprietary' taints kernel.",
        NewTaint,
    ),
    (
        "other: module verification failed: signature and/or required key missing - tainting kernel",
        NewTaint,
    ),
    (
        "other: module is from the staging directory, the quality is unknown, you have been warned.",
        NewTaint,
    ),
    ("Disabling lock debugging due to kernel taint", NewTaint),
    (
        "tidelock: the core leaked 2 blocks of 128 bytes",
        ModuleLeak,
    ),
    (
        "tidelock: the core frees 64 bytes of a block of 128",
        ModuleLeak,
    ),
    (
        "tidelock: the core used 5000 of 8192 bytes of stack: over half of it",
        StackBudget,
    ),
    (
        "tidelock: the core panicked, the engine is dead: x.rs:1",
        CorePanic,
    ),
    ("Kernel panic - not syncing: Fatal exception", Panic),
    (
        "WARNING: CPU: 0 PID: 1 at kmod/src/chardev.c:12 tidelock_write+0x1a/0x40 [tidelock]",
        Warning,
    ),
    (
        "BUG: Dentry ffff888004a1c000{i=1,n=x}  still in use (1) [unmount of tmpfs tmpfs]",
        Bug,
    ),
];

/// The rule that decides on a line.
fn decider(line: &str) -> Option<usize> {
    RULES.iter().position(|(rule, _)| rule.fits(line))
}

#[test]
fn each_headline_has_its_class() {
    for (line, class) in SAMPLES {
        assert_eq!(rules::benign(line), None, "{line}");
        assert_eq!(rules::of(line), Some(*class), "{line}");
    }
}

#[test]
fn each_rule_decides_on_a_line_of_a_real_kernel() {
    let decided: Vec<_> = SAMPLES
        .iter()
        .filter_map(|(line, _)| decider(line))
        .collect();
    let idle: Vec<_> = (0..RULES.len())
        .filter(|rule| !decided.contains(rule))
        .map(|rule| format!("rule {rule}: {:?}", RULES[rule]))
        .collect();
    assert!(idle.is_empty(), "no sample for {idle:#?}");
}

#[test]
fn what_a_quiet_kernel_says_is_no_headline() {
    for line in [
        "DMA-API: preallocated 65536 debug entries",
        "DMA-API: debugging enabled by kernel config",
        "tidelock: loading out-of-tree module taints kernel.",
        "tidelock: module verification failed: signature and/or required key missing - tainting kernel",
    ] {
        assert!(rules::benign(line).is_some(), "{line}");
    }
    for line in [
        "rcu: Hierarchical RCU implementation.",
        "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
        "workqueue: output_poll_execute hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 15697)",
        "traps: init[71] general protection fault ip:401000 sp:7ffc0 error:0 in init[401000+1000]",
        "debug: ignoring loglevel setting.",
    ] {
        assert_eq!(rules::of(line), None, "{line}");
    }
}
