// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words by which kernels from 5.10 to 7.3 tell trouble.

use super::class::Class as C;
use Match::{Has, Start, StartHas};

/// How a line is known.
#[derive(Debug)]
pub(super) enum Match {
    /// By how it begins.
    Start(&'static str),
    /// By what it has anywhere.
    Has(&'static str),
    /// By both.
    StartHas(&'static str, &'static str),
}

impl Match {
    pub(super) fn fits(&self, line: &str) -> bool {
        match self {
            Start(start) => line.starts_with(start),
            Has(part) => line.contains(part),
            StartHas(start, part) => line.starts_with(start) && line.contains(part),
        }
    }
}

/// The class of a line, when it is one that tells trouble.
pub(super) fn of(line: &str) -> Option<C> {
    let known = RULES.iter().find(|(rule, _)| rule.fits(line));
    known.map(|(_, class)| *class)
}

/// Why a line that looks like trouble is none.
pub(super) fn benign(line: &str) -> Option<&'static str> {
    reason_in(BENIGN, line)
}

/// Why a record of the highest levels is none.
pub(super) fn harmless(line: &str) -> Option<&'static str> {
    reason_in(HARMLESS, line)
}

fn reason_in(list: &[(Match, &'static str)], line: &str) -> Option<&'static str> {
    let known = list.iter().find(|(rule, _)| rule.fits(line));
    known.map(|(_, reason)| *reason)
}

/// Lines of stock kernels that a rule below would take for trouble.
const BENIGN: &[(Match, &str)] = &[
    (
        Start("tidelock: loading out-of-tree module taints kernel"),
        "the module is out of tree, and says so (taint O)",
    ),
    (
        Start("tidelock: module verification failed: signature and/or required key missing"),
        "the module under test is not signed (taint E)",
    ),
    (
        Start("DMA-API: preallocated "),
        "the checker of DMA mappings starts",
    ),
    (
        Start("DMA-API: debugging "),
        "the checker of DMA mappings starts, or says that it is off",
    ),
];

/// Records of the levels from emergency to critical that tell no trouble.
const HARMLESS: &[(Match, &str)] = &[
    (Start("reboot: Restarting system"), GOES_DOWN),
    (Start("reboot: System halted"), GOES_DOWN),
    (Start("reboot: Power down"), GOES_DOWN),
];

const GOES_DOWN: &str = "the machine was told to: the judge knows how it ended";

/// The first that fits decides: the special before the general.
pub(super) const RULES: &[(Match, C)] = &[
    // Sanitizers and debug options, most of which begin as any other bug.
    (Start("BUG: KASAN:"), C::Kasan),
    (Start("BUG: KFENCE:"), C::Kfence),
    (Start("BUG: KCSAN:"), C::Kcsan),
    (Start("BUG: KMSAN:"), C::Kmsan),
    (Start("UBSAN: "), C::Ubsan),
    (Start("Internal error: UBSAN"), C::Ubsan),
    (Start("refcount_t: "), C::Refcount),
    (Start("list_add corruption"), C::ListCorruption),
    (Start("list_add double add"), C::ListCorruption),
    (Start("list_del corruption"), C::ListCorruption),
    // "BUG kmalloc-64 (Tainted: G): Objects remaining ..." has no colon after BUG.
    (StartHas("BUG ", "bjects remaining"), C::SlabLeak),
    (
        StartHas("kmem_cache_destroy ", "still has objects"),
        C::SlabLeak,
    ),
    (StartHas("BUG ", "): "), C::SlabCorruption),
    (Start("cache_from_obj: Wrong slab cache"), C::SlabCorruption),
    (Start("usercopy: Kernel memory"), C::SlabCorruption),
    // Pages.
    (Start("BUG: Bad page"), C::BadPage),
    (Start("BUG: Bad rss-counter"), C::BadPage),
    (Start("BUG: non-zero pgtables_bytes"), C::BadPage),
    (StartHas("", ": Corrupted page table at"), C::BadPage),
    // Memory.
    (Has(": page allocation failure: order:"), C::OutOfMemory),
    (Has(": vmalloc error: size "), C::OutOfMemory),
    (Has(": vmalloc: allocation failure: "), C::OutOfMemory),
    (Has(" invoked oom-killer: "), C::OutOfMemory),
    (Start("Out of memory: "), C::OutOfMemory),
    (Start("Memory cgroup out of memory: "), C::OutOfMemory),
    (
        StartHas("kmemleak: ", " new suspected memory leaks"),
        C::Kmemleak,
    ),
    (Start("DMA-API: "), C::DmaApi),
    // References.
    (Start("unregister_netdevice: waiting for "), C::Refcount),
    (
        Start("sysfs: cannot create duplicate filename "),
        C::Warning,
    ),
    // Later kernels put "kobject: " before it.
    (Has("kobject_add_internal failed for "), C::Warning),
    // Sleeping, preemption.
    (
        Start("bad: scheduling from the idle thread!"),
        C::AtomicSleep,
    ),
    (Start("BUG: scheduling while atomic"), C::AtomicSleep),
    (
        Start("BUG: sleeping function called from invalid context"),
        C::AtomicSleep,
    ),
    (StartHas("BUG: using ", "in preemptible"), C::AtomicSleep),
    (StartHas("BUG: workqueue leaked", ""), C::AtomicSleep),
    (
        StartHas("initcall ", "returned with preemption imbalance"),
        C::AtomicSleep,
    ),
    // Locks.
    (
        Start("WARNING: possible circular locking dependency"),
        C::Lockdep,
    ),
    (Start("WARNING: possible recursive locking"), C::Lockdep),
    (Start("WARNING: possible irq lock inversion"), C::Lockdep),
    (Start("WARNING: inconsistent lock state"), C::Lockdep),
    (Start("WARNING: bad unlock balance"), C::Lockdep),
    (Start("WARNING: suspicious RCU usage"), C::Lockdep),
    (Start("WARNING: held lock freed"), C::Lockdep),
    (Start("WARNING: lock held"), C::Lockdep),
    (Start("WARNING: Nested lock was not taken"), C::Lockdep),
    (Start("WARNING: bad contention detected"), C::Lockdep),
    (Start("WARNING: SOFTIRQ-"), C::Lockdep),
    (Start("WARNING: HARDIRQ-"), C::Lockdep),
    (Start("INFO: possible "), C::Lockdep),
    (Start("INFO: trying to register non-static key"), C::Lockdep),
    (Start("[ BUG: "), C::Lockdep),
    (Start("BUG: MAX_LOCK"), C::Lockdep),
    (Start("BUG: key "), C::Lockdep),
    // Processors and tasks that do not go on.
    (Has("BUG: soft lockup"), C::SoftLockup),
    (Has("detected hard LOCKUP"), C::HardLockup),
    (StartHas("BUG: workqueue lockup", ""), C::SoftLockup),
    (StartHas("INFO: task ", " blocked "), C::HungTask),
    (StartHas("rcu: ", "self-detected stall"), C::RcuStall),
    (StartHas("rcu: ", "detected stalls on"), C::RcuStall),
    (StartHas("rcu: ", "detected expedited stalls"), C::RcuStall),
    (StartHas("rcu: ", "kthread starved for"), C::RcuStall),
    (StartHas("INFO: rcu", " stall"), C::RcuStall),
    // "rcu_tasks_wait_gp: rcu_tasks grace period number 9 (since boot) is 2502 jiffies old."
    (StartHas("rcu", " jiffies old"), C::RcuStall),
    (Start("NOHZ tick-stop error: "), C::Warning),
    // The kernel's own work may be slow: that is the host's.
    (
        StartHas("workqueue: ", "[tidelock] hogged CPU for >"),
        C::Warning,
    ),
    // Faults. The words of x86 up to 5.x, then with the "Oops: " that later ones put first.
    (Start("BUG: kernel NULL pointer dereference"), C::Oops),
    (Start("BUG: unable to handle"), C::Oops),
    (Start("BUG: stack guard page was hit"), C::Oops),
    (StartHas("BUG: ", "stack guard page was hit"), C::Oops),
    (Start("kernel BUG at "), C::Oops),
    (Start("Oops: "), C::Oops),
    (Start("Oops - "), C::Oops),
    (Start("Internal error: "), C::Oops),
    (Start("Unable to handle kernel"), C::Oops),
    (Start("general protection fault"), C::Oops),
    (Start("invalid opcode: "), C::Oops),
    (Start("divide error: "), C::Oops),
    (Start("stack segment: "), C::Oops),
    (Start("int3: "), C::Oops),
    (Start("double fault: "), C::Oops),
    (Start("traps: PANIC: double fault"), C::Oops),
    (Has("Missing ENDBR: "), C::Oops),
    (Start("control protection fault"), C::Oops),
    (Start("CFI failure at "), C::Oops),
    (Start("kernel tried to execute NX-protected page"), C::Oops),
    (Start("kernel stack overflow"), C::Oops),
    (
        Start("Insufficient stack space to handle exception"),
        C::Oops,
    ),
    // Modules that the kernel would not have.
    (StartHas("", ": Unknown symbol "), C::UnresolvedSymbol),
    (
        StartHas("", ": disagrees about version of symbol "),
        C::UnresolvedSymbol,
    ),
    (
        StartHas("", ": no symbol version for "),
        C::UnresolvedSymbol,
    ),
    (StartHas("", " uses symbol "), C::UnresolvedSymbol),
    (StartHas("", ": version magic '"), C::WrongVermagic),
    (StartHas("", ": Unknown rela relocation"), C::ModuleRefused),
    (StartHas("", "Invalid relocation target"), C::ModuleRefused),
    (StartHas("", ": exports duplicate symbol"), C::ModuleRefused),
    (
        StartHas("", "this_module section size must match"),
        C::ModuleRefused,
    ),
    // Taints. The last is of one that lockdep does not trust, which O and E are not.
    (StartHas("", " taints kernel"), C::NewTaint),
    (StartHas("", "tainting kernel"), C::NewTaint),
    (StartHas("", "is from the staging directory"), C::NewTaint),
    (
        Start("Disabling lock debugging due to kernel taint"),
        C::NewTaint,
    ),
    // The module's own words.
    (Start("tidelock: the core leaked"), C::ModuleLeak),
    (
        StartHas("tidelock: the core frees", "bytes of a block"),
        C::ModuleLeak,
    ),
    (
        StartHas("tidelock: the core used", "over half of it"),
        C::StackBudget,
    ),
    (Start("tidelock: the core panicked"), C::CorePanic),
    // What is left.
    (Start("Kernel panic - not syncing"), C::Panic),
    (Start("WARNING: "), C::Warning),
    (Start("BUG: "), C::Bug),
];
