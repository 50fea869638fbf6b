// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of trouble, and the words by which kernels from 5.10 to 7.3 tell them.

use Class as C;
use Match::{Has, Start, StartHas};

/// A kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// The kernel stopped.
    Panic,
    /// A fault in kernel mode, or a failed BUG_ON().
    Oops,
    /// A failed WARN_ON().
    Warning,
    /// Another line that begins with `BUG:`.
    Bug,
    /// The lock validator.
    Lockdep,
    /// A processor that does not let RCU go on.
    RcuStall,
    /// A processor that does not schedule.
    SoftLockup,
    /// A processor that does not take interrupts.
    HardLockup,
    /// A task that sleeps without end and cannot be woken by a signal.
    HungTask,
    /// The address sanitizer.
    Kasan,
    /// The sampling detector of memory errors.
    Kfence,
    /// The memory, concurrency or undefined behaviour sanitizers.
    Ubsan,
    /// Page tables or pages in a wrong state.
    BadPage,
    /// A reference counter that went over or under.
    Refcount,
    /// The slab allocator found its memory overwritten.
    SlabCorruption,
    /// A slab cache was destroyed with objects in use.
    SlabLeak,
    /// A linked list that does not hang together.
    ListCorruption,
    /// Slept where that is forbidden.
    AtomicSleep,
    /// The kernel was tainted by more than an out-of-tree, unsigned module.
    NewTaint,
    /// The kernel refused a module: symbols.
    UnresolvedSymbol,
    /// The kernel refused a module: made for another kernel.
    WrongVermagic,
    /// The kernel refused a module: anything else.
    ModuleRefused,
    /// The module's own count of its memory.
    ModuleLeak,
    /// The module's own stack went over its budget.
    StackBudget,
    /// The module's Rust core panicked.
    CorePanic,
    /// QEMU's emulation of a processor went wrong.
    EmulatorBug,
}

/// Who has to look into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The module: the test failed.
    Module,
    /// The factory or its tools: there is no verdict on the module.
    Factory,
}

impl Class {
    /// The named verdict.
    pub const fn verdict(self) -> &'static str {
        match self {
            C::Panic => "kernel-panic",
            C::Oops => "kernel-oops",
            C::Warning => "kernel-warning",
            C::Bug => "kernel-bug",
            C::Lockdep => "lockdep",
            C::RcuStall => "rcu-stall",
            C::SoftLockup => "soft-lockup",
            C::HardLockup => "hard-lockup",
            C::HungTask => "hung-task",
            C::Kasan => "kasan",
            C::Kfence => "kfence",
            C::Ubsan => "ubsan",
            C::BadPage => "bad-page",
            C::Refcount => "refcount",
            C::SlabCorruption => "slab-corruption",
            C::SlabLeak => "slab-leak",
            C::ListCorruption => "list-corruption",
            C::AtomicSleep => "atomic-sleep",
            C::NewTaint => "new-taint",
            C::UnresolvedSymbol => "unresolved-symbol",
            C::WrongVermagic => "wrong-vermagic",
            C::ModuleRefused => "module-refused",
            C::ModuleLeak => "module-leak",
            C::StackBudget => "stack-budget",
            C::CorePanic => "core-panic",
            C::EmulatorBug => "emulator-bug",
        }
    }

    /// Who has to look into it.
    pub const fn fault(self) -> Fault {
        match self {
            C::EmulatorBug => Fault::Factory,
            _ => Fault::Module,
        }
    }
}

impl Class {
    /// Whether a trace follows the headline, as a rule.
    pub(super) const fn has_trace(self) -> bool {
        !matches!(
            self,
            C::NewTaint
                | C::UnresolvedSymbol
                | C::WrongVermagic
                | C::ModuleRefused
                | C::ModuleLeak
                | C::StackBudget
                | C::CorePanic
        )
    }

    /// Whether a headline of class `next`, in front of the trace, belongs to the same report.
    pub(super) const fn goes_on_with(self, next: Self) -> bool {
        match self {
            C::Oops => matches!(next, C::Oops),
            C::Refcount | C::ListCorruption | C::SlabCorruption | C::SlabLeak => {
                matches!(next, C::Oops | C::Warning)
            }
            _ => false,
        }
    }
}

/// What a test brings about on purpose.
pub(super) fn expected(test: &str) -> &'static [Class] {
    match test {
        "selftest.panic" => &[C::CorePanic],
        _ => &[],
    }
}

/// How a line is known.
enum Match {
    /// By how it begins.
    Start(&'static str),
    /// By what it has anywhere.
    Has(&'static str),
    /// By both.
    StartHas(&'static str, &'static str),
}

impl Match {
    fn fits(&self, line: &str) -> bool {
        match self {
            Start(start) => line.starts_with(start),
            Has(part) => line.contains(part),
            StartHas(start, part) => line.starts_with(start) && line.contains(part),
        }
    }
}

/// The class of a line, when it is one that tells trouble.
pub(super) fn of(line: &str) -> Option<Class> {
    let known = RULES.iter().find(|(rule, _)| rule.fits(line));
    known.map(|(_, class)| *class)
}

/// Why a line that looks like trouble is none.
pub(super) fn benign(line: &str) -> Option<&'static str> {
    let known = BENIGN.iter().find(|(rule, _)| rule.fits(line));
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
        StartHas("Disabling lock debugging due to kernel taint", ""),
        "lockdep stops at an out-of-tree module (taint O); it has nothing to say",
    ),
];

/// The first that fits decides: the special before the general.
const RULES: &[(Match, Class)] = &[
    // Sanitizers and debug options, most of which begin as any other bug.
    (Start("BUG: KASAN:"), C::Kasan),
    (Start("BUG: KFENCE:"), C::Kfence),
    (Start("BUG: KCSAN:"), C::Ubsan),
    (Start("BUG: KMSAN:"), C::Ubsan),
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
    // Sleeping, preemption.
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
    (Start("BUG: Invalid wait context"), C::Lockdep),
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
    (Start("traps: Missing ENDBR"), C::Oops),
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
    (
        StartHas("", "but it's a kernel module is for "),
        C::WrongVermagic,
    ),
    (StartHas("", ": Unknown rela relocation"), C::ModuleRefused),
    (StartHas("", "Invalid relocation target"), C::ModuleRefused),
    (StartHas("", ": exports duplicate symbol"), C::ModuleRefused),
    (
        StartHas("", "this_module section size must match"),
        C::ModuleRefused,
    ),
    (StartHas("module: ", "does not match"), C::ModuleRefused),
    // Taints.
    (StartHas("", " taints kernel"), C::NewTaint),
    (StartHas("", "tainting kernel"), C::NewTaint),
    (StartHas("", "is from the staging directory"), C::NewTaint),
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
