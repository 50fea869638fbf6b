// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kinds of trouble.

use Class as C;

/// A kind of trouble.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// The kernel stopped.
    Panic,
    /// A fault in kernel mode, or a failed BUG_ON().
    Oops,
    /// A failed WARN_ON(), or another complaint of the kernel about itself.
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
    /// The detector of data races.
    Kcsan,
    /// The detector of uninitialized memory.
    Kmsan,
    /// The detector of undefined behaviour.
    Ubsan,
    /// The detector of memory that nothing points to.
    Kmemleak,
    /// The checker of DMA mappings.
    DmaApi,
    /// Memory ran out.
    OutOfMemory,
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
    /// A trace, or a record of the levels from emergency to critical, that no headline above told
    /// of: trouble in words that are not known here.
    KernelTrace,
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
            C::Kcsan => "kcsan",
            C::Kmsan => "kmsan",
            C::Ubsan => "ubsan",
            C::Kmemleak => "kmemleak",
            C::DmaApi => "dma-api",
            C::OutOfMemory => "out-of-memory",
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
            C::KernelTrace => "kernel-trace",
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
            C::Kmemleak
                | C::NewTaint
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
            C::Refcount | C::ListCorruption | C::DmaApi => matches!(next, C::Oops | C::Warning),
            // The allocator switches lockdep off before it shows where it was called from.
            C::SlabCorruption | C::SlabLeak => {
                matches!(next, C::Oops | C::Warning | C::NewTaint)
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
