// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The relocations that the kernel's loader knows (arch/x86/kernel/module.c,
//! `apply_relocate_add`), the same from 5.10 to 7.3.

use std::borrow::Cow;

use object::elf;

const KNOWN: [u32; 7] = [
    elf::R_X86_64_NONE,
    elf::R_X86_64_64,
    elf::R_X86_64_32,
    elf::R_X86_64_32S,
    elf::R_X86_64_PC32,
    elf::R_X86_64_PLT32,
    elf::R_X86_64_PC64,
];

/// Whether the loader applies a relocation of this type.
pub(crate) fn is_known(kind: u32) -> bool {
    KNOWN.contains(&kind)
}

/// What the ABI's document calls it, for those that compilers do emit.
pub(crate) fn name(kind: u32) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        elf::R_X86_64_GOTPCREL => "R_X86_64_GOTPCREL",
        elf::R_X86_64_GOTPCRELX => "R_X86_64_GOTPCRELX",
        elf::R_X86_64_REX_GOTPCRELX => "R_X86_64_REX_GOTPCRELX",
        elf::R_X86_64_GOTTPOFF => "R_X86_64_GOTTPOFF",
        elf::R_X86_64_TPOFF32 => "R_X86_64_TPOFF32",
        elf::R_X86_64_TLSGD => "R_X86_64_TLSGD",
        elf::R_X86_64_16 => "R_X86_64_16",
        elf::R_X86_64_8 => "R_X86_64_8",
        other => return Cow::Owned(format!("type {other}")),
    })
}
