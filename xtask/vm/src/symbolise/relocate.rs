// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a linker would do to the debug sections of a relocatable object.
//!
//! In an object file all sections begin at address 0, and references between them are left to
//! the linker. Here each section with code or data gets addresses of its own, and the references
//! in the debug sections are filled in; nothing is ever run.

use std::collections::BTreeMap;

use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, Relocation, RelocationKind,
    RelocationTarget, Section, SectionFlags, SectionIndex, elf::SHF_ALLOC,
};

use super::SymboliseError;

/// Sections begin at multiples of this, so that the end of one is not the start of the next.
const ALIGN: u64 = 0x1_0000;

/// Where each section begins.
pub(super) struct Layout(BTreeMap<usize, u64>);

impl Layout {
    /// One after the other; sections that are not loaded stay at 0, where offsets into them are.
    pub(super) fn of(file: &File<'_>) -> Self {
        let mut next = ALIGN;
        let mut addresses = BTreeMap::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(SHF_ALLOC) != 0 {
                addresses.insert(section.index().0, next);
                next = (next + section.size()).next_multiple_of(ALIGN) + ALIGN;
            }
        }
        Self(addresses)
    }

    /// Where a section begins.
    pub(super) fn address(&self, section: SectionIndex) -> u64 {
        self.0.get(&section.0).copied().unwrap_or(0)
    }
}

/// The bytes of a debug section, uncompressed and relocated.
pub(super) fn apply(
    file: &File<'_>,
    layout: &Layout,
    section: &Section<'_, '_>,
) -> Result<Vec<u8>, SymboliseError> {
    let mut bytes = section.uncompressed_data()?.into_owned();
    for (offset, relocation) in section.relocations() {
        let patched = value(file, layout, &relocation)
            .and_then(|value| patch(&mut bytes, offset, relocation.size(), value));
        if patched.is_none() {
            return Err(SymboliseError::Relocation {
                section: section.name()?.into(),
                offset,
            });
        }
    }
    Ok(bytes)
}

fn value(file: &File<'_>, layout: &Layout, relocation: &Relocation) -> Option<u64> {
    if relocation.kind() != RelocationKind::Absolute || relocation.has_implicit_addend() {
        return None;
    }
    let base = match relocation.target() {
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index).ok()?;
            // A symbol of another object has no address here: what refers to it is not looked up.
            let section = symbol
                .section_index()
                .map_or(0, |index| layout.address(index));
            section.wrapping_add(symbol.address())
        }
        RelocationTarget::Section(index) => layout.address(index),
        _ => return None,
    };
    Some(base.wrapping_add_signed(relocation.addend()))
}

fn patch(bytes: &mut [u8], offset: u64, bits: u8, value: u64) -> Option<()> {
    let start = usize::try_from(offset).ok()?;
    let length = usize::from(bits / 8);
    let place = bytes.get_mut(start..start.checked_add(length)?)?;
    place.copy_from_slice(value.to_le_bytes().get(..length)?);
    Some(())
}
